//! The server dies, and comes back.

use crate::support::{Bed, lines, scan};
use metlog_message::Message;
use metlog_pipeline::{Picked, SendError};
use metlog_query::{Narrow, Order};
use metlog_testkit::{Postgres, eventually, sample};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// With the server's own settings of durability, since that is what a confirmed batch relies on.
#[test]
fn a_server_that_is_killed_under_load_keeps_every_confirmed_row_once() {
    let server = Mutex::new(Postgres::with(&[]));
    let lock = || server.lock().expect("no panic");
    let url = lock().url("postgres");
    let mut bed = Bed::at(&url, "postgres".into(), "timeout = '5s'");
    let stop = AtomicBool::new(false);
    let (mut confirmed, mut failed) = (0_u64, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(700));
                let mut server = lock();
                server.kill();
                server.start();
            }
            stop.store(true, Ordering::Relaxed);
        });
        while !stop.load(Ordering::Relaxed) {
            let messages: Vec<Message> = (confirmed..confirmed + 200).map(sample::message).collect();
            let (batch, ids) = (lines(&messages), (confirmed + 1..=confirmed + 200).collect::<Vec<u64>>());
            match bed.endpoint.write(&Picked::new(&batch, &ids)) {
                Ok(()) => confirmed += 200,
                Err(SendError::Retry { done: 0, .. }) => {
                    failed += 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    });
    assert!(failed > 0 && confirmed > 400, "{confirmed} confirmed, {failed} times failed");
    // A batch that was written but not confirmed may be there on top, whole.
    let found = bed.positions(Narrow::default());
    assert!(found.len() as u64 == confirmed || found.len() as u64 == confirmed + 200, "{confirmed}, {}", found.len());
    assert!(found.iter().copied().eq(1..=found.len() as u64), "each once");
}

#[test]
fn a_store_whose_connections_died_connects_again() {
    let mut server = Postgres::new();
    let url = server.url("postgres");
    let mut bed = Bed::at(&url, "postgres".into(), "timeout = '5s'");
    bed.write(&[sample::message(0)]).expect("written");
    assert_eq!(bed.found(Narrow::default(), Order::NewestFirst).len(), 1);
    server.kill();
    // The server's processes take a moment to notice.
    let gone =
        || bed.store.scan(&scan(Narrow::default(), Order::NewestFirst), &mut |_| ControlFlow::Continue(())).is_err();
    assert!(eventually(Duration::from_secs(10), gone));
    let away = bed.write_as(&[sample::message(1)], &[2]);
    assert!(matches!(&away, Err(SendError::Retry { .. })), "{away:?}");
    server.start();
    assert_eq!(bed.found(Narrow::default(), Order::NewestFirst).len(), 1);
    assert_eq!(bed.write_as(&[sample::message(1)], &[2]), Ok(()));
    // And once more without anybody noticing in between: a connection that lay idle is tried, and then a new one.
    server.kill();
    server.start();
    assert_eq!(bed.write_as(&[sample::message(2)], &[3]), Ok(()));
    assert_eq!(bed.found(Narrow::default(), Order::NewestFirst).len(), 3);
}

#[test]
fn a_server_that_says_nothing_ends_with_the_time_out() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("postgres://u:hunter2@{}/d", silent.local_addr().expect("an address"));
    let mut bed = Bed::at(&url, "d".into(), "timeout = '300ms'");
    let begun = std::time::Instant::now();
    let late = bed.write(&[sample::message(0)]);
    assert!(matches!(&late, Err(SendError::Retry { why, .. }) if !why.contains("hunter2")), "{late:?}");
    assert!(bed.store.size().is_err());
    assert!(begun.elapsed() < Duration::from_secs(5));
}
