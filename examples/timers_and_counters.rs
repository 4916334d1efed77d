//! Counters, timers, sampling, decorators, aggregation: `cargo run --example timers_and_counters`.

use metlog::{incr, incr_count, timeit, timer};
use std::time::Duration;

#[timeit]
#[incr_count("work.done")]
fn work(items: usize) -> usize {
    std::thread::sleep(Duration::from_millis(3));
    items * 2
}

#[timeit("fetch")]
async fn fetch() -> &'static str {
    tokio::time::sleep(Duration::from_millis(2)).await;
    "page"
}

fn query() -> Result<u32, std::num::ParseIntError> {
    // The timer sends also when the block is left by `?`.
    let rows = timer!("db.query", table = "users", { "17".parse::<u32>()? });
    Ok(rows)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let guard = metlog::from_toml(
        r#"
        [metlog]
        logger = "shop"
        disabled_timers = ["noisy"]
        aggregate = "1s"            # counters and timers without fields: one message per second each
        [metlog.sender]
        class = "stdout"
        "#,
        "metlog",
    )?
    .guard();

    for _ in 0..1000 {
        incr!("requests");
        incr!("bytes", 512);
        // A tenth of the calls are sent; the message says so.
        incr!("cache.hit", 1, rate = 0.1, host = "a");
    }
    let _off = timer!("noisy");
    println!("{} {} {}", work(21), fetch().await, query()?);

    let timer = timer!("by.hand");
    println!("took {:?} ms", timer.stop());
    let sum = metlog::measure("sum", || (1..1000).sum::<u64>());
    println!("{sum}");

    println!("{}", guard.shutdown().expect("a client"));
    Ok(())
}
