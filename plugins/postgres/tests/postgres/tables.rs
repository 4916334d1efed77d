//! The table's versions, its partitions, and the view.

use crate::support::{Bed, at, endpoint, month, partition};
use metlog_message::{Fields, Message, Severity, Timestamp, Value};
use metlog_pipeline::SendError;
use metlog_query::{Narrow, Trouble};
use metlog_testkit::{Postgres, eventually, sample};
use std::time::Duration;

#[test]
fn an_older_version_is_brought_up_to_date_with_what_it_holds() {
    let mut bed = Bed::new();
    let first = include_str!("../../src/schema/1-table.sql").replace("{table}", "metlog_messages");
    bed.sql(&first);
    bed.sql(
        "create table metlog_messages_schema (version integer primary key, made timestamptz not null default now())",
    );
    bed.sql("insert into metlog_messages_schema (version) values (1)");
    let last = month(1);
    bed.sql(&format!(
        "insert into metlog_messages (position, ts, ts_nanos, severity, type, logger, words, fields, payload, raw) \
         values (1, '{last}-20', 0, 6, 't', 'l', '{{}}', '{{}}', 'old', '{{\"type\":\"t\"}}')"
    ));
    bed.write_as(&[at(&format!("{last}-21T10:00:00Z"))], &[2]).expect("written");
    // Whose the old one is, nobody knows any more, so the new one's positions begin elsewhere.
    assert_eq!(bed.positions(Narrow::default()), [1, (1 << 40) + 2]);
    assert_eq!(bed.sql("select version from metlog_messages_schema order by 1"), "1\n2\n3");
    assert_eq!(bed.sql("select message from metlog_logs order by id limit 1"), "old");
    // The month was made on demand, and what was in the default partition moved.
    assert_eq!(bed.sql("select distinct tableoid::regclass from metlog_messages"), partition(&last));
}

#[test]
fn a_newer_version_is_left_alone() {
    let mut bed = Bed::new();
    bed.write(&[at("2026-11-20T10:00:00Z")]).expect("written");
    bed.sql("insert into metlog_messages_schema (version) values (99)");
    bed.endpoint.reopen();
    let refused = bed.write_as(&[at("2026-11-20T10:00:01Z")], &[2]);
    assert!(matches!(&refused, Err(SendError::Pause { why }) if why.contains("version 99")), "{refused:?}");
    let size = bed.store.size();
    assert!(matches!(&size, Err(Trouble::Away(why)) if why.contains("newer metlog")), "{size:?}");
    assert_eq!(bed.sql("select count(*) from metlog_messages"), "1");
}

#[test]
fn many_routers_make_table_and_partitions_at_once() {
    let bed = Bed::new();
    const ROUTERS: u64 = 6;
    std::thread::scope(|scope| {
        for router in 0..ROUTERS {
            let toml = &bed.toml;
            scope.spawn(move || {
                let mut endpoint = endpoint(toml).expect("opens");
                for back in 1..=10 {
                    let messages: Vec<Message> =
                        (0..20).map(|second| at(&format!("{}-15T10:{router:02}:{second:02}Z", month(back)))).collect();
                    let lines = crate::support::lines(&messages);
                    let ids: Vec<u64> = (0..20).map(|number| router * 1000 + back as u64 * 20 + number).collect();
                    let picked = metlog_pipeline::Picked::new(&lines, &ids);
                    let mut tries = 0;
                    while let Err(error) = endpoint.write(&picked) {
                        assert!(matches!(error, SendError::Retry { .. }) && tries < 50, "{error:?}");
                        tries += 1;
                    }
                }
                endpoint.tick().expect("cared for");
            });
        }
    });
    assert_eq!(bed.store.size().expect("counted").messages, ROUTERS * 200);
    // Who had to wait too long wrote to the default partition; what is there moves with the next that comes by.
    let months: Vec<Message> = (1..=10).map(|back| at(&format!("{}-16T10:00:00Z", month(back)))).collect();
    let mut last = Bed::at(&Postgres::shared().url(&bed.database), bed.database.clone(), "");
    last.write_as(&months, &(90_001..=90_010).collect::<Vec<u64>>()).expect("written");
    assert_eq!(bed.sql("select count(*) from metlog_messages_default"), "0");
    assert_eq!(bed.sql("select count(distinct tableoid) from metlog_messages"), "10");
}

#[test]
fn partitions_are_made_ahead_and_dropped_when_they_are_too_old() {
    let now = Timestamp::now();
    let mut bed = Bed::new();
    let ago = |days: i64| {
        let mut message = Message::new("log").payload(format!("{days} days ago"));
        message.timestamp = Timestamp::from_nanos(now.nanos() - days * 86_400_000_000_000);
        message
    };
    let batch = [ago(0), ago(10), ago(200), ago(300), ago(4000)];
    bed.write(&batch).expect("written");
    bed.endpoint.tick().expect("cared for");
    assert_eq!(bed.store.size().expect("counted").messages, 5, "for ever, unless somebody says otherwise");
    let partitions = |bed: &Bed| {
        bed.sql("select count(*) from pg_inherits where inhparent = 'metlog_messages'::regclass")
            .parse::<u32>()
            .expect("a number")
    };
    let before = partitions(&bed);
    let next = bed.sql("select to_char(date_trunc('month', now() at time zone 'UTC') + interval '1 month', 'YYYY_MM')");
    assert_eq!(bed.sql(&format!("select to_regclass('metlog_messages_p{next}') is not null")), "t", "ahead");
    let url = Postgres::shared().url(&bed.database);
    let mut short = Bed::at(&url, bed.database.clone(), "max_age = '100d'");
    assert_eq!(short.positions(Narrow::default()), [2, 1], "at once");
    short.endpoint.tick().expect("cared for");
    assert_eq!(bed.sql("select count(*) from metlog_messages"), "2", "of the default partition too");
    assert_eq!(partitions(&bed), before - 2);
    // What comes late goes the same way, and costs no partition.
    short.write_as(&[ago(250)], &[9]).expect("written");
    assert_eq!(partitions(&bed), before - 2);
}

#[test]
fn a_partition_that_cannot_be_made_holds_up_nobody() {
    let mut bed = Bed::with("timeout = '3s'");
    let (last, before) = (month(1), month(2));
    bed.write(&[at(&format!("{last}-20T10:00:00Z"))]).expect("written");
    let url = Postgres::shared().url(&bed.database);
    // Somebody looks at the default partition for long.
    let mut psql = std::process::Command::new("psql");
    psql.args(["-q", &url, "-c", "begin; select count(*) from metlog_messages_default; select pg_sleep(6)"]);
    let mut psql = psql.stdout(std::process::Stdio::null()).spawn().expect("psql");
    let looks = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    assert!(eventually(Duration::from_secs(10), || bed.sql(looks) == "1"));
    bed.write_as(&[at(&format!("{before}-20T10:00:00Z"))], &[2]).expect("written, to the default partition");
    assert_eq!(bed.sql("select tableoid::regclass from metlog_messages where position = 2"), "metlog_messages_default");
    psql.wait().expect("it ends");
    let told = bed.endpoint.tick();
    assert!(told.is_err_and(|told| told.why().contains("no partition for a month")));
    // Another router makes it later, and the message moves.
    let mut other = Bed::at(&url, bed.database.clone(), "");
    other.write_as(&[at(&format!("{before}-21T10:00:00Z"))], &[3]).expect("written");
    assert_eq!(
        bed.sql("select distinct tableoid::regclass from metlog_messages where position > 1"),
        partition(&before)
    );
}

#[test]
fn another_table_has_everything_of_its_own() {
    let longest = "Audit".repeat(10)[..48].to_owned();
    let mut bed = Bed::with(&format!("table = '{longest}'"));
    bed.write(&[sample::message(1)]).expect("written");
    bed.endpoint.tick().expect("cared for");
    assert_eq!(bed.positions(Narrow::default()), [1]);
    assert_eq!(bed.sql(&format!("select message from \"{longest}_logs\"")), "message 1");
    let mut second = Bed::at(&Postgres::shared().url(&bed.database), bed.database.clone(), "");
    second.write(&[sample::message(2)]).expect("written");
    assert_eq!(bed.sql("select message from metlog_logs"), "message 2");
}

#[test]
fn the_view_has_log_collectors_columns() {
    let mut bed = Bed::new();
    let fields = |text: &str| match metlog_message::wire::read_value(text.as_bytes()) {
        Ok(Value::Map(fields)) => fields,
        other => panic!("{other:?}"),
    };
    let message =
        |severity, fields: Fields| Message { fields, ..at("2026-11-20T10:00:00Z").severity(severity).logger("app") };
    let whole = r#"{"log_type":"worker","service":"shop","environment":"production","service_version":"v1.2",
        "trace_id":"123e4567-e89b-12d3-a456-426614174000","user_id":"u1","session_id":"s1","error_type":"E","stack_trace":"st",
        "path":"/p","method":"post","action_type":"click","function_name":"f","file_path":"x.py","duration_ms":12.5,
        "metadata":{"a":1},"memory_mb":512}"#;
    let long = "x".repeat(500);
    let odd = format!(
        r#"{{"service":"{long}","trace_id":"{long}","environment":"moon","method":"CONNECT","log_type":7,
        "duration_ms":1e300,"path":["list"],"metadata":"text","level":"trace"}}"#
    );
    let mut timer = message(Severity::Warning, Fields::new()).payload("7.25");
    timer.kind = "timer".into();
    bed.write(&[
        message(Severity::Alert, fields(whole)),
        message(Severity::Debug, fields(&odd)),
        timer,
        message(Severity::Debug, Fields::new()),
    ])
    .expect("written");
    bed.store.change(metlog_query::Change::Archive, &[4]).expect("archived");
    let columns = "select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum) \
                   from pg_attribute where attrelid = 'metlog_logs'::regclass and attnum > 0";
    assert_eq!(
        bed.sql(columns),
        "id bigint, created_at timestamp with time zone, level metlog_level, log_type metlog_log_type, \
         service character varying(100), environment metlog_environment, service_version character varying(50), \
         trace_id character varying(32), user_id character varying(255), session_id character varying(100), \
         error_type character varying(200), message text, stack_trace text, path character varying(500), \
         method metlog_method, action_type character varying(50), function_name character varying(300), \
         file_path character varying(1000), duration_ms numeric(10,3), deleted boolean, metadata jsonb"
    );
    let row = |id: u32| bed.sql(&format!("set timezone to 'UTC'; select * from metlog_logs where id = {id}"));
    assert_eq!(
        row(1),
        "1|2026-11-20 10:00:00+00|FATAL|WORKER|shop|production|v1.2|123e4567e89b12d3a456426614174000|u1|s1|E|\
         something happened|st|/p|POST|click|f|x.py|12.500|f|{\"a\": 1, \"memory_mb\": 512}"
    );
    let start = format!("2|2026-11-20 10:00:00+00|TRACE|BACKEND|{}|development|v0.0.0-dev||", "x".repeat(100));
    assert!(row(2).starts_with(&start), "{}", row(2));
    let kept =
        "select string_agg(key, ',' order by key) from metlog_logs, jsonb_object_keys(metadata) key where id = 2";
    assert_eq!(bed.sql(kept), "duration_ms,environment,log_type,metadata,method,path,service,trace_id");
    assert_eq!(row(3), "3|2026-11-20 10:00:00+00|WARN|BACKEND|app|development|v0.0.0-dev|||||7.25|||||||7.250|f|");
    assert_eq!(bed.sql("select level, deleted from metlog_logs where id = 4"), "DEBUG|t");
    assert_eq!(bed.sql("select count(*) from metlog_logs where level >= 'WARN' and not deleted"), "2");
}

/// A user that may read and write, but owns nothing.
#[test]
fn who_may_not_make_partitions_still_writes_and_forgets() {
    let server = Postgres::shared();
    let mut owner = Bed::new();
    owner.write(&[at("2026-11-20T10:00:00Z").field("ttl_seconds", 1)]).expect("written");
    owner.sql("drop role if exists clerk");
    owner.sql("create role clerk login");
    owner.sql("grant select, insert, update, delete on metlog_messages, metlog_messages_schema to clerk");
    owner.sql("grant select, insert on metlog_messages_spools to clerk");
    let url = server.url(&owner.database).replace("user=metlog", "user=clerk");
    let mut clerk = Bed::at(&url, owner.database.clone(), "");
    clerk.write_as(&[at("2026-10-20T10:00:00Z")], &[2]).expect("written, to the default partition");
    let told = clerk.endpoint.tick();
    assert!(matches!(&told, Err(SendError::Pause { why }) if why.contains("42501")), "{told:?}");
    assert_eq!(owner.sql("select position, tableoid::regclass from metlog_messages"), "2|metlog_messages_default");
    owner.sql("drop owned by clerk; drop role clerk");
}
