//! More than there is room for: produced = delivered + dropped, exactly, and the receiver is told.

mod common;

use common::{Kept, balanced, client, settle};
use metlog::{Client, Message, Overflow, Setup, Value};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const THREADS: u64 = 4;
const EACH: u64 = 20_000;

fn burst(client: &Client) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in 0..EACH {
                    metlog::info!(client: client, "a message of some length, {} of {}", number, EACH; thread = thread, number = number);
                }
            });
        }
    });
}

/// Everything but what the client says about itself.
fn own(messages: Vec<Message>) -> Vec<Message> {
    messages.into_iter().filter(|message| message.kind != "metlog.dropped").collect()
}

fn number(message: &Message, field: &str) -> u64 {
    message.fields.get(field).and_then(Value::as_i64).and_then(|number| u64::try_from(number).ok()).expect("a number")
}

/// Each thread's messages in order, none twice.
fn ordered(messages: &[Message]) {
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for message in messages {
        let (thread, number) = (number(message, "thread"), number(message, "number"));
        if let Some(before) = last.insert(thread, number) {
            assert!(before < number, "thread {thread}: {number} after {before}");
        }
    }
}

/// Running numbers without a gap, in the order of arrival.
fn numbered(messages: &[Message]) {
    for (at, message) in messages.iter().enumerate() {
        assert_eq!(message.origin.as_ref().map(|origin| origin.seq), Some(at as u64 + 1));
    }
}

#[test]
fn produced_is_delivered_and_dropped() {
    for overflow in [Overflow::DropNew, Overflow::DropOld, Overflow::Block] {
        let setup = Setup::new("burst").overflow(overflow).ring_bytes(16 * 1024).queue(256 * 1024, 2000);
        let (client, kept) = client(setup);
        burst(&client);
        let stats = settle(&client);
        let all = kept.messages();
        let told: u64 = all
            .iter()
            .filter(|message| message.kind == "metlog.dropped")
            .map(|message| number(message, "dropped"))
            .sum();
        let delivered = own(all.clone());
        ordered(&delivered);
        // What the client says about drops is numbered, sent and dropped like everything else.
        let notices = stats.senders[0].accepted - stats.taken;
        assert_eq!(all.len() as u64 + stats.lost(), THREADS * EACH + notices, "{overflow:?} {stats:?}");
        // After the last flush there may be news that no message has told yet.
        assert!(told <= stats.lost());
        if stats.senders[0].dropped.is_empty() {
            numbered(&all);
        }
    }
}

#[test]
fn nothing_is_dropped_where_there_is_room() {
    let (client, kept) = client(Setup::new("burst").block_timeout(Duration::from_secs(20)).queue(64 << 20, 1_000_000));
    burst(&client);
    let stats = settle(&client);
    let messages = kept.messages();
    assert_eq!((messages.len() as u64, stats.lost()), (THREADS * EACH, 0), "{stats:?}");
    ordered(&messages);
    numbered(&messages);
}

#[test]
fn a_dead_peer_costs_its_queue_and_no_more() {
    let setup =
        Setup::new("dead").overflow(Overflow::DropOld).queue(64 * 1024, 500).retry(ms(1), ms(5)).batch(50, ms(0));
    let (client, kept) = client(setup);
    kept.set_down(true);
    for number in 0..2000u64 {
        metlog::info!(client: client, "x"; thread = 0, number = number);
        if number % 100 == 0 {
            let _ = client.flush(ms(2));
        }
    }
    balanced(&client.stats());
    kept.set_down(false);
    let stats = settle(&client);
    let delivered = own(kept.messages());
    assert_eq!(delivered.len() as u64 + stats.lost(), 2000, "{stats:?}");
    assert!(stats.lost() > 0, "500 fit");
    assert_eq!(number(delivered.last().expect("some"), "number"), 1999, "the newest are kept");
    assert!(stats.senders[0].retries > 0);
    assert_eq!(stats.senders[0].last_error.as_deref(), Some("the peer is down"));
    let told = || -> u64 {
        let news = kept.messages().into_iter().filter(|message| message.kind == "metlog.dropped");
        news.map(|message| number(&message, "dropped")).sum()
    };
    // The news waits for half of the room, which may come after the flush.
    let until = Instant::now() + ms(5000);
    while told() < stats.lost() && Instant::now() < until {
        std::thread::sleep(ms(5));
    }
    assert_eq!(told(), stats.lost(), "the receiver knows what it did not get");
}

#[test]
fn callers_wait_once_per_outage_and_no_longer_than_they_are_told() {
    let setup =
        Setup::new("block").overflow(Overflow::Block).block_timeout(ms(200)).ring_bytes(4096).queue(16 * 1024, 50);
    let (client, kept) = client(setup);
    kept.set_hanging(true);
    let mut longest = Duration::ZERO;
    let began = Instant::now();
    for number in 0..3000u64 {
        let before = Instant::now();
        metlog::info!(client: client, "{}", "x".repeat(100); thread = 0, number = number);
        longest = longest.max(before.elapsed());
    }
    let took = began.elapsed();
    assert!(longest < ms(600), "no call waited much longer than its 200 ms: {longest:?}");
    assert!(took < ms(3000), "one wait in the ring and one in the queue, not one per message: {took:?}");
    kept.set_hanging(false);
    let stats = settle(&client);
    assert_eq!(own(kept.messages()).len() as u64 + stats.lost(), 3000, "{stats:?}");
    assert!(stats.lost() > 0);
}

#[test]
fn a_paced_caller_slows_down_to_what_leaves() {
    let (client, kept) = client(Setup::new("paced").overflow(Overflow::Pace).pace(ms(2), ms(20)));
    let began = Instant::now();
    for number in 0..20u64 {
        metlog::info!(client: client, "x"; thread = 0, number = number);
    }
    assert!(began.elapsed() >= ms(10), "the first pause is 2 ms: {:?}", began.elapsed());
    settle(&client);
    assert_eq!(kept.len(), 20);
}

#[test]
fn threads_that_end_leave_their_messages() {
    let (client, kept) = client(Setup::new("threads"));
    for thread in 0..50u64 {
        let client = client.clone();
        std::thread::spawn(move || metlog::info!(client: client, "bye"; thread = thread, number = 1))
            .join()
            .expect("it ends");
    }
    settle(&client);
    assert_eq!(kept.len(), 50);
    let _: &Kept = &kept;
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
