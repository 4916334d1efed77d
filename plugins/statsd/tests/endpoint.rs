//! The endpoint against statsd itself: what it counts in the end is asked of its management port.

mod support;

use metlog_message::{Lines, Message};
use metlog_pipeline::{EndpointEntry, Promise, SendError};
use metlog_statsd as _;
use metlog_testkit::{Outcome, Policy, drive, sample, settings};
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;
use support::{Driven, Statsd, lines, metric};

const PROTOCOLS: [&str; 2] = ["udp", "tcp"];

fn driven(statsd: &Statsd, more: &str) -> Driven {
    Driven::new(&format!("address = '127.0.0.1:{}'\n{more}", statsd.port))
}

/// Everything offered has a verdict.
fn offer(to: &mut Driven, batch: Lines) -> Outcome {
    let offered = batch.len();
    let outcome = drive(to, batch, Policy::within(Duration::from_secs(20)));
    assert_eq!(offered, outcome.sent + outcome.refused + outcome.given_up, "{outcome:?}");
    outcome
}

#[test]
fn the_example_opens_and_delivers_at_most_once() {
    let entry = EndpointEntry::find("statsd").expect("registered");
    let mut root = settings(entry.example);
    let endpoints = root.as_table_mut().and_then(|root| root.remove("endpoints")).expect("a section");
    let mut section = endpoints.get("metrics").cloned().expect("an endpoint");
    let table = section.as_table_mut().expect("a table");
    // Keys of every endpoint.
    table.remove("type");
    table.remove("types");
    let endpoint = (entry.read)(&section).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
    assert_eq!(endpoint.promise(), Promise::AtMostOnce);
}

#[test]
fn wrong_settings_are_told() {
    let entry = EndpointEntry::find("statsd").expect("registered");
    for (toml, words) in [
        ("address = 'localhost'", "127.0.0.1:8125"),
        ("address = ':8125'", "127.0.0.1:8125"),
        ("packet_bytes = 10", "test.toml:1:1: `packet_bytes` is 10; 64 to 65507 are possible, 1432 is usual"),
        ("prefix = 'a:b'", "`prefix`"),
        ("aggregate = true\ntags = 'dogstatsd'", "test.toml:2:1: `tags` needs `tag_fields`"),
        ("tag_fields = ['']", "`tag_fields`"),
        ("timeout = '0s'", "`timeout`"),
    ] {
        let why = (entry.read)(&settings(toml)).err().expect("refused").to_string();
        assert!(why.contains(words), "{toml}: {why}");
    }
}

#[test]
fn a_hundred_thousand_counters_are_counted_exactly() {
    // With and without sums; in the second case at a pace that a busy machine keeps up with.
    for protocol in PROTOCOLS {
        for aggregate in ["true", "false\npackets_per_second = 800"] {
            let statsd = Statsd::new();
            let mut endpoint = driven(&statsd, &format!("protocol = '{protocol}'\naggregate = {aggregate}"));
            for part in 0..10 {
                let messages: Vec<Message> = (0..10_000)
                    .map(|at| metric("counter", ["a", "b", "c.d"][at % 3], (at % 7 + part) as u64))
                    .collect();
                assert_eq!(offer(&mut endpoint, lines(&messages)).sent, 10_000);
            }
            let expected = |which: usize| -> f64 {
                let all = (0..10).flat_map(|part| (0..10_000).map(move |at| (at, part)));
                all.filter(|(at, _)| at % 3 == which).map(|(at, part)| (at % 7 + part) as f64).sum()
            };
            for (which, name) in ["a", "b", "c.d"].into_iter().enumerate() {
                let found = statsd.count("counters", name, expected(which));
                assert_eq!(found, Some(expected(which)), "{protocol} {aggregate} {name}");
            }
            assert_eq!(statsd.ask("counters").get("statsd.bad_lines_seen"), Some(&0.0));
        }
    }
}

#[test]
fn counters_timers_and_gauges_with_rates_and_signs() {
    for protocol in PROTOCOLS {
        let statsd = Statsd::new();
        let mut endpoint = driven(&statsd, &format!("protocol = '{protocol}'\nprefix = 'shop.'"));
        let batch = lines(&[
            metric("counter", "jobs", "3").field("rate", 0.1),
            metric("counter", "jobs", 2.5).field("rate", "1.0").logger("pay"),
            metric("counter", "jobs", -1).logger("pay"),
            metric("timer", "db.query", 12),
            metric("timer", "db.query", 320.75).field("rate", 0.5),
            // An absolute value below nought, on a gauge that was above it, and the other way round.
            metric("gauge", "level", 5),
            metric("gauge", "level", -7.5),
            metric("gauge", "low", -3),
            metric("gauge", "low", 4),
            metric("gauge", "last", 1),
        ]);
        let outcome = offer(&mut endpoint, batch);
        assert_eq!((outcome.sent, outcome.errors.len()), (10, 0));
        assert_eq!(statsd.count("gauges", "shop.last", 1.0), Some(1.0), "{protocol}");
        assert_eq!(statsd.count("counters", "shop.jobs", 30.0), Some(30.0), "{protocol}");
        assert_eq!(statsd.count("counters", "shop.pay.jobs", 1.5), Some(1.5), "{protocol}");
        assert_eq!(statsd.count("timers", "shop.db.query", 2.0), Some(2.0), "{protocol}");
        let gauges = statsd.ask("gauges");
        assert_eq!((gauges.get("shop.level"), gauges.get("shop.low")), (Some(&-7.5), Some(&4.0)), "{protocol}");
        assert_eq!(statsd.ask("counters").get("statsd.bad_lines_seen"), Some(&0.0));
    }
}

#[test]
fn what_is_no_metric_is_refused_with_the_reason_and_the_others_arrive() {
    for protocol in PROTOCOLS {
        let statsd = Statsd::new();
        let mut endpoint = driven(&statsd, &format!("protocol = '{protocol}'\npacket_bytes = 100"));
        let mut nameless = metric("counter", "x", 1);
        nameless.fields.remove("name");
        let batch = lines(&[
            metric("counter", "good", 1),
            sample::message(0),
            nameless,
            metric("counter", "", 1),
            metric("counter", "x", "three"),
            metric("counter", "x", metlog_message::Value::Null),
            metric("timer", "x", -1),
            metric("counter", "x", 1).field("rate", 0),
            metric("counter", "x", 1).field("rate", "often"),
            metric("counter", &"x".repeat(200), 1),
            metric("gauge", "x", f64::INFINITY),
            metric("counter", "good", 1),
        ]);
        match endpoint.endpoint.write(&metlog_pipeline::Picked::new(&batch, &(0..12).collect::<Vec<_>>())) {
            Err(SendError::Refuse { why, which }) => {
                assert_eq!(which, (1..11).collect::<Vec<_>>());
                assert_eq!(
                    why,
                    "10 of 12 refused; number 1: its type is \"contract\"; counter, timer and gauge are what statsd \
                     knows; number 2: it has no text `fields.name`; number 3: it has no text `fields.name`"
                );
            }
            other => panic!("{other:?}"),
        }
        for (message, words) in [
            (metric("counter", "x", "three"), "its payload \"three\" is no number"),
            (metric("timer", "x", -1), "its payload -1 is negative"),
            (metric("counter", "x", 1).field("rate", 0), "`fields.rate` 0 is no number above 0"),
            (metric("counter", &"x".repeat(200), 1), "`packet_bytes` is 100"),
        ] {
            let outcome = offer(&mut endpoint, lines(&[message]));
            assert!(outcome.refused == 1 && outcome.errors[0].why().contains(words), "{outcome:?}");
        }
        assert!(matches!(endpoint.endpoint.write(&metlog_pipeline::Picked::new(&Lines::new(), &[])), Ok(())));
        let not_ours: Lines = ["", "{}", "[1]", "\u{0}", "{\"type\":"].into_iter().collect();
        assert_eq!(offer(&mut endpoint, not_ours).refused, 5);
        assert_eq!(statsd.count("counters", "good", 2.0), Some(2.0));
        assert_eq!(statsd.ask("counters").get("statsd.bad_lines_seen"), Some(&0.0));
    }
}

#[test]
fn hostile_names_reach_the_server_as_names() {
    let statsd = Statsd::new();
    let mut endpoint = driven(&statsd, "protocol = 'tcp'\ntags = 'dogstatsd'\ntag_fields = ['user', 'gone']");
    let mut hostile = sample::nasty();
    hostile.retain(|name| !name.is_empty() && name.len() < 1000);
    hostile.extend(["x:1|c\nforged", "a|c|@0.001", "b|#k:v", "c;k=v", "d,k=v:9|c"].map(str::to_owned));
    let messages: Vec<Message> =
        hostile.iter().map(|text| metric("counter", text, 1).logger(text).field("user", text.as_str())).collect();
    let outcome = offer(&mut endpoint, lines(&messages));
    assert_eq!((outcome.sent, outcome.refused), (hostile.len(), 0), "{outcome:?}");
    let received = hostile.len() as f64;
    assert_eq!(statsd.count("counters", "statsd.metrics_received", received), Some(received));
    let counters = statsd.ask("counters");
    let ours: Vec<_> = counters.iter().filter(|(name, _)| !name.starts_with("statsd.")).collect();
    assert_eq!(ours.iter().map(|(_, count)| **count).sum::<f64>(), received, "{ours:?}");
    for (name, _) in ours {
        let (name, tag) = name.split_once(";user=").expect("a name and a tag");
        assert!([name, tag].iter().all(|text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))));
    }
    assert_eq!(counters.get("statsd.bad_lines_seen"), Some(&0.0));
}

/// What arrives at a plain socket, once the empty lines are gone.
fn packets(toml: &str, messages: &[Message]) -> Vec<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a time");
    let mut endpoint = Driven::new(&format!("address = '{}'\n{toml}", socket.local_addr().expect("an address")));
    assert_eq!(offer(&mut endpoint, lines(messages)).sent, messages.len());
    let mut buffer = [0; 65_536];
    std::iter::from_fn(|| {
        socket.recv(&mut buffer).ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
    .map(|packet| packet.trim_end_matches('\n').to_owned())
    .filter(|packet| !packet.is_empty())
    .collect()
}

#[test]
fn tags_in_every_dialect() {
    let message =
        metric("counter", "jobs", 1).field("host", "app 01").field("up", true).field("list", "").logger("shop");
    for (tags, expected) in [
        ("none", "shop.jobs.app_01._.true:1|c"),
        ("dogstatsd", "shop.jobs:1|c|#host:app_01,up:true"),
        ("influx", "shop.jobs,host=app_01,up=true:1|c"),
        ("graphite", "shop.jobs;host=app_01;up=true:1|c"),
    ] {
        let toml = format!("tags = '{tags}'\ntag_fields = ['host', 'list', 'up']");
        assert_eq!(packets(&toml, std::slice::from_ref(&message)), [expected]);
    }
    let mut named = message.clone();
    named.hostname = Some("web-7".into());
    let toml = "namespace = false\ntags = 'dogstatsd'\ntag_fields = ['metlog_hostname', 'logger']";
    assert_eq!(packets(toml, &[named]), ["jobs:1|c|#metlog_hostname:web-7,logger:shop"]);
    // The field of this name is preferred, as a namespace too.
    assert_eq!(packets("", &[message.field("logger", "own")]), ["own.jobs:1|c"]);
}

#[test]
fn packets_are_full_and_no_line_is_cut() {
    let messages: Vec<Message> = (0..500).map(|at| metric("timer", &format!("timer.number.{at}"), at)).collect();
    for toml in ["packet_bytes = 512", "packet_bytes = 512\ntags = 'dogstatsd'\ntag_fields = ['name']"] {
        let packets = packets(toml, &messages);
        assert!(packets.iter().all(|packet| packet.len() <= 512), "{packets:?}");
        let all: Vec<&str> = packets.iter().flat_map(|packet| packet.lines()).collect();
        assert_eq!(all.len(), 500);
        assert!(all.iter().enumerate().all(|(at, line)| line.starts_with(&format!("timer.number.{at}:{at}|ms"))));
        let bytes: usize = all.iter().map(|line| line.len() + 1).sum();
        assert!(packets.len() <= bytes / 400, "{} packets for {bytes} bytes", packets.len());
    }
}

#[test]
fn nothing_is_lost_while_nobody_listens() {
    for protocol in PROTOCOLS {
        let mut statsd = Statsd::stopped();
        let mut endpoint = driven(&statsd, &format!("protocol = '{protocol}'"));
        let batch = |count| lines(&vec![metric("counter", "jobs", 1); count]);
        let outcome = drive(&mut endpoint, batch(100), Policy::within(Duration::ZERO));
        assert_eq!((outcome.sent, outcome.given_up), (0, 100), "{protocol} {outcome:?}");
        assert!(outcome.errors[0].why().contains(&statsd.port.to_string()), "{outcome:?}");

        // The same with a server that appears meanwhile, and with one that comes back.
        for _ in 0..2 {
            let mut tries = 0;
            let outcome = drive(
                &mut endpoint,
                batch(100),
                Policy::within(Duration::from_secs(30)).on_error(|_| {
                    tries += 1;
                    if tries == 3 {
                        statsd.start();
                    }
                }),
            );
            assert_eq!((outcome.sent, outcome.errors.len()), (100, 3), "{protocol} {outcome:?}");
            assert_eq!(statsd.count("counters", "jobs", 100.0), Some(100.0), "{protocol}");
            statsd.stop();
            // That it went away is noticed when it is asked again, once a second.
            std::thread::sleep(Duration::from_millis(1100));
        }
    }
}

#[test]
fn over_tcp_what_may_have_arrived_is_not_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut endpoint =
        Driven::new(&format!("address = '{address}'\nprotocol = 'tcp'\ntimeout = '300ms'\naggregate = false"));
    // More than any buffer between the two takes.
    let name = "x".repeat(1000);
    let mut messages = vec![metric("timer", &name, 1); 16_000];
    messages.insert(5, sample::message(0));
    let reader = std::thread::spawn(move || {
        // The first connection is never read while it lives, the next ones are.
        let (mut first, _) = listener.accept().expect("a connection");
        let (mut second, _) = listener.accept().expect("a connection");
        drop(listener);
        let count = |from: &mut dyn Read| {
            let mut text = String::new();
            from.read_to_string(&mut text).expect("its end");
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            text[..whole].lines().count()
        };
        count(&mut second) + count(&mut first)
    });
    let outcome = drive(&mut endpoint, lines(&messages), Policy::within(Duration::from_secs(20)));
    endpoint.endpoint.close(Duration::from_secs(1)).expect("closed");
    let arrived = reader.join().expect("it ends");
    assert_eq!(outcome.sent + outcome.refused + outcome.given_up, messages.len());
    assert!(outcome.refused > 1, "the one that is no metric, and those under way: {:?}", outcome.errors);
    assert!(outcome.errors.iter().any(|error| error.why().contains("may have arrived")), "{:?}", outcome.errors);
    // No line twice, and only lines of refused messages are in doubt.
    assert!((outcome.sent..outcome.sent + outcome.refused).contains(&arrived), "{arrived} {outcome:?}");
}
