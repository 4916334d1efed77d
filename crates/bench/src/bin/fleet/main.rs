//! What a fleet costs beside NATS itself: `cargo run --release -p metlog-bench --bin fleet [--messages N] [--rounds N]`.
//!
//! One server, and in turns bare async-nats and metlog doing the same: publishing, taking a backlog out of a stream, and
//! both at once. Then one router and two, each on a processor of its own, at the same backlog. Where two processors have
//! to do for the server as well, it is the server that ends what the clock shows; so the routers are also held to a fifth
//! of a processor each, which leaves it the rest, and their processor time for a message is told beside.

mod raw;
mod routers;

use metlog_message::{Lines, Message};
use metlog_testkit::{Nats, open, sample};
use routers::{Done, Router};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Messages of one batch when the stream is filled.
const PER_WRITE: u64 = 4000;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        return metlog_router::main_of(arguments);
    }
    let value = |name: &str, otherwise: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(otherwise)
    };
    match Bench::new(value("--messages", 200_000)).and_then(|bench| bench.run(value("--rounds", 3) as usize)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

struct Bench {
    runtime: Runtime,
    load: Vec<Lines>,
    count: usize,
    /// Of all messages with the ends of their lines.
    bytes: u64,
    folder: PathBuf,
}

/// The middle one.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Bench {
    fn new(messages: u64) -> Outcome<Bench> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let load: Vec<Lines> =
            (0..messages / PER_WRITE).map(|batch| sample::lines(batch * PER_WRITE, PER_WRITE)).collect();
        let count = load.iter().map(Lines::len).sum();
        let bytes = load.iter().map(|lines| lines.bytes().len() as u64).sum();
        let folder = std::env::temp_dir().join(format!("metlog-fleet-{}", std::process::id()));
        Ok(Bench { runtime, load, count, bytes, folder })
    }

    fn run(&self, rounds: usize) -> Outcome<()> {
        println!(
            "{}; load {}; {} messages of {} bytes, {} at a pull, {rounds} rounds",
            metlog_bench::machine::processor(),
            metlog_bench::machine::load(),
            self.count,
            self.bytes / self.count.max(1) as u64,
            raw::PER_PULL
        );
        println!("| round | what | bare async-nats | metlog | ratio |\n|---|---|---|---|---|");
        let (mut giving, mut taking, mut both) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=rounds {
            let (bare, ours) = (self.bare_publish()?, self.backlog()?.1);
            println!("| {round} | publishing | {bare:.0}/s | {ours:.0}/s | {:.2} |", ours / bare);
            giving.push(ours / bare);
            let (bare, ours) = (self.bare_pull()?, self.router()?.rate);
            println!("| {round} | backlog, into a file | {bare:.0}/s | {ours:.0}/s | {:.2} |", ours / bare);
            taking.push(ours / bare);
            let (bare, ours) = (self.bare_both()?, self.client_to_file()?);
            println!("| {round} | client to file | {bare:.0}/s | {ours:.0}/s | {:.2} |", ours / bare);
            both.push(ours / bare);
        }
        println!("| median | publishing | | | {:.2} |", median(giving));
        println!("| median | backlog, into a file | | | {:.2} |", median(taking));
        println!("| median | client to file | | | {:.2} |", median(both));
        println!(
            "\n| round | routers | messages/s | us of a router's processor each | us of the server's |\n|---|---|---|---|---|"
        );
        for (held, how) in [(false, ""), (true, ", each held")] {
            let (mut wall, mut scale) = (Vec::new(), Vec::new());
            for round in 1..=rounds {
                let (one, two) = (self.scaled(&[1], held)?, self.scaled(&[0, 1], held)?);
                for (count, Done { rate, cpu: (router, server) }) in [(1, one), (2, two)] {
                    println!("| {round} | {count}{how} | {rate:.0} | {:.2} | {:.2} |", router / 1e3, server / 1e3);
                }
                wall.push(two.rate / one.rate);
                scale.push(2.0 * one.cpu.0 / two.cpu.0);
            }
            println!("| median | two to one{how} | {:.2} | {:.2} by processor time | |", median(wall), median(scale));
        }
        Ok(())
    }

    /// A server with all messages in its stream, and at what rate they went there.
    fn backlog(&self) -> Outcome<(Nats, f64)> {
        let server = Nats::new();
        let settings = format!("urls = ['{}']\nstream = {{ name = 'METLOG' }}\ntimeout = '60s'", server.url());
        let mut sender = open("nats", &settings)?;
        let began = Instant::now();
        for lines in &self.load {
            sender.send(lines).map_err(|error| error.to_string())?;
        }
        Ok((server, self.count as f64 / began.elapsed().as_secs_f64()))
    }

    fn bare_publish(&self) -> Outcome<f64> {
        let server = Nats::new();
        self.runtime.block_on(async {
            let context = raw::connect(&server.url()).await?;
            raw::make(&context).await?;
            let began = Instant::now();
            raw::publish(&context, &self.load).await?;
            Ok(self.count as f64 / began.elapsed().as_secs_f64())
        })
    }

    fn bare_pull(&self) -> Outcome<f64> {
        let (server, _) = self.backlog()?;
        self.runtime.block_on(async {
            let context = raw::connect(&server.url()).await?;
            raw::pull(&context, self.count).await
        })
    }

    /// Publishing and pulling at once, from the first to the last.
    fn bare_both(&self) -> Outcome<f64> {
        let server = Nats::new();
        self.runtime.block_on(async {
            let (out, back) = (raw::connect(&server.url()).await?, raw::connect(&server.url()).await?);
            raw::make(&out).await?;
            let began = Instant::now();
            let count = self.count;
            let pulling = tokio::spawn(async move { raw::pull(&back, count).await });
            raw::publish(&out, &self.load).await?;
            pulling.await??;
            Ok(self.count as f64 / began.elapsed().as_secs_f64())
        })
    }

    /// One router on all processors.
    fn router(&self) -> Outcome<Done> {
        let (server, _) = self.backlog()?;
        let router = Router::start(&self.folder.join("0"), &server.url(), None)?;
        Ok(routers::watch(&[router], server.process(), self.bytes, self.count)?)
    }

    /// A router on each of these processors, which it has all the time or some.
    fn scaled(&self, processors: &[usize], held: bool) -> Outcome<Done> {
        let (server, _) = self.backlog()?;
        let start = |processor: &usize| {
            Router::start(&self.folder.join(processor.to_string()), &server.url(), Some(*processor))
        };
        let routers = processors.iter().map(start).collect::<Result<Vec<_>, _>>()?;
        let watch = || routers::watch(&routers, server.process(), self.bytes, self.count);
        Ok(if held { routers::held(&routers, watch)? } else { watch()? })
    }

    /// From the first call in an application to the last line in a router's file.
    fn client_to_file(&self) -> Outcome<f64> {
        let server = Nats::new();
        let text = format!(
            "[metlog]\nlogger = 'metlog.tests'\noverflow = 'block'\nblock_timeout = '60s'\n[metlog.sender]\nclass = 'nats'\n\
             urls = ['{}']\nstream = {{ name = 'METLOG' }}\n",
            server.url()
        );
        let client = metlog::from_toml(&text, "metlog")?;
        // So that the stream is there.
        client.send(&Message { origin: None, ..sample::message(0) });
        if !client.flush(Duration::from_secs(30)).complete {
            return Err(format!("{:?}", client.stats()).into());
        }
        let router = Router::start(&self.folder.join("0"), &server.url(), None)?;
        while router.written() == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (mut seen, mut count) = (0, 0);
        let began = Instant::now();
        for number in 1..self.count as u64 {
            client.send(&Message { origin: None, ..sample::message(number) });
        }
        while count < self.count {
            if began.elapsed() > Duration::from_secs(300) {
                return Err(format!("{count} of {} came; {:?}", self.count, client.stats()).into());
            }
            count += router.count(&mut seen)?;
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(self.count as f64 / began.elapsed().as_secs_f64())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
