//! Every oracle over its stored inputs, and over chance mutations of them: the same ones each time.
//!
//! `METLOG_FUZZ_SECONDS=60` goes on for so long instead, and `METLOG_FUZZ_SEED=2` draws others.

mod mutate;

use metlog_oracles::{ALL, Oracle};
use mutate::Mutator;
use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

/// Longer than anything takes that is not quadratic, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

fn stored(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder(name);
    names(&folder).into_iter().map(|file| (file.clone(), std::fs::read(folder.join(file)).expect("a file"))).collect()
}

#[test]
fn every_oracle_has_stored_inputs_and_a_target() {
    let oracles: BTreeSet<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&folder("")), oracles);
    for name in &oracles {
        assert!((5..=40).contains(&stored(name).len()), "{name}: some inputs, not a heap of them");
    }
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let targets: BTreeSet<String> =
        names(&targets).iter().filter_map(|file| file.strip_suffix(".rs")).map(str::to_owned).collect();
    assert_eq!(targets, oracles);
}

thread_local! {
    /// While an oracle runs: where it has panicked.
    static WATCH: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of oracles are told once, with their input, and not each time.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let watched = WATCH.with_borrow_mut(|watch| watch.as_mut().map(|watch| *watch = place).is_some());
            if !watched {
                usual(info);
            }
        }));
    });
}

/// Where and with which words the oracle panicked.
fn run(oracle: Oracle, input: &[u8]) -> Result<(), (String, String)> {
    WATCH.set(Some(String::new()));
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| oracle(input)));
    let place = WATCH.take().unwrap_or_default();
    if outcome.is_ok() && began.elapsed() > PATIENCE {
        return Err(("too slow".to_owned(), format!("{:?}", began.elapsed())));
    }
    outcome.map_err(|panic| (place, words(&*panic)))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?").to_owned()
}

/// A shorter input that panics at the same place.
fn shrink(oracle: Oracle, mut input: Vec<u8>, place: &str) -> Vec<u8> {
    let mut size = input.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < input.len() {
            let mut shorter = input.clone();
            shorter.drain(at..(at + size).min(input.len()));
            if run(oracle, &shorter).is_err_and(|(other, _)| other == place) {
                input = shorter;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    input
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is {value}, not a number")))
}

/// Stored inputs, then so many mutations.
fn replay(name: &str, executions: u64) {
    hush();
    let (_, oracle) = ALL.into_iter().find(|(known, _)| *known == name).expect("an oracle");
    let inputs = stored(name);
    let mut failures = BTreeMap::new();
    for (file, input) in &inputs {
        if let Err((place, words)) = run(oracle, input) {
            failures.entry(place).or_insert((format!("corpus/{name}/{file}"), words, input.clone()));
        }
    }
    let seconds = variable("METLOG_FUZZ_SECONDS").map(Duration::from_secs);
    let seed = variable("METLOG_FUZZ_SEED").unwrap_or(1);
    let mut mutator = Mutator::new(seed, inputs.into_iter().map(|(_, input)| input).collect());
    let began = Instant::now();
    let mut count = 0_u64;
    while seconds.map_or(count < executions, |seconds| began.elapsed() < seconds) {
        let input = mutator.input();
        count += 1;
        if let Err((place, _)) = run(oracle, &input)
            && !failures.contains_key(&place)
        {
            let input = shrink(oracle, input, &place);
            let words = run(oracle, &input).err().map_or("not each time".to_owned(), |(_, words)| words);
            failures.insert(place, (format!("mutation {count} of seed {seed}"), words, input));
        }
    }
    println!("{name}: {count} mutations in {:.1?}", began.elapsed());
    let told = |(place, (from, words, input)): (&String, &(String, String, Vec<u8>))| {
        format!("{place}: {words}\n  {from}: b\"{}\"\n", input.escape_ascii())
    };
    let told: String = failures.iter().map(told).collect();
    assert!(failures.is_empty(), "{told}");
}

/// Those that open files, sockets or threads for each input get fewer.
macro_rules! replays {
    ($($name:ident: $executions:literal)*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name), $executions);
            }
        )*
    };
}

replays! {
    dead_letter: 20_000
    field_path: 20_000
    file_path: 20_000
    head: 20_000
    http_body: 5_000
    http_pieces: 20_000
    message: 20_000
    query_box: 20_000
    selector: 20_000
    settings_ini: 20_000
    settings_toml: 8_000
    splitter: 20_000
    spool: 400
    statsd: 20_000
    stream: 20_000
    udp: 20_000
    zmtp: 20_000
}
