//! What the endpoint makes of a peer's answers.

use metlog_forward::{Config, RouterEndpoint};
use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, Picked, SendError};
use metlog_settings::Span;
use metlog_testkit::http::{Answer, HttpPeer, Request};
use std::sync::Arc;
use std::time::Duration;

fn endpoint(peer: &HttpPeer, compress: &str) -> RouterEndpoint {
    let config = Config {
        url: peer.url(),
        key: None,
        key_file: None,
        compress: match compress {
            "none" => metlog_http::Codec::None,
            _ => metlog_http::Codec::Auto,
        },
        timeout: Span(Duration::from_secs(10)),
        connection: metlog_http::Connection::default(),
    };
    RouterEndpoint::check(&config).expect("right");
    RouterEndpoint::open(config).expect("opened")
}

fn lines(count: u64) -> Lines {
    (0..count).map(|n| format!(r#"{{"n":{n}}}"#)).collect()
}

fn body(request: &Request) -> Vec<u8> {
    match request.header("content-encoding") {
        None => request.body.clone(),
        Some(coding) => {
            assert_eq!(coding, "zstd");
            zstd::decode_all(request.body.as_slice()).expect("whole")
        }
    }
}

#[test]
fn a_request_says_whose_messages_it_brings() {
    let peer = HttpPeer::new(|_: &Request| Answer::new(200, "{}"));
    let mut endpoint = endpoint(&peer, "auto");
    let (lines, ids) = (lines(300), [(5..205).collect::<Vec<u64>>(), (300..400).collect()].concat());
    let passed = [(100..350, Arc::from("00000000000000aa"))];
    let picked = Picked::new(&lines, &ids).out_of(0xc0ffee).forwarded("to central", &passed);
    assert_eq!(endpoint.write(&picked), Ok(()));
    let requests = peer.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/messages"));
    assert_eq!(request.header("metlog-from"), Some("0000000000c0ffee/to%20central"));
    assert_eq!(request.header("metlog-ids"), Some("5*200,96*100"));
    assert_eq!(request.header("metlog-passed"), Some("00000000000000aa,0000000000c0ffee"));
    assert_eq!(body(request), lines.bytes());
    assert!(request.body.len() * 2 < lines.bytes().len(), "compressed");
}

#[test]
fn every_answer_is_what_it_is() {
    let ids: Vec<u64> = (0..8).collect();
    for (status, paused) in [(401, true), (403, true), (404, true), (412, true), (503, false), (500, false)] {
        let peer = HttpPeer::new(move |_: &Request| Answer::new(status, "{\"error\":\"because\"}"));
        let mut endpoint = endpoint(&peer, "none");
        let lines = lines(8);
        let picked = Picked::new(&lines, &ids).out_of(1).forwarded("c", &[]);
        let result = endpoint.write(&picked).expect_err("refused");
        assert_eq!(matches!(result, SendError::Pause { .. }), paused, "{status}: {result}");
        assert_eq!(matches!(result, SendError::Retry { .. }), !paused, "{status}: {result}");
        assert!(result.why().contains("because"), "{result}");
        assert_eq!(peer.requests().len(), 1, "{status}");
    }
    let peer = HttpPeer::new(|_: &Request| Answer::new(429, "").header("retry-after", "7"));
    let lines = lines(8);
    let result = endpoint(&peer, "none").write(&Picked::new(&lines, &ids).out_of(1).forwarded("c", &[]));
    assert!(matches!(result, Err(SendError::Retry { after: Some(after), .. }) if after.as_secs() == 7), "{result:?}");
}

#[test]
fn too_large_is_sent_in_parts_and_a_single_one_also_as_it_is() {
    // Takes three messages at a time, and number 5 only if nothing looks like a bomb.
    let peer = HttpPeer::new(|request: &Request| {
        let text = String::from_utf8(body(request)).expect("text");
        let bomb = request.header("content-encoding").is_some() && text.contains("xxx");
        if text.lines().count() > 3 || bomb { Answer::new(413, "") } else { Answer::new(200, "{}") }
    });
    let lines: Lines = (0..8).map(|n| if n == 5 { "x".repeat(5000) } else { format!(r#"{{"n":{n}}}"#) }).collect();
    let ids: Vec<u64> = (10..18).collect();
    assert_eq!(endpoint(&peer, "auto").write(&Picked::new(&lines, &ids).out_of(1).forwarded("c", &[])), Ok(()));
    let taken = |request: &&Request| {
        let text = String::from_utf8(body(request)).expect("text");
        text.lines().count() <= 3 && !(request.header("content-encoding").is_some() && text.contains("xxx"))
    };
    let requests = peer.requests();
    let whole: Vec<u8> = requests.iter().filter(taken).flat_map(body).collect();
    assert_eq!(whole, lines.bytes(), "all of it once and in order");
    let ids: Vec<&str> = requests.iter().filter(taken).filter_map(|request| request.header("metlog-ids")).collect();
    assert_eq!(ids, ["10*2", "12*2", "14", "15", "16*2"]);
}

#[test]
fn ids_far_apart_and_messages_from_everywhere_fit_into_headers() {
    let peer = HttpPeer::new(|_: &Request| Answer::new(200, "{}"));
    let (lines, ids) = (lines(4000), (0..4000).map(|n| n * 1_000_003).collect::<Vec<u64>>());
    let passed: Vec<_> =
        ids.iter().map(|id| (*id..id + 1, Arc::from(format!("{:016x}", id % 1000).as_str()))).collect();
    assert_eq!(endpoint(&peer, "auto").write(&Picked::new(&lines, &ids).out_of(1).forwarded("c", &passed)), Ok(()));
    let requests = peer.requests();
    assert!(requests.len() > 5 && requests.len() < 64, "{}", requests.len());
    for request in &requests {
        assert!(request.headers.iter().all(|(_, value)| value.len() <= 4096));
    }
    assert_eq!(requests.iter().flat_map(body).collect::<Vec<u8>>(), lines.bytes());
}

#[test]
fn what_went_round_is_refused_and_the_rest_goes_on() {
    let home = "00000000000000cc";
    let peer = HttpPeer::new(move |request: &Request| match request.header("metlog-passed") {
        Some(passed) if passed.contains(home) => Answer::new(409, "{\"error\":\"a loop\"}").header("metlog-loop", home),
        _ => Answer::new(200, "{}"),
    });
    let (lines, ids) = (lines(100), (0..100).collect::<Vec<u64>>());
    let passed: Vec<_> = (0..50).map(|n| (n * 2..n * 2 + 1, Arc::from(home))).collect();
    let mut endpoint = endpoint(&peer, "none");
    let picked = Picked::new(&lines, &ids).out_of(1).forwarded("c", &passed);
    let Err(SendError::Refuse { which, why }) = endpoint.write(&picked) else { panic!("half of it") };
    assert_eq!(which, (0..100).step_by(2).collect::<Vec<_>>());
    assert!(why.contains("a loop"), "{why}");
    assert_eq!(peer.requests().len(), 2, "asked once, and then it is known");
    assert!(endpoint.write(&picked).is_err());
    assert_eq!(peer.requests().len(), 3);
}

#[test]
fn refused_ones_are_named_by_the_answer() {
    let peer =
        HttpPeer::new(|_: &Request| Answer::new(200, r#"{"accepted":3,"rejected":[{"index":2,"error":"too loud"}]}"#));
    let (lines, ids) = (lines(4), [1, 2, 3, 4]);
    let result = endpoint(&peer, "none").write(&Picked::new(&lines, &ids).out_of(1).forwarded("c", &[]));
    assert_eq!(result, Err(SendError::Refuse { why: "1 of 4 refused; number 2: too loud".into(), which: vec![2] }));
}

#[test]
fn wrong_settings_are_told() {
    for (url, says) in [("ftp://x", "url"), ("http://user:pw@x", "url"), ("", "url")] {
        let config = Config {
            url: url.into(),
            key: None,
            key_file: None,
            compress: metlog_http::Codec::Auto,
            timeout: Span(Duration::from_secs(1)),
            connection: metlog_http::Connection::default(),
        };
        let why = RouterEndpoint::check(&config).expect_err("refused");
        assert!(why.contains(says), "{url}: {why}");
    }
}
