//! Bodies as the published clients of others make them: as they lay out JSON, with what they put into every event.

/// Events in a body: as many as that client sends at a time when there is much to send.
pub fn each(row: &str) -> u64 {
    if row == "masterlog-spool" { 100 } else { 1000 }
}

/// Path and body of a row that has one.
pub fn body(row: &str) -> Option<(&'static str, Vec<u8>)> {
    let path = match row {
        "masterlog-spool" => "/api/v1/logs/batch",
        "logcollector-spool" => "/logs",
        "jsonline-spool" => "/insert/jsonline?_stream_fields=stream&_time_field=timestamp&_msg_field=message",
        _ => return None,
    };
    let events: Vec<String> = (0..each(row)).map(|at| event(row, at)).collect();
    let body = match row {
        "masterlog-spool" => format!("{{\"logs\":[{}]}}", events.join(",")),
        "logcollector-spool" => format!("{{\"logs\": [{}]}}", events.join(", ")),
        _ => events.join("\n"),
    };
    Some((path, body.into_bytes()))
}

fn event(row: &str, at: u64) -> String {
    let text = format!("user {} paid {} for order {}{}", at * 31, at * 7, at * 997, "x".repeat(at as usize % 40));
    let severity = ["debug", "info", "warn", "error"][at as usize % 4];
    match row {
        "masterlog-spool" => format!(
            "{{\"severity\":\"{severity}\",\"tags\":[\"checkout\",\"web\"],\"title\":\"{text}\",\"body\":\"{text}\",\"metadata\":{{\
             \"order\":{at},\"python_client\":{{\"hostname\":\"web-03\",\"fqdn\":\"web-03.example\",\"pid\":4711,\"process_name\":\
             \"shop.py\",\"argv0\":\"/srv/shop/shop.py\",\"cwd\":\"/srv/shop\",\"python_version\":\"3.11.7\",\"library\":\
             \"master-log-client\",\"library_version\":\"0.1.0\"}}}}}}"
        ),
        "logcollector-spool" => format!(
            "{{\"level\": \"{}\", \"message\": \"{text}\", \"created_at\": 1795212050.{:06}, \"service\": \"checkout\", \
             \"environment\": \"production\", \"service_version\": \"v1.2.3\", \"log_type\": \"BACKEND\", \"function_name\": \
             \"pay\", \"file_path\": \"/srv/shop/pay.py\", \"user_id\": \"u{at}\", \"order\": {at}}}",
            severity.to_ascii_uppercase(),
            at * 997
        ),
        _ => format!(
            "{{\"stream\":\"shop\",\"timestamp\":1795212050.{:06},\"level\":\"{}\",\"logger\":\"shop.pay\",\"module\":\"pay\",\
             \"function\":\"pay\",\"line_number\":{at},\"message\":\"{text}\",\"process\":4711,\"process_name\":\"MainProcess\",\
             \"thread\":139872345,\"thread_name\":\"MainThread\",\"order\":{at}}}",
            at * 997,
            if severity == "warn" { "WARNING".to_owned() } else { severity.to_ascii_uppercase() }
        ),
    }
}
