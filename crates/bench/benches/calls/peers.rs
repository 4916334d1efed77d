//! The same calls of other libraries, each set up as its documentation advises for speed.

use crate::{Outcome, Place};
use cadence::{BufferedUdpMetricSink, Counted, QueuingMetricSink, StatsdClient, Timed};
use dipstick::{AtomicBucket, InputScope};
use metlog_bench::machine;
use metlog_bench::measure::{self, Numbers, Plan};
use metrics_exporter_prometheus::PrometheusBuilder;
use slog::Drain;
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::BufWriter;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

/// What a full queue does: percentiles are taken as an application would run it, the far side without loss.
#[derive(Clone, Copy, PartialEq)]
enum Full {
    Drop,
    Wait,
}

fn set_up_tracing(place: &Place, full: Full) -> Result<WorkerGuard, Box<dyn Error>> {
    let file = File::create(place.log())?;
    let (writer, guard) = NonBlockingBuilder::default().lossy(full == Full::Drop).finish(file);
    tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(writer).init();
    machine::pin();
    Ok(guard)
}

#[inline(always)]
fn tracing_line(number: u64) {
    tracing::info!(user_id = number, path = black_box("/api/v1/items"), took = number as f64 * 0.25, "request served");
}

pub fn tracing_json(plan: &Plan, place: &Place) -> Outcome {
    let guard = set_up_tracing(place, Full::Drop)?;
    let numbers = measure::spread(plan, tracing_line);
    drop(guard);
    Ok((numbers, place.missing(plan.spread_calls())?))
}

pub fn far_tracing(plan: &Plan, place: &Place) -> Outcome {
    let guard = set_up_tracing(place, Full::Wait)?;
    let numbers = measure::flow(plan, tracing_line, || drop(guard));
    Ok((numbers, place.missing(plan.messages)?))
}

pub fn tracing_off(plan: &Plan, place: &Place) -> Outcome {
    let _guard = set_up_tracing(place, Full::Drop)?;
    Ok((measure::repeated(plan, |number| tracing::debug!(user_id = number, "request served")), 0))
}

fn set_up_ftlog(place: &Place, full: Full) -> Result<ftlog::LoggerGuard, Box<dyn Error>> {
    let file = ftlog::appender::FileAppender::new(place.log());
    let builder = ftlog::builder().max_log_level(ftlog::LevelFilter::Info).bounded(100_000, full == Full::Wait);
    let guard = builder.root(file).try_init()?;
    machine::pin();
    Ok(guard)
}

#[inline(always)]
fn log_line(number: u64) {
    let path = black_box("/api/v1/items");
    log::info!("request served user_id={number} path={path} took={}", number as f64 * 0.25);
}

pub fn ftlog(plan: &Plan, place: &Place) -> Outcome {
    let guard = set_up_ftlog(place, Full::Drop)?;
    let numbers = measure::spread(plan, log_line);
    drop(guard);
    Ok((numbers, place.missing(plan.spread_calls())?))
}

pub fn far_ftlog(plan: &Plan, place: &Place) -> Outcome {
    let guard = set_up_ftlog(place, Full::Wait)?;
    let numbers = measure::flow(plan, log_line, || drop(guard));
    Ok((numbers, place.missing(plan.messages)?))
}

pub fn log_off(plan: &Plan, place: &Place) -> Outcome {
    let _guard = set_up_ftlog(place, Full::Drop)?;
    Ok((measure::repeated(plan, |number| log::debug!("request served user_id={number}")), 0))
}

fn set_up_slog(place: &Place, full: Full) -> Result<(slog::Logger, slog_async::AsyncGuard), Box<dyn Error>> {
    let json = slog_json::Json::default(BufWriter::new(File::create(place.log())?)).fuse();
    let strategy = match full {
        Full::Drop => slog_async::OverflowStrategy::Drop,
        Full::Wait => slog_async::OverflowStrategy::Block,
    };
    // Room for bursts, as the others have by default; its own default is 128.
    let drain = slog_async::Async::new(json).chan_size(8192).overflow_strategy(strategy);
    let (drain, guard) = drain.build_with_guard();
    machine::pin();
    Ok((slog::Logger::root(drain.fuse(), slog::o!()), guard))
}

#[inline(always)]
fn slog_line(logger: &slog::Logger, number: u64) {
    let path = black_box("/api/v1/items");
    slog::info!(logger, "request served"; "user_id" => number, "path" => path, "took" => number as f64 * 0.25);
}

pub fn slog_async(plan: &Plan, place: &Place) -> Outcome {
    let (logger, guard) = set_up_slog(place, Full::Drop)?;
    let numbers = measure::spread(plan, |number| slog_line(&logger, number));
    drop((logger, guard));
    Ok((numbers, place.missing(plan.spread_calls())?))
}

pub fn far_slog(plan: &Plan, place: &Place) -> Outcome {
    let (logger, guard) = set_up_slog(place, Full::Wait)?;
    let numbers = measure::flow(plan, |number| slog_line(&logger, number), || drop(guard));
    drop(logger);
    Ok((numbers, place.missing(plan.messages)?))
}

/// A client that sends to a socket someone reads.
fn set_up_cadence() -> Result<StatsdClient, Box<dyn Error>> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let sink = BufferedUdpMetricSink::with_capacity(receiver.local_addr()?, UdpSocket::bind("127.0.0.1:0")?, 1432)?;
    // Ends with the process.
    std::thread::spawn(move || {
        let mut place = [0; 2048];
        while receiver.recv(&mut place).is_ok() {}
    });
    let client = StatsdClient::from_sink("bench", QueuingMetricSink::with_capacity(sink, 100_000));
    machine::pin();
    Ok(client)
}

pub fn cadence_incr(plan: &Plan, _place: &Place) -> Outcome {
    let client = set_up_cadence()?;
    let mut refused = 0;
    let numbers = measure::spread(plan, |_| refused += u64::from(client.count("requests", 1i64).is_err()));
    Ok((numbers, refused))
}

pub fn cadence_timer(plan: &Plan, _place: &Place) -> Outcome {
    let client = set_up_cadence()?;
    let mut refused = 0;
    let numbers = measure::spread(plan, |_| {
        let start = Instant::now();
        let millis = start.elapsed().as_millis() as u64;
        refused += u64::from(client.time("request", millis).is_err());
    });
    Ok((numbers, refused))
}

/// Installs the recorder, with the upkeep that empties its histograms.
fn set_up_metrics() -> Result<(), Box<dyn Error>> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| "there is a recorder already")?;
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(100));
            handle.run_upkeep();
        }
    });
    machine::pin();
    Ok(())
}

pub fn metrics_handle(plan: &Plan, _place: &Place) -> Outcome {
    set_up_metrics()?;
    let counter = metrics::counter!("requests");
    Ok((measure::repeated(plan, |_| counter.increment(1)), 0))
}

pub fn metrics_macro(plan: &Plan, _place: &Place) -> Outcome {
    set_up_metrics()?;
    Ok((measure::repeated(plan, |_| metrics::counter!("requests").increment(1)), 0))
}

pub fn metrics_timer(plan: &Plan, _place: &Place) -> Outcome {
    set_up_metrics()?;
    let histogram = metrics::histogram!("request");
    Ok((measure::repeated(plan, |_| histogram.record(Instant::now().elapsed())), 0))
}

pub fn dipstick_counter(plan: &Plan, _place: &Place) -> Outcome {
    let counter = AtomicBucket::new().counter("requests");
    machine::pin();
    let numbers: Numbers = measure::repeated(plan, |_| counter.count(1));
    Ok((numbers, 0))
}

pub fn dipstick_timer(plan: &Plan, _place: &Place) -> Outcome {
    let timer = AtomicBucket::new().timer("request");
    machine::pin();
    let numbers = measure::repeated(plan, |_| {
        let start = timer.start();
        timer.stop(start);
    });
    Ok((numbers, 0))
}
