//! What the router costs per message: `cargo run --release -p metlog-bench --bin router`.
//!
//! Starts the router in a process of its own on one processor and sends from another. Half of the messages pass the
//! filter. What comes out is checked message by message. The number to trust is the processor time of the router's
//! process per message sent to it; times on the wall depend on whoever else uses the machine.
//!
//! Machines that others use too change their speed from one second to the next: of several rounds each row has its
//! median, with the least and the most behind it, and `the bare work` says how fast the machine was meanwhile.
//!
//! `… router [ROW…|ack] [--messages N] [--sync ack|1s|never] [--rounds N]`

mod bare;
mod clients;
mod load;
mod peers;
mod sink;
mod work;

use std::collections::BTreeSet;
use std::process::ExitCode;

/// What was measured in one row.
pub struct Cost {
    /// Row of the table.
    pub row: &'static str,
    /// Whose.
    pub who: String,
    /// Messages sent.
    pub sent: u64,
    /// Of the messages that pass the filter, those that did not come out.
    pub lost: u64,
    /// Those that came out more than once, or did not pass the filter.
    pub wrong: u64,
    /// Processor time, user and system, nanoseconds.
    pub cpu: u64,
    /// From the first byte sent to the last one out.
    pub seconds: f64,
    /// Resident memory before and at the most, in KiB.
    pub memory: (u64, u64),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        return metlog_router::main_of(arguments);
    }
    if let [first, out] = arguments.as_slice()
        && first == "bare"
    {
        return bare::serve(work::PORT, out).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let value =
        |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    let messages = value("--messages").and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let sync = value("--sync").map_or("ack", String::as_str);
    let mut rows = work::ROWS.to_vec();
    if arguments.iter().any(|argument| argument == "ack") {
        rows.clear();
    }
    if arguments.iter().any(|argument| work::ROWS.contains(&argument.as_str())) {
        rows.retain(|row| arguments.iter().any(|argument| argument == row));
    }

    println!(
        "{}; load {}; {messages} messages a row, spool.sync = {sync}",
        metlog_bench::machine::processor(),
        metlog_bench::machine::load()
    );
    let latency = arguments.iter().any(|argument| argument == "ack") || rows.len() == work::ROWS.len();
    let rounds = value("--rounds").and_then(|text| text.parse().ok()).unwrap_or(1);
    let (costs, mut whole) = measured(&rows, rounds, messages, sync);
    table(&rows, costs);
    if latency {
        match work::acknowledgements(sync) {
            Ok(times) => {
                let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
                println!(
                    "\nacknowledged at 20 000 messages/s in batches of 20: p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}",
                    at(0.5),
                    at(0.99),
                    at(0.999)
                );
            }
            Err(error) => {
                whole = false;
                println!("\nacknowledgements: {error}");
            }
        }
    }
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What each round cost, and whether all went well.
fn measured(rows: &[&'static str], rounds: usize, messages: u64, sync: &str) -> (Vec<Cost>, bool) {
    let (mut costs, mut whole) = (Vec::new(), true);
    for row in (0..rounds).flat_map(|_| rows) {
        for cost in std::iter::once(work::measure(row, messages, sync)).chain(peers_at(row, messages)) {
            match cost {
                Ok(cost) => {
                    whole &= cost.who != "metlog" || cost.wrong == 0 && cost.lost == 0;
                    costs.push(cost);
                }
                Err(why) => {
                    whole = false;
                    println!("{row}: {why}");
                }
            }
        }
    }
    (costs, whole)
}

fn table(rows: &[&str], mut costs: Vec<Cost>) {
    println!("| work | who | CPU us/msg | msgs/s of one processor | wall msgs/s | lost | wrong | MiB idle / peak |");
    println!("|---|---|---|---|---|---|---|---|");
    costs.sort_by_key(|cost| cost.cpu);
    for row in rows {
        let who: BTreeSet<&str> = costs.iter().filter(|cost| cost.row == *row).map(|cost| cost.who.as_str()).collect();
        for who in who {
            print(&costs.iter().filter(|cost| cost.row == *row && cost.who == who).collect::<Vec<_>>());
        }
    }
}

/// The peers' costs, if this row is one they can do.
fn peers_at(row: &'static str, messages: u64) -> Vec<Result<Cost, String>> {
    if peers::ROWS.contains(&row) { peers::measure(row, messages) } else { Vec::new() }
}

/// One row's costs, the least first.
fn print(costs: &[&Cost]) {
    let (Some(least), Some(cost), Some(most)) = (costs.first(), costs.get(costs.len() / 2), costs.last()) else {
        return;
    };
    let each = |cost: &Cost| cost.cpu as f64 / cost.sent as f64;
    let range = if costs.len() > 1 {
        format!(" ({:.2} to {:.2})", each(least) / 1000.0, each(most) / 1000.0)
    } else {
        String::new()
    };
    let losses = |count: fn(&Cost) -> u64| costs.iter().map(|cost| count(cost)).max().unwrap_or_default();
    println!(
        "| {} | {} | {:.2}{range} | {:.2} M | {:.2} M | {} | {} | {:.1} / {:.1} |",
        cost.row,
        cost.who,
        each(cost) / 1000.0,
        1000.0 / each(cost),
        cost.sent as f64 / cost.seconds / 1e6,
        losses(|cost| cost.lost),
        losses(|cost| cost.wrong),
        cost.memory.0 as f64 / 1024.0,
        cost.memory.1 as f64 / 1024.0,
    );
}
