//! What an event costs from a request's body into the inlet, without a socket: processor time of the whole process.
//!
//! `cargo run --release -p metlog-victorialogs --features dialect --example dialect_cost`

use metlog_http::axum::body::Body;
use metlog_http::axum::http::Request;
use metlog_http::server::Bounds;
use metlog_http::{DialectEntry, Door, ServerLimits};
use metlog_message::head;
use metlog_message::wire::Limits;
use metlog_pipeline::{Durable, Full, Inlet, Intake, Reason, Receipt};
use metlog_testkit::settings;
use metlog_victorialogs as _;
use tower_service::Service;

const ROWS: usize = 1000;
const ROUNDS: usize = 2000;

/// Looks at each message as the router does, and forgets it.
struct Scans {
    receipt: Receipt,
    scans: bool,
}

impl Intake for Scans {
    fn another(&self) -> Box<dyn Intake> {
        Box::new(Scans { receipt: Receipt::default(), scans: self.scans })
    }
    fn push(&mut self, message: &[u8]) {
        assert!(!self.scans || head::scan(message, &Limits::default()).is_ok());
        self.receipt.accepted += 1;
    }
    fn refuse(&mut self, part: &[u8], _: Reason, why: &str) {
        panic!("{why}: {}", String::from_utf8_lossy(part));
    }
    fn lost(&mut self, _: u64) {}
    fn commit(&mut self) -> Result<Receipt, Full> {
        Ok(std::mem::take(&mut self.receipt))
    }
    fn drop_pushed(&mut self, _: Reason) {}
    fn pending(&self) -> usize {
        0
    }
    fn durable(&self) -> Durable {
        Box::pin(std::future::ready(Ok(())))
    }
    fn message_limit(&self) -> usize {
        1024 * 1024
    }
}

/// As the Python handler writes one.
fn row(number: usize) -> String {
    format!(
        r#"{{"stream":"shop","timestamp":1790000000.{number:06},"level":"INFO","logger":"shop.pay","module":"pay","function":"charge","message":"order {number} paid with card in 12 ms","process_name":"MainProcess","thread_name":"MainThread","line_number":117,"process":4711,"thread":140229284919104,"user_id":{number}}}"#
    )
}

/// As it comes with `extra`.
fn nested(number: usize) -> String {
    row(number).replace("\"user_id\":", "\"cart\":{\"items\":[1,2]},\"user_id\":")
}

/// As our own sender writes one.
fn own(number: usize) -> String {
    format!(
        r#"{{"_time":"1790000000{number:09}","_msg":"order {number} paid with card in 12 ms","type":"oldstyle","logger":"shop.pay","severity":6,"level":"informational","hostname":"app01","pid":4711,"metlog_client":"00000000c0ffee00","metlog_seq":{number},"user_id":{number},"status":200}}"#
    )
}

fn loki(number: usize) -> String {
    format!(r#"["1790000000{number:09}","order {number} paid with card in 12 ms",{{"trace_id":"t{number}"}}]"#)
}

/// Seconds of processor time, to a hundredth.
fn spent() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after = stat.rsplit(") ").next().expect("fields");
    let field = |at: usize| after.split(' ').nth(at).and_then(|ticks| ticks.parse::<f64>().ok()).expect("a number");
    (field(11) + field(12)) / 100.0
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let rows = |each: fn(usize) -> String, between: &str| (0..ROWS).map(each).collect::<Vec<_>>().join(between);
    let handler = "/insert/jsonline?_stream_fields=stream&_time_field=timestamp&_msg_field=message";
    let bulk = (0..ROWS).map(|number| format!("{{\"create\":{{}}}}\n{}\n", row(number))).collect::<String>();
    let streams =
        format!(r#"{{"streams":[{{"stream":{{"app":"shop","level":"info"}},"values":[{}]}}]}}"#, rows(loki, ","));
    for (what, target, body) in [
        ("jsonline, the handler's rows", handler, rows(row, "\n")),
        ("jsonline, the same with an object inside", handler, rows(nested, "\n")),
        (
            "jsonline, the same read for an argument's sake",
            "/insert/jsonline?_msg_field=message&ignore_fields=x",
            rows(nested, "\n"),
        ),
        ("jsonline, our sender's rows", "/insert/jsonline", rows(own, "\n")),
        ("bulk, the handler's rows", "/_bulk?_time_field=timestamp", bulk),
        ("loki, JSON", "/loki/api/v1/push", streams),
    ] {
        for scans in [false, true] {
            let entry = DialectEntry::find("victorialogs").expect("linked");
            let dialect = (entry.read)(&settings("")).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
            let inlet = Inlet::new(Box::new(Scans { receipt: Receipt::default(), scans }));
            let mut routes = dialect.routes(Door::new(inlet, Bounds::new(ServerLimits::default())));
            let began = spent();
            for _ in 0..ROUNDS {
                let request = Request::post(target)
                    .header("content-type", "application/json")
                    .body(Body::from(body.clone()))
                    .expect("a request");
                let Ok(answer) = routes.call(request).await;
                assert!(answer.status().is_success());
            }
            let each = (spent() - began) * 1e6 / (ROUNDS * ROWS) as f64;
            let bytes = body.len() / ROWS;
            let scanned = if scans { ", head scan included" } else { "" };
            println!("{what}, {bytes} bytes each: {each:.2} us per event{scanned}");
        }
    }
}
