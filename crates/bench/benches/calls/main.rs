//! `cargo bench -p metlog-bench [-- [--quick] [--json] [WORD…]]`: what calls cost, ours beside other libraries'.
//!
//! Each case runs in a process of its own, several times in turn with the others, so that what else the machine does
//! hits all alike; the table shows medians over those rounds. Words choose the cases whose name contains one of them.

mod ours;
mod peers;

use metlog_bench::measure::{Numbers, Plan};
use metlog_bench::table::{self, Group, Row};
use metlog_bench::{machine, measure};
use metlog_message::Timestamp;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One library's call: its group, its name, and what runs it in a fresh process.
struct Case {
    group: &'static str,
    name: &'static str,
    run: fn(&Plan, &Place) -> Outcome,
}

/// What a case found, and how many messages were lost.
type Outcome = Result<(Numbers, u64), Box<dyn std::error::Error>>;

/// A folder for a case's output, removed when the case ends.
struct Place(PathBuf);

impl Place {
    fn new() -> std::io::Result<Self> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("calls-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Place(path))
    }

    /// The file that a case's library writes to.
    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// How many of the calls left no line: the same count for every library, whatever it says of itself.
    fn missing(&self, calls: u64) -> std::io::Result<u64> {
        let mut lines = 0;
        let mut file = BufReader::with_capacity(1 << 20, File::open(self.log())?);
        loop {
            let read = file.fill_buf()?;
            if read.is_empty() {
                return Ok(calls.saturating_sub(lines));
            }
            lines += read.iter().filter(|byte| **byte == b'\n').count() as u64;
            let len = read.len();
            file.consume(len);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left lies in the build directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Cases of groups that end so run while every other processor is busy with something else.
///
/// It matters to whoever hands over through a channel: with an idle processor at hand the receiving thread sleeps after
/// each message and each call pays for waking it; on a busy machine it does not get to sleep.
const BUSY: &str = "-busy";

/// Titles and what is wanted of our call, in the order of the table. The first case of a group is ours.
const GROUPS: [(&str, &str, &str); 11] = [
    ("log", "log line, 3 fields (u64, str, f64), to a file", "p50 25, p99 60, p99.9 200; a 40th of tracing's"),
    ("log-busy", "the same, other processors busy", ""),
    ("incr", "counter, a message per call", "30"),
    ("incr-busy", "the same, other processors busy", ""),
    ("incr-sum", "counter, added up", "2"),
    ("timer", "timer, a message per call", "35"),
    ("timer-busy", "the same, other processors busy", ""),
    ("timer-sum", "timer, added up", "30, of which twice the clock's cost"),
    ("off", "log line that is switched off", "0.5"),
    ("timer-off", "timer that is switched off", "1"),
    ("far", "far side: log lines per second through the threads behind", "per core 3 M/s to null, 1.5 M/s to a file"),
];

const CASES: &[Case] = &[
    Case { group: "log", name: "metlog", run: ours::log },
    Case { group: "log", name: "metlog, one of 8 call sites", run: ours::log_of_eight },
    Case { group: "log", name: "tracing + tracing-appender, JSON", run: peers::tracing_json },
    Case { group: "log", name: "log + ftlog, text", run: peers::ftlog },
    Case { group: "log", name: "slog-async, JSON", run: peers::slog_async },
    Case { group: "log-busy", name: "metlog", run: ours::log },
    Case { group: "log-busy", name: "tracing + tracing-appender, JSON", run: peers::tracing_json },
    Case { group: "log-busy", name: "log + ftlog, text", run: peers::ftlog },
    Case { group: "log-busy", name: "slog-async, JSON", run: peers::slog_async },
    Case { group: "incr", name: "metlog incr!", run: ours::incr },
    Case { group: "incr", name: "metlog incr!, one of 8 call sites", run: ours::incr_of_eight },
    Case { group: "incr", name: "cadence, queued UDP", run: peers::cadence_incr },
    Case { group: "incr-busy", name: "metlog incr!", run: ours::incr },
    Case { group: "incr-busy", name: "cadence, queued UDP", run: peers::cadence_incr },
    Case { group: "incr-sum", name: "metlog incr!", run: ours::incr_sum },
    Case { group: "incr-sum", name: "metrics + prometheus, kept handle", run: peers::metrics_handle },
    Case { group: "incr-sum", name: "metrics + prometheus, macro", run: peers::metrics_macro },
    Case { group: "incr-sum", name: "dipstick AtomicBucket", run: peers::dipstick_counter },
    Case { group: "timer", name: "metlog timer!", run: ours::timer },
    Case { group: "timer", name: "cadence, queued UDP", run: peers::cadence_timer },
    Case { group: "timer-busy", name: "metlog timer!", run: ours::timer },
    Case { group: "timer-busy", name: "cadence, queued UDP", run: peers::cadence_timer },
    Case { group: "timer-sum", name: "metlog timer!", run: ours::timer_sum },
    Case { group: "timer-sum", name: "dipstick AtomicBucket", run: peers::dipstick_timer },
    Case { group: "timer-sum", name: "metrics + prometheus, kept handle", run: peers::metrics_timer },
    Case { group: "timer-sum", name: "(two readings of the clock)", run: two_readings },
    Case { group: "off", name: "metlog debug!, filtered", run: ours::log_off },
    Case { group: "off", name: "tracing debug!, above the level", run: peers::tracing_off },
    Case { group: "off", name: "log debug!, above the level", run: peers::log_off },
    Case { group: "off", name: "(an empty loop)", run: nothing },
    Case { group: "timer-off", name: "metlog timer!, disabled", run: ours::timer_off },
    Case { group: "timer-off", name: "(an empty loop)", run: nothing },
    Case { group: "far", name: "metlog to null", run: ours::far_null },
    Case { group: "far", name: "metlog to a file", run: ours::far_file },
    Case { group: "far", name: "tracing + tracing-appender, JSON to a file", run: peers::far_tracing },
    Case { group: "far", name: "log + ftlog, text to a file", run: peers::far_ftlog },
    Case { group: "far", name: "slog-async, JSON to a file", run: peers::far_slog },
];

/// Libraries whose version matters.
const LIBRARIES: [&str; 10] = [
    "metlog",
    "tracing",
    "tracing-subscriber",
    "tracing-appender",
    "ftlog",
    "slog-async",
    "slog-json",
    "cadence",
    "metrics",
    "dipstick",
];

fn nothing(plan: &Plan, _place: &Place) -> Outcome {
    Ok((
        measure::repeated(plan, |number| {
            std::hint::black_box(number);
        }),
        0,
    ))
}

/// What a timer cannot do without.
fn two_readings(plan: &Plan, _place: &Place) -> Outcome {
    let clock = quanta::Clock::new();
    let numbers = measure::repeated(plan, |_| {
        let start = clock.raw();
        std::hint::black_box(clock.raw().wrapping_sub(start));
    });
    Ok((numbers, 0))
}

fn main() {
    let (mut words, mut json, mut only) = (Vec::new(), false, None);
    // `cargo test --all-targets` runs this too, without Cargo's `--bench`: then it only shows that everything works.
    let (mut full, mut quick) = (false, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bench" => full = true,
            "--quick" => quick = true,
            "--json" => json = true,
            // How this program starts itself.
            "--case" => only = args.next(),
            "--help" | "-h" => {
                return println!("[--quick] [--json] [WORD…]: cases with one of the words in their name");
            }
            word if word.starts_with('-') => {
                return fail(&format!("unknown option {word}; there are --quick and --json"));
            }
            _ => words.push(arg),
        }
    }
    let quick = quick || !full;
    let result = match only {
        Some(case) => run_case(if quick { &Plan::QUICK } else { &Plan::FULL }, &case),
        None => run_all(quick, json, &words),
    };
    if let Err(error) = result {
        fail(&error.to_string());
    }
}

fn fail(why: &str) {
    eprintln!("{why}");
    std::process::exit(1);
}

impl Case {
    fn id(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}

/// Runs one case here and prints what it found.
fn run_case(plan: &Plan, id: &str) -> Result<(), Box<dyn std::error::Error>> {
    let case = CASES.iter().find(|case| case.id() == id).ok_or_else(|| format!("no case {id}"))?;
    let place = Place::new()?;
    if case.group.ends_with(BUSY) {
        machine::keep_others_busy();
    }
    let (numbers, dropped) = (case.run)(plan, &place)?;
    println!("{}", serde_json::to_string(&Row { name: case.name.to_owned(), numbers, dropped })?);
    Ok(())
}

/// Runs all cases in turn, each in its own process, and prints the table.
fn run_all(quick: bool, json: bool, words: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let rounds = if quick { 1 } else { 5 };
    let wanted = |case: &&Case| words.is_empty() || words.iter().any(|word| case.id().contains(word.as_str()));
    let cases: Vec<&Case> = CASES.iter().filter(wanted).collect();
    if cases.is_empty() {
        return Err(format!("no case has {} in its name", words.join(" or ")).into());
    }
    let before = machine::load();
    let mut runs: Vec<Vec<Row>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (case, rows) in cases.iter().zip(&mut runs) {
            eprint!("\rround {round} of {rounds}: {:<60}", case.id());
            rows.push(start(case, quick)?);
        }
    }
    eprintln!();
    let groups = GROUPS.iter().filter_map(|(group, title, target)| {
        let found = cases.iter().zip(&runs).filter(|(case, _)| case.group == *group);
        let rows: Vec<Row> = found.filter_map(|(_, rows)| merge(rows)).collect();
        (!rows.is_empty()).then(|| Group { title: (*title).to_owned(), target: (*target).to_owned(), rows })
    });
    let groups: Vec<Group> = groups.collect();
    let about = about(rounds, &before);
    if json {
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "about": about, "groups": groups }))?);
        return Ok(());
    }
    for line in about {
        println!("{line}");
    }
    for group in groups {
        println!("\n{}", group.text().trim_end());
    }
    Ok(())
}

fn about(rounds: usize, load: &str) -> Vec<String> {
    const LOCK: &str = include_str!("../../../../Cargo.lock");
    let versions = LIBRARIES.iter().filter_map(|name| Some(format!("{name} {}", table::version(LOCK, name)?)));
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        format!(
            "{}: {processors} x {}; load {load} before, {} after",
            Timestamp::now(),
            machine::processor(),
            machine::load()
        ),
        versions.collect::<Vec<_>>().join(", "),
        format!("median of {rounds} rounds; percentiles without the clock's own cost, which is shown beside them"),
    ]
}

fn start(case: &Case, quick: bool) -> Result<Row, Box<dyn std::error::Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--case", &case.id(), if quick { "--quick" } else { "--bench" }]);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    let last = output.stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    serde_json::from_slice(last).map_err(|error| format!("{} ended with {}: {error}", case.id(), output.status).into())
}

/// Several rounds of one case as one row.
fn merge(rows: &[Row]) -> Option<Row> {
    let numbers: Vec<Numbers> = rows.iter().map(|row| row.numbers.clone()).collect();
    let name = rows.first()?.name.clone();
    Some(Row { name, numbers: Numbers::median(&numbers)?, dropped: rows.iter().map(|row| row.dropped).sum() })
}
