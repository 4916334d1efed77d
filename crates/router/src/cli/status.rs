//! `status`: the account, for people.

use super::ask::Address;
use super::exit;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `status`.
#[derive(clap::Args, Debug)]
pub struct Status {
    #[command(flatten)]
    to: Address,
    #[command(flatten)]
    fleet: super::fleet::Where,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Again every second: drawn if this is a terminal, until q is pressed; otherwise one below the other.
    #[arg(long)]
    watch: bool,
}

impl Status {
    pub(super) fn go(self) -> ExitCode {
        if self.fleet.is_asked() {
            return self.fleet.go(self.to, self.json, self.watch);
        }
        if self.watch && !self.json && std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
            return super::watch::watch(self.to);
        }
        let mut before: Option<Value> = None;
        loop {
            let text = match self.to.get("/v1/status") {
                Ok(text) => text,
                Err(why) => {
                    eprintln!("{why}");
                    return exit::failed();
                }
            };
            if self.json {
                println!("{}", String::from_utf8_lossy(&text));
            } else {
                let Ok(now) = serde_json::from_slice::<Value>(&text) else {
                    eprintln!("the router's answer cannot be read; is it of another version?");
                    return exit::failed();
                };
                print!("{}", table(&now, before.as_ref()));
                before = Some(now);
            }
            // Nobody reads any more.
            if std::io::stdout().flush().is_err() {
                return ExitCode::SUCCESS;
            }
            if !self.watch {
                return ExitCode::SUCCESS;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

/// A number of the status, by its path.
pub(super) fn number(status: &Value, path: &str) -> u64 {
    status.pointer(path).and_then(Value::as_u64).unwrap_or_default()
}

pub(super) fn text<'a>(status: &'a Value, path: &str) -> &'a str {
    status.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.*} {}", usize::from(unit > 0), units.get(unit).copied().unwrap_or("B"))
}

/// A line about connections that were not let in, if there were any.
fn turned_away(out: &mut String, place: &str, reasons: Option<&Value>) {
    let reasons = reasons.and_then(Value::as_object).into_iter().flatten();
    let told: Vec<String> = reasons.map(|(reason, count)| format!("{count} {reason}")).collect();
    if !told.is_empty() {
        let _ = writeln!(out, "turned away at {place}: {}", told.join(", "));
    }
}

fn table(now: &Value, before: Option<&Value>) -> String {
    let mut out = String::new();
    let per_second = |path: &str| match before {
        Some(before) => format!("{}/s", number(now, path).saturating_sub(number(before, path))),
        None => String::new(),
    };
    let _ = writeln!(out, "metlog-router {}, up {} s", text(now, "/version"), number(now, "/uptime_seconds"));
    let _ = writeln!(
        out,
        "\n{:<16} {:>12} {:>10} {:>12} {:>10} {:>10} {:>8}",
        "input", "received", "", "accepted", "refused", "repeated", "lost"
    );
    for (name, line) in now.pointer("/inputs").and_then(Value::as_object).into_iter().flatten() {
        let refused: u64 = line
            .pointer("/refused")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(_, count)| count.as_u64())
            .sum();
        let _ = writeln!(
            out,
            "{name:<16} {:>12} {:>10} {:>12} {refused:>10} {:>10} {:>8}",
            number(line, "/received"),
            per_second(&format!("/inputs/{name}/received")),
            number(line, "/accepted"),
            number(line, "/duplicates"),
            number(line, "/lost"),
        );
    }
    for (name, line) in now.pointer("/inputs").and_then(Value::as_object).into_iter().flatten() {
        turned_away(&mut out, name, line.pointer("/turned_away_for"));
    }
    for (url, line) in now.pointer("/ports").and_then(Value::as_object).into_iter().flatten() {
        turned_away(&mut out, url, line.pointer("/connections_refused"));
    }
    let _ = writeln!(
        out,
        "\n{:<16} {:>12} {:>10} {:>12} {:>10} {:>10} {:>8}  ",
        "endpoint", "delivered", "", "filtered", "waiting", "dead", "dropped"
    );
    for (at, line) in now.pointer("/endpoints").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let _ = write!(
            out,
            "{:<16} {:>12} {:>10} {:>12} {:>10} {:>10} {:>8}  {}",
            text(line, "/name"),
            number(line, "/delivered"),
            per_second(&format!("/endpoints/{at}/delivered")),
            number(line, "/filtered"),
            number(line, "/buffered"),
            number(line, "/dead"),
            number(line, "/dropped") + number(line, "/skipped"),
            text(line, "/doing"),
        );
        let waiting = number(line, "/oldest_ms");
        if waiting > 1000 {
            let _ = write!(out, ", oldest {} s", waiting / 1000);
        }
        if text(line, "/doing") != "running" {
            let _ = write!(out, ": {}", text(line, "/error"));
        }
        out.push('\n');
    }
    let (bytes, most) = (number(now, "/spool/bytes"), number(now, "/spool/max_bytes"));
    let _ = writeln!(
        out,
        "\nspool: {} of {}, {} free on its disk",
        size(bytes),
        size(most),
        size(number(now, "/spool/free_bytes"))
    );
    let _ = writeln!(out, "dead letters: {}", number(now, "/dead_letters/written"));
    let _ = writeln!(
        out,
        "lost on the way, by running numbers of {} clients: {}",
        number(now, "/clients/clients"),
        number(now, "/clients/lost")
    );
    for (name, count) in now.pointer("/orphans").and_then(Value::as_object).into_iter().flatten() {
        let _ = writeln!(
            out,
            "no endpoint `{name}` any more, {count} messages wait for it: `metlog-router spool` can drop them"
        );
    }
    let unaccounted = number(now, "/unaccounted");
    let _ = writeln!(
        out,
        "unaccounted for: {unaccounted}{}",
        if unaccounted == 0 { "" } else { ": this is a fault of the router" }
    );
    // What is printed came over the network.
    out.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
