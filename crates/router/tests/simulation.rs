//! A hundred routers on one stream, in simulated time: whatever dies, whenever it does, what was confirmed to a client is
//! in the store once, and the load is even. The spool, the way in, the recognition of repeats, gathering and ledger are
//! the real ones, over a disk that forgets what was not synced.
//!
//! `METLOG_SIMULATION_SEEDS` says how many lives; `METLOG_SIMULATION_SEED` repeats one.

mod simulated;

use simulated::{Report, Rule, live};

const REPEAT: &str = "cargo test -p metlog-router --test simulation lives";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Says which seed it was, also if something of ours panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0}; once more: METLOG_SIMULATION_SEED={0} {REPEAT}", self.0);
        }
    }
}

#[test]
fn lives_of_a_fleet_lose_nothing_and_repeat_nothing() {
    let seeds = match number("METLOG_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..number("METLOG_SIMULATION_SEEDS").unwrap_or(4) + 1,
    };
    let (mut all, mut first) = (Report::default(), None);
    for number in seeds.clone() {
        let seed = Seed(number);
        let report = live(number, Rule::Right).unwrap_or_else(|why| panic!("{why}"));
        println!("seed {number}: {report:?}");
        assert!(report.spread[0] <= 100, "before anything went wrong the load was not even: {report:?}");
        assert!(report.spread[1] <= 100, "when all was mended the load was not even: {report:?}");
        all.confirmed += report.confirmed;
        all.redelivered += report.redelivered;
        all.recognised += report.recognised;
        all.duplicates += report.duplicates;
        all.repeats += report.repeats;
        all.power_cuts += report.power_cuts;
        all.deaths += report.deaths;
        drop(seed);
        first.get_or_insert(report);
    }
    assert_eq!(live(seeds.start, Rule::Right).ok(), first, "the same seed was another life");
    // A life in which nothing goes wrong would prove nothing.
    let happened = [all.redelivered, all.recognised, all.duplicates, all.repeats, all.power_cuts];
    assert!(happened.iter().all(|count| *count > 0), "{all:?}");
    println!("{} lives: {all:?}", seeds.count());
}

/// A rule that is wrong is found out, and for what it does wrong.
fn found_out(rule: Rule, says: &str) {
    let found = (1..=4).find_map(|seed| live(seed, rule).err()).unwrap_or_else(|| panic!("{rule:?} passes"));
    assert!(found.starts_with(says), "{rule:?}: {found}");
    println!("{rule:?}: {found}");
}

#[test]
fn acknowledging_before_the_sync_loses() {
    found_out(Rule::AcknowledgeBeforeSync, "lost");
}

#[test]
fn settling_before_the_store_has_it_loses() {
    found_out(Rule::SettleBeforeWriting, "lost");
}

#[test]
fn a_store_that_recognises_nothing_repeats() {
    found_out(Rule::StoreEverything, "repeated");
}
