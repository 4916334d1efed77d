//! How far a long task has come: one line on standard error, if somebody is there to see it.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(100);
const WIDTH: usize = 24;

/// One line that is written over again and again, and gone at the end. It has no colours, with or without `NO_COLOR`.
pub(super) struct Bar {
    what: String,
    began: Instant,
    shown: Option<Instant>,
    visible: bool,
    /// Characters of the longest line.
    widest: usize,
}

impl Bar {
    pub(super) fn new(what: &str) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        let visible = std::io::stderr().is_terminal() && !dumb;
        Bar { what: what.to_owned(), began: Instant::now(), shown: None, visible, widest: 0 }
    }

    /// Shows it, now and then.
    pub(super) fn show(&mut self, done: u64, all: u64) {
        if !self.visible || self.shown.unwrap_or(self.began).elapsed() < PAUSE {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(&self.what, done, all, self.began.elapsed());
        self.widest = self.widest.max(line.chars().count());
        self.write(&line);
    }

    fn write(&self, line: &str) {
        // Whoever cannot see it misses nothing.
        let _ = write!(std::io::stderr(), "\r{line:<widest$}\r", widest = self.widest);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.widest > 0 {
            self.write("");
        }
    }
}

/// Part done, speed, and the time that is left if it goes on like this.
fn line(what: &str, done: u64, all: u64, took: Duration) -> String {
    let part = if all == 0 { 1.0 } else { (done as f64 / all as f64).min(1.0) };
    let full = (part * WIDTH as f64) as usize;
    let seconds = took.as_secs_f64().max(0.001);
    let speed = done as f64 / seconds / 1e6;
    let left = match done {
        0 => "?".to_owned(),
        _ => clock((all.saturating_sub(done) as f64 * seconds / done as f64).ceil() as u64),
    };
    format!("{what} [{:<WIDTH$}] {:>3.0}%  {speed:.0} MB/s  {left} left", "=".repeat(full), (part * 100.0).floor())
}

fn clock(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long() {
        let seconds = Duration::from_secs;
        assert_eq!(line("checking", 0, 100, seconds(0)), "checking [                        ]   0%  0 MB/s  ? left");
        assert_eq!(
            line("checking", 500_000_000, 1_000_000_000, seconds(2)),
            "checking [============            ]  50%  250 MB/s  2 s left"
        );
        assert!(line("checking", 1_000_000, 1_000_000_000, seconds(1)).ends_with("  0%  1 MB/s  16:39 min left"));
        assert!(line("checking", 1_000_000, 10_000_000_000, seconds(1)).ends_with("2:46 h left"));
        assert!(line("checking", 100, 100, seconds(1)).contains("========================] 100%"));
        assert!(line("checking", 0, 0, seconds(1)).contains("100%"), "nothing is soon done");
        assert!(line("checking", 120, 100, seconds(1)).contains("100%"), "a file grew meanwhile");
    }
}
