//! The head scan beside serde_json, on the same messages in the same run: `cargo bench -p metlog-message`.

use metlog_message::head;
use metlog_message::wire::Limits;
use serde::Deserialize;
use std::borrow::Cow;
use std::hint::black_box;
use std::time::Instant;

/// What the scan finds, without the parts it leaves as JSON: serde_json skips those.
#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    logger: Cow<'a, str>,
    severity: u8,
    #[serde(borrow)]
    metlog_client: Cow<'a, str>,
    metlog_seq: u64,
}

impl Typed<'_> {
    fn sum(&self) -> usize {
        let texts = self.kind.len() + self.timestamp.len() + self.logger.len() + self.metlog_client.len();
        texts + usize::from(self.severity) + self.metlog_seq as usize
    }
}

fn main() {
    let messages: Vec<String> = (0..1000)
        .map(|number| {
            format!(
                r#"{{"type":"oldstyle","timestamp":"2026-11-20T22:00:50.{:06}Z","logger":"shop.cart","severity":{},"payload":"user {number} put article {} into the cart","fields":{{"user_id":{number},"path":"/cart/add","ms":{}.25,"tags":["a","b"],"agent":"Mozilla/5.0 (X11; Linux x86_64; rv:128.0)"}},"env_version":"0.8","metlog_pid":4711,"metlog_hostname":"app01","metlog_client":"0123456789abcdef","metlog_seq":{number}}}"#,
                number * 7, number % 8, number * 3, number % 100
            )
        })
        .collect();
    let rounds = if std::env::args().any(|arg| arg == "--bench") { 400 } else { 1 };
    let limits = Limits::default();
    let scan = || messages.iter().filter(|text| head::scan(black_box(text.as_bytes()), &limits).is_ok()).count();
    let parse = || {
        let read = |text: &String| {
            serde_json::from_slice::<Typed<'_>>(black_box(text.as_bytes()))
                .is_ok_and(|typed| black_box(typed.sum()) > 0)
        };
        messages.iter().filter(|text| read(text)).count()
    };
    assert_eq!((scan(), parse()), (1000, 1000));
    let best = |work: &dyn Fn() -> usize| {
        (0..rounds)
            .map(|_| {
                let began = Instant::now();
                black_box(work());
                began.elapsed().as_nanos() as f64 / 1000.0
            })
            .fold(f64::MAX, f64::min)
    };
    // In turn, so that both meet the same weather.
    let (mut ours, mut theirs) = (f64::MAX, f64::MAX);
    for _ in 0..5 {
        ours = ours.min(best(&scan));
        theirs = theirs.min(best(&parse));
    }
    println!("{} bytes per message", messages[0].len());
    println!("head::scan            {ours:>6.0} ns");
    println!("serde_json, borrowed  {theirs:>6.0} ns   {:.2} times as long", theirs / ours);
}
