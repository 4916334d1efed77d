//! What a router gets, and when.

mod support;

use metlog_message::Lines;
use metlog_pipeline::{SendError, Sender};
use support::{Router, endpoint, insist, numbered, open, peer::Peer};

fn publisher(endpoints: &[&str], more: &str) -> Box<dyn Sender> {
    open("zmq_pub", &format!("bindstrs = {endpoints:?}\n{more}")).unwrap()
}

#[test]
fn the_very_first_message_arrives_as_one_frame_of_plain_json() {
    let at = endpoint();
    let router = Router::start(&["sub", &at]);
    let mut sender = publisher(&[&at], "connect_wait = \"30s\"");
    let batch: Lines = ["{\"type\":\"foo\",\"payload\":\"größe 日本\"}", "{}"].into_iter().collect();
    sender.send(&batch).unwrap();
    assert!(router.line().starts_with("[\"{\\\"type\\\":\\\"foo\\\""));
    assert_eq!(router.message(), "{}");
}

#[test]
fn frames_on_the_wire_are_metlogs() {
    let peer = Peer::bind();
    let mut sender = publisher(&[&peer.endpoint()], "connect_wait = \"30s\"");
    let received = std::thread::spawn(move || {
        let mut connection = peer.accept();
        connection.greet("SUB");
        connection.subscribe();
        ([connection.frame(), connection.frame()], connection)
    });
    let long = format!("{{\"payload\":\"{}\"}}", "x".repeat(300));
    sender.send(&["{}", &long].into_iter().collect()).unwrap();
    // Flags 0 for up to 255 bytes, flags 2 and eight bytes of length above; never MORE, never a topic.
    let (frames, _connection) = received.join().unwrap();
    assert_eq!(frames, [(0, b"{}".to_vec()), (2, long.into_bytes())]);
}

#[test]
fn nothing_is_lost_when_the_router_comes_later() {
    let at = endpoint();
    let mut sender = publisher(&[&at], "connect_wait = \"10ms\"");
    let first = sender.send(&numbered(1, 3)).unwrap_err();
    assert!(matches!(&first, SendError::Retry { done: 0, why, .. } if why.contains(&at)), "{first:?}");
    let router = Router::start(&["sub", &at, "--count", "3"]);
    insist(&mut *sender, numbered(1, 3));
    assert_eq!(router.line(), r#"{"seen": 3, "in_order": 3, "last": 3}"#);
}

#[test]
fn order_is_kept_over_many_batches_whatever_the_pool_size() {
    let at = endpoint();
    let router = Router::start(&["sub", &at, "--count", "10000"]);
    let mut sender = publisher(&[&at], "connect_wait = \"30s\"\npool_size = 10\nlivecheck = 10");
    for batch in 0..100 {
        sender.send(&numbered(batch * 100 + 1, 100)).unwrap();
    }
    assert_eq!(router.line(), r#"{"seen": 10000, "in_order": 10000, "last": 10000}"#);
}

#[test]
fn every_router_gets_every_message() {
    let (here, there) = (endpoint(), endpoint());
    let routers = [Router::start(&["sub", &here, "--count", "500"]), Router::start(&["sub", &there, "--count", "500"])];
    let mut sender = publisher(&[&here, &there], "connect_wait = \"30s\"");
    sender.send(&numbered(1, 500)).unwrap();
    for router in routers {
        assert_eq!(router.line(), r#"{"seen": 500, "in_order": 500, "last": 500}"#);
    }
}

#[test]
fn a_router_that_is_away_holds_nobody_up_and_what_it_misses_is_told() {
    let (here, there) = (endpoint(), endpoint());
    let router = Router::start(&["sub", &here, "--count", "30"]);
    let mut sender = publisher(&[&here, &there], "connect_wait = \"3s\"");
    let told = sender.send(&numbered(1, 10)).unwrap_err();
    assert!(
        matches!(&told, SendError::Refuse { why, which } if which.is_empty() && why.contains(&there) && why.contains("misses")),
        "{told:?}"
    );
    // Told once, not for every batch.
    sender.send(&numbered(11, 20)).unwrap();
    assert_eq!(router.line(), r#"{"seen": 30, "in_order": 30, "last": 30}"#);

    let late = Router::start(&["sub", &there]);
    let back = loop {
        match sender.send(&numbered(1, 1)) {
            Ok(()) => {}
            Err(SendError::Refuse { why, .. }) => break why,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(back.contains("is back, it missed"), "{back}");
    assert!(late.message().starts_with("{\"n\":1,"));
}

#[test]
fn joined_frames_hold_one_message_per_line() {
    let at = endpoint();
    let router = Router::start(&["sub", &at]);
    let mut sender = publisher(&[&at], "connect_wait = \"30s\"\nbatch_frames = true");
    sender.send(&["{\"a\":1}", "{}", "{\"b\":2}"].into_iter().collect()).unwrap();
    assert_eq!(router.message(), "{\"a\":1}\n{}\n{\"b\":2}");
}

#[test]
fn metlog_nodes_way_we_bind_and_the_router_connects() {
    let at = endpoint();
    let mut sender = publisher(&[&at], "connect_wait = \"30s\"\nbind = true");
    let routers =
        [Router::start(&["sub", &at, "--connect", "--count", "50"]), Router::start(&["sub", &at, "--connect"])];
    // Both must have subscribed; until then each sees only some.
    loop {
        sender.send(&numbered(0, 1)).unwrap();
        if routers[1].line_within(std::time::Duration::from_millis(50)).is_some() {
            break;
        }
    }
    sender.send(&numbered(1, 50)).unwrap();
    assert!(routers[0].line().contains("\"seen\": 50"));
    loop {
        if routers[1].message().starts_with("{\"n\":50,") {
            break;
        }
    }
}

#[test]
fn an_address_in_use_fails_at_the_start() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", listener.local_addr().unwrap());
    let why = open("zmq_pub", &format!("bindstrs = \"{at}\"\nbind = true")).err().unwrap();
    assert!(why.contains(&at), "{why}");
}

#[cfg(unix)]
#[test]
fn ipc_works_like_tcp() {
    let path = std::env::temp_dir().join(format!("metlog-zmq-{}.sock", std::process::id()));
    let at = format!("ipc://{}", path.display());
    let router = Router::start(&["sub", &at, "--count", "100"]);
    let mut sender = publisher(&[&at], "connect_wait = \"30s\"");
    sender.send(&numbered(1, 100)).unwrap();
    assert_eq!(router.line(), r#"{"seen": 100, "in_order": 100, "last": 100}"#);
    let _ = std::fs::remove_file(path);
}

#[test]
fn wrong_settings_fail_at_the_start() {
    let shake = "handshake_bind = 'tcp://127.0.0.1:5564'\nconnect_bind = 'tcp://127.0.0.1:5565'\n";
    for (class, settings, why) in [
        ("zmq_pub", "bindstrs = []", "test.toml:1:1: `bindstrs` is an empty list"),
        ("zmq_pub", "bindstrs = '127.0.0.1:5565'", "tcp://127.0.0.1:5565"),
        ("zmq_pub", "bind = true\nqueue_length = 0", "test.toml:2:1: `queue_length` is 0"),
        (
            "zmq_pub",
            "bind = true\nbindstrs = 'tcp://0.0.0.0:5565'",
            "test.toml:2:1: `bindstrs` is `tcp://0.0.0.0:5565`",
        ),
        ("zmq_pub", "bindstr = 'tcp://127.0.0.1:5565'", "bindstrs"),
        ("zmq_handshake_pub", &format!("{shake}hwm = 0"), "test.toml:3:1: `hwm` is 0"),
        ("zmq_handshake_pub", &format!("{shake}livecheck = 0"), "test.toml:3:1: `livecheck` is 0"),
        ("zmq_handshake_pub", &format!("{shake}handshake_timeout = 0"), "test.toml:3:1: `handshake_timeout` is 0"),
        ("zmq_handshake_pub", &shake.replace("5565", "0"), "test.toml:2:1: `connect_bind` is "),
    ] {
        let error = open(class, settings).err().unwrap_or_default();
        assert!(error.contains(why), "{settings}: {error}");
    }
}
