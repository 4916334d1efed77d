//! What arrives, and what does not.

use crate::support::{Bed, at, lines, moment, month, partition, scan};
use metlog_message::message::Origin;
use metlog_message::{Lines, Message, Severity, Value};
use metlog_pipeline::{Picked, SendError};
use metlog_query::{Narrow, Order};
use metlog_testkit::sample;
use std::ops::ControlFlow;

#[test]
fn bytes_come_back_as_they_came() {
    let mut bed = Bed::new();
    let mut batch: Lines = (0..20).map(sample::line).collect();
    for (number, nasty) in sample::nasty().into_iter().enumerate() {
        let mut message =
            sample::message(100 + number as u64).payload(nasty.clone()).field(nasty.clone(), nasty.clone());
        message.kind = nasty.clone();
        message.logger = nasty;
        batch.append(&lines(&[message]));
    }
    // Lenient ways to write one: blanks, keys in another order, half a symbol, numbers nobody else takes, and no text at all.
    batch.push(
        br#" { "fields" : {"a":"\ud800","b":1e-20000,"c":1E400,"d":NaN} , "payload":"x\u0000y" , "type":"odd" }"#,
    );
    batch.push(b"{\"type\":\"odd\",\"payload\":\"\xff\xfe\"}");
    let huge = "9".repeat(200_000);
    batch.push(format!(r#"{{"type":"odd","fields":{{"huge":{huge},"small":5e-324,"big":1.7e308}}}}"#).as_bytes());
    let ids: Vec<u64> = (1..=batch.len() as u64).collect();
    assert_eq!(bed.endpoint.write(&Picked::new(&batch, &ids)), Ok(()));
    let mut found = bed.found(Narrow::default(), Order::OldestFirst);
    found.sort();
    let written: Vec<(u64, Vec<u8>)> = ids.iter().copied().zip(batch.iter().map(<[u8]>::to_vec)).collect();
    assert_eq!(found.len(), written.len());
    for (found, written) in found.iter().zip(&written) {
        assert_eq!(found.0, written.0);
        assert!(found.1 == written.1, "{}", String::from_utf8_lossy(&written.1));
    }
    assert_eq!(bed.sql("select count(*) from metlog_messages where raw is null"), "1", "only what is no text");
    assert_eq!(bed.sql("select count(*) from metlog_messages where fields ->> 'huge' = repeat('9', 200000)"), "1");
}

#[test]
fn a_row_says_what_the_message_says() {
    let mut bed = Bed::new();
    let mut message = Message::new("t'ype").payload("The quick\u{0} brown-fox QUICK").severity(Severity::Error);
    message.logger = "a.b".into();
    message.timestamp = moment("2026-11-20T22:00:50.348839Z");
    message.origin = Some(Origin { client: "c1".into(), seq: 7 });
    let message = message
        .field("id", "order-42")
        .field("trace_id", "abc")
        .field("expires_at", "2200-01-01T00:00:00Z")
        .field("n", Value::Big("123456789012345678901234567890".into()));
    let line = String::from_utf8(lines(&[message]).bytes().to_vec()).expect("text");
    let batch: Lines = [line.trim_end().replace("348839Z", "348839123Z")].into_iter().collect();
    assert_eq!(bed.endpoint.write(&Picked::new(&batch, &[1])), Ok(()));
    assert_eq!(
        bed.sql(
            "select position, ts at time zone 'UTC', ts_nanos, severity, type, logger, id, trace_id, client, seq, \
             expires at time zone 'UTC', archived, words, fields ->> 'n', payload from metlog_messages"
        ),
        "1|2026-11-20 22:00:50.348839|123|3|t'ype|a.b|order-42|abc|c1|7|2200-01-01 00:00:00||{the,quick,brown,fox,quick}|\
         123456789012345678901234567890|The quick\u{fffd} brown-fox QUICK"
    );
}

#[test]
fn what_comes_twice_is_there_once_and_what_only_looks_alike_is_there() {
    let mut bed = Bed::new();
    let batch: Vec<Message> = (0..3000).map(sample::message).collect();
    bed.write(&batch).expect("written");
    bed.write(&batch).expect("written again");
    assert_eq!(bed.store.size().expect("counted").messages, 3000);
    // The same client and number from another router, so at another position.
    let ids: Vec<u64> = (90_000..93_000).collect();
    bed.write_as(&batch, &ids).expect("written a third time");
    assert_eq!(bed.store.size().expect("counted").messages, 3000);
    // The same id and bytes, as a client sends it that has not heard the answer.
    let message = at("2026-11-20T10:00:00Z").field("id", "x1");
    bed.write_as(&[message.clone(), message.clone()], &[100_001, 100_002]).expect("written");
    assert_eq!(bed.store.size().expect("counted").messages, 3001);
    // One id and second, but two events.
    bed.write_as(&[message.clone().payload("paid"), message.payload("sent")], &[100_003, 100_004]).expect("written");
    assert_eq!(bed.store.size().expect("counted").messages, 3003);
    // The position of another router.
    bed.write_as(&[at("2026-11-20T11:00:00Z")], &[1]).expect("written");
    assert_eq!(bed.store.size().expect("counted").messages, 3004);
}

#[test]
fn every_spool_has_positions_of_its_own() {
    let mut bed = Bed::new();
    // The same ids at the same moment, from three spools, and from beyond the end of one's first range.
    let messages = |what: &str| [1, 2].map(|n| at("2026-11-20T10:00:00Z").payload(format!("{what} {n}")));
    let beyond = 1 << 40;
    for again in [false, true] {
        for (spool, first) in [(0, 7), (u64::MAX, 7), (42, 7), (42, beyond)] {
            let lines = crate::support::lines(&messages(&format!("{spool} {first}")));
            let ids = [first, first + 1];
            let mut other = crate::support::endpoint(&bed.toml).expect("opens");
            let to = if again { &mut other } else { &mut bed.endpoint };
            to.write(&metlog_pipeline::Picked::new(&lines, &ids).out_of(spool)).expect("written");
        }
        let positions = bed.positions(Narrow::default());
        let expected = [7, 8, beyond + 7, beyond + 8, 2 * beyond + 7, 2 * beyond + 8, 3 * beyond, 3 * beyond + 1];
        assert_eq!(positions, expected, "each has its own, also when it comes again: {again}");
    }
    // One of them, and nobody else's.
    assert_eq!(bed.store.change(metlog_query::Change::Delete, &[2 * beyond + 7]), Ok(1));
    assert_eq!(bed.store.size().expect("counted").messages, 7);
    // A range may begin in the middle of a batch.
    let lines = crate::support::lines(&messages("across"));
    bed.endpoint.write(&metlog_pipeline::Picked::new(&lines, &[beyond - 1, beyond]).out_of(1)).expect("written");
    let there = bed.positions(Narrow::default());
    assert!(there.contains(&(5 * beyond - 1)) && there.contains(&(5 * beyond)), "{there:?}");
}

#[test]
fn odd_dates_go_to_the_default_partition() {
    let mut bed = Bed::new();
    let (before, last) = (month(2), month(1));
    let dates = [
        "1677-09-21T00:12:44Z",
        "1999-12-31T23:59:59.999999Z",
        &format!("{before}-28T23:59:59.999999Z"),
        &format!("{last}-01T00:00:00Z"),
        "2200-02-28T00:00:00Z",
        "2262-04-11T23:47:16Z",
    ];
    bed.write(&dates.map(at)).expect("written");
    let default = "metlog_messages_default";
    let expected = [default, default, &partition(&before), &partition(&last), default, default].join("\n");
    assert_eq!(bed.sql("select tableoid::regclass from metlog_messages order by position"), expected);
    assert_eq!(bed.positions(Narrow::default()), [1, 2, 3, 4, 5, 6], "in order of time");
    // Beyond what a timestamp holds: the message is understood as having none, and expires never.
    let mut batch = Lines::new();
    for date in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        let line = format!(r#"{{"type":"odd","timestamp":"{date}","fields":{{"expires_at":"9999-12-31T00:00:00Z"}}}}"#);
        batch.push(line.as_bytes());
    }
    assert_eq!(bed.endpoint.write(&Picked::new(&batch, &[7, 8])), Ok(()));
    assert_eq!(bed.positions(Narrow { types: vec!["odd".into()], ..Narrow::default() }), [7, 8]);
}

#[test]
fn a_message_of_a_mebibyte_is_kept_whole() {
    let mut bed = Bed::new();
    let text: String = (0..150_000).map(|number| format!("w{number:05} ")).collect();
    let message = at("2026-11-20T10:00:00Z").payload(&text[..1_047_000]);
    bed.write(std::slice::from_ref(&message)).expect("written");
    let found = bed.found(Narrow { words: vec![("w00017".into(), false)], ..Narrow::default() }, Order::NewestFirst);
    assert_eq!(found, [(1, lines(&[message]).get(0).expect("a line").to_vec())]);
    let longest = Message::new("x").payload("y".repeat(1_048_000)).field("trace_id", "z".repeat(128));
    bed.write_as(&[longest], &[2]).expect("one word, cut");
}

#[test]
fn values_that_look_like_sql_are_values() {
    let mut bed = Bed::new();
    let evil = "'); DROP TABLE metlog_messages; --";
    let mut message =
        at("2026-11-20T10:00:00Z").payload(evil).field("id", evil).field("trace_id", evil).field(evil, evil);
    (message.kind, message.logger) = (evil.into(), evil.into());
    message.origin = Some(Origin { client: evil.into(), seq: 1 });
    bed.write(&[message]).expect("written");
    let narrow = Narrow {
        types: vec![evil.into()],
        loggers: vec![evil.into()],
        ids: vec![evil.into(), "\0".into()],
        traces: vec![evil.into()],
        words: vec![("drop".into(), false), ("metl'".into(), true)],
        ..Narrow::default()
    };
    assert_eq!(bed.positions(narrow.clone()), [] as [u64; 0], "no word begins so");
    assert_eq!(bed.positions(Narrow { words: vec![("metl".into(), true)], ..narrow }), [1]);
}

/// Only a table that somebody changed refuses a message that was made to fit.
#[test]
fn messages_the_server_refuses_are_found_and_the_others_are_written() {
    let mut bed = Bed::new();
    bed.write(&[]).expect("nothing to do");
    bed.endpoint.tick().expect("the table is made");
    bed.sql("alter table metlog_messages add constraint mine check (fields ->> 'number' not in ('3', '1777'))");
    let batch: Vec<Message> = (0..2000).map(sample::message).collect();
    let Err(SendError::Refuse { which, why }) = bed.write(&batch) else { panic!("two are refused") };
    assert_eq!(which, [3, 1777]);
    assert!(why.contains("2 of 2000 refused; number 3: ") && why.contains("mine") && why.contains("23514"), "{why}");
    assert_eq!(bed.store.size().expect("counted").messages, 1998);
    // Everything at once would be wrong, but the batch is not given up.
    bed.sql("drop table metlog_messages_default cascade");
    let refused = bed.write_as(&[at("1999-01-01T00:00:00Z")], &[9000]);
    assert!(matches!(&refused, Err(SendError::Pause { why }) if why.contains("default partition")), "{refused:?}");
}

#[test]
fn what_is_no_message_is_refused_alone() {
    let mut bed = Bed::new();
    let batch: Lines = [&sample::line(0)[..], b"[1,2]", &sample::line(1)].into_iter().collect();
    let refused = bed.endpoint.write(&Picked::new(&batch, &[1, 2, 3]));
    assert!(matches!(&refused, Err(SendError::Refuse { which, .. }) if *which == [1]), "{refused:?}");
    let mut count = 0;
    let end = bed.store.scan(&scan(Narrow::default(), Order::NewestFirst), &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    assert!(end.is_ok() && count == 2);
}
