//! The router's three inner steps, each by itself: `cargo bench -p metlog-bench --bench pieces`.
//!
//! Scanning a message's head, asking who wants it, appending it to the spool; 300-byte messages, per message.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use metlog_message::wire::Limits;
use metlog_message::{Batch, Severity, head};
use metlog_router::routes::{Judge, Node, Route, Routes};
use metlog_spool::{Disk, Options, Spool, Sync};
use std::hint::black_box;

const MESSAGES: usize = 1000;

fn messages() -> Vec<Vec<u8>> {
    let one = |at: usize| {
        let kind = ["oldstyle", "counter", "timer"][at % 3];
        let text = "connection from 10.0.3.17 to the session store was slow again and is watched";
        format!(
            "{{\"type\":\"{kind}\",\"timestamp\":\"2026-11-21T08:00:00.{at:06}Z\",\"logger\":\"shop.checkout\",\"severity\":{},\
             \"payload\":\"{text}\",\"fields\":{{\"user\":{at},\"path\":\"/cart\",\"took\":12.5}},\"env_version\":\"0.8\",\
             \"metlog_pid\":4242,\"metlog_hostname\":\"web-3\"}}",
            at % 8
        )
        .into_bytes()
    };
    (0..MESSAGES).map(one).collect()
}

/// Twenty endpoints; with a condition that type and severity settle, or one that has to see each message.
fn routes(section: &str) -> Routes {
    let problems = |why: metlog_settings::Problems| why.to_string();
    let node = metlog_settings::toml::read("bench", section, &|_| None).map_err(problems).expect("right");
    let kind = if section.contains("path") { "field" } else { "type_whitelist" };
    let entry = metlog_pipeline::FilterEntry::find(kind).expect("linked");
    let filter = (entry.read)(&node).map_err(problems).expect("right")().expect("opens");
    let route = |slot| Route {
        endpoint: format!("e{slot}"),
        slot,
        severity_max: Some(Severity::Warning),
        filters: vec![0],
        ..Route::default()
    };
    Routes::new((0..20).map(route).collect(), vec![("it".to_owned(), Node::Leaf(filter))])
}

fn pieces(criterion: &mut Criterion) {
    let messages = messages();
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("router");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    group.bench_function("head scan", |bencher| {
        bencher.iter(|| messages.iter().filter(|raw| head::scan(black_box(raw), &limits).is_ok()).count());
    });
    let heads: Vec<_> = messages.iter().map(|raw| head::scan(raw, &limits).expect("strict")).collect();
    for (name, section) in
        [("who wants it, by type", "types = ['timer']"), ("who wants it, by a field", "path = 'user'\nmore = 500")]
    {
        let routes = routes(section);
        let mut judge = Judge::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                heads.iter().zip(&messages).fold(0, |all, (head, raw)| all ^ judge.wants(&routes, 0, head, raw))
            });
        });
    }
    let directory = std::env::temp_dir().join(format!("metlog-bench-pieces-{}", std::process::id()));
    let options = Options { sync: Sync::Never, max_bytes: 1 << 30, free_floor: 0, ..Options::default() };
    let (spool, _) =
        Spool::open(Disk::open(&directory).expect("a directory of our own"), options).expect("a new spool");
    let reader = spool.reader(spool.slot("bench", true).expect("a cursor"));
    group.bench_function("spool append", |bencher| {
        let batch = || {
            let mut batch = spool.recycled();
            messages.iter().for_each(|raw| batch.push(raw, 1));
            // What was appended is done with: the spool deletes, as it does when all endpoints keep up.
            reader.commit(spool.next_id(), 0);
            batch
        };
        bencher.iter_batched(
            batch,
            |batch: Batch| spool.append(batch).map(|_| ()).map_err(|_| "full"),
            BatchSize::SmallInput,
        );
    });
    group.finish();
    drop(reader);
    spool.close();
    std::fs::remove_dir_all(directory).expect("ours");
}

criterion_group!(benches, pieces);
criterion_main!(benches);
