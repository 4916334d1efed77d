//! The table: rows by group, ours first, with how many times ours the others take.

use crate::measure::{BURST, Numbers};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What one library's call took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which call of which library.
    pub name: String,
    /// What was measured.
    pub numbers: Numbers,
    /// Messages that were lost on the way: such a row shows the cost of not delivering.
    pub dropped: u64,
}

/// Rows that are compared. The first is the one that the others are compared with.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// What is measured.
    pub title: String,
    /// What we want of the first row.
    pub target: String,
    /// The libraries.
    pub rows: Vec<Row>,
}

impl Numbers {
    /// The one number by which rows are compared; less is better. Percentiles are compared without the clock, and
    /// never below a nanosecond, which is less than the clock can tell.
    fn cost(&self) -> f64 {
        match self {
            Numbers::Spread { p50, clock, .. } => (p50 - clock).max(1.0),
            Numbers::Repeated { min, .. } => *min,
            Numbers::Flow { per_second, .. } => 1e9 / per_second,
        }
    }
}

impl Group {
    /// The group as text.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n", self.title);
        if !self.target.is_empty() {
            // Writing into a string cannot fail, here and below.
            let _ = writeln!(out, "  target: {}", self.target);
        }
        let Some(first) = self.rows.first() else { return out };
        let (unit, heads) = match first.numbers {
            Numbers::Spread { .. } => {
                let burst = format!("of {BURST}");
                let single = format!("{:>8} {:>8} {:>8} {:>9} {:>8}", "p50", "p99", "p99.9", "raw p50", "clock");
                ("ns per call", format!("{single} {burst:>8}"))
            }
            Numbers::Repeated { .. } => ("ns per call", format!("{:>8} {:>8}", "min", "median")),
            Numbers::Flow { .. } => ("", format!("{:>10}", "M/s")),
        };
        let _ = writeln!(out, "  {unit:<44} {heads} {:>7} {:>8}", "x ours", "dropped");
        for row in &self.rows {
            let ratio = format!("{:.1}", row.numbers.cost() / first.numbers.cost());
            let dropped = if row.dropped == 0 { "-".to_owned() } else { format!("!{}", row.dropped) };
            let _ = writeln!(out, "  {:<44} {} {ratio:>7} {dropped:>8}{}", row.name, row.columns(), row.threads());
        }
        out
    }
}

impl Row {
    fn columns(&self) -> String {
        match &self.numbers {
            Numbers::Spread { p50, p99, p999, clock, burst } => {
                let net = |nanos: &f64| (nanos - clock).max(0.0);
                let (n50, n99, n999) = (net(p50), net(p99), net(p999));
                format!("{n50:>8.0} {n99:>8.0} {n999:>8.0} {p50:>9.0} {clock:>8.0} {burst:>8.1}")
            }
            Numbers::Repeated { min, median } => format!("{min:>8.2} {median:>8.2}"),
            Numbers::Flow { per_second, .. } => format!("{:>10.2}", per_second / 1e6),
        }
    }

    /// Which thread took how long for a message, and how many messages a second it could do alone on a processor.
    fn threads(&self) -> String {
        let Numbers::Flow { threads, .. } = &self.numbers else { return String::new() };
        threads.iter().fold(String::from("  "), |mut out, (name, nanos)| {
            let _ = write!(out, " [{name}] {nanos:.0} ns = {:.2} M/s per core;", 1e3 / nanos.max(1.0));
            out
        })
    }
}

/// The version of a package in a lock file's text; the newest of several.
pub fn version(lock: &str, package: &str) -> Option<String> {
    let mut lines = lock.lines();
    let mut found = None;
    while let Some(line) = lines.next() {
        if line.strip_prefix("name = \"").and_then(|rest| rest.strip_suffix('"')) == Some(package) {
            let version = lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
            // They stand in ascending order.
            found = version.map(str::to_owned).or(found);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, p50: f64, dropped: u64) -> Row {
        let numbers = Numbers::Spread { p50, p99: p50 * 2.0, p999: p50 * 3.0, clock: 10.0, burst: 5.0 };
        Row { name: name.into(), numbers, dropped }
    }

    #[test]
    fn the_clock_is_taken_off_before_rows_are_compared() {
        let rows = vec![row("ours", 30.0, 0), row("theirs", 210.0, 3)];
        let text = Group { title: "a call".into(), target: String::new(), rows }.text();
        let theirs: Vec<&str> = text.lines().last().unwrap_or_default().split_whitespace().collect();
        assert_eq!(theirs, ["theirs", "200", "410", "620", "210", "10", "5.0", "10.0", "!3"]);
    }

    #[test]
    fn a_lock_file_tells_versions() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2\"\n\n[[package]]\nname = \"a\"\nversion = \"2.0\"\n";
        assert_eq!(version(lock, "a").as_deref(), Some("2.0"));
        assert_eq!(version(lock, "b"), None);
    }
}
