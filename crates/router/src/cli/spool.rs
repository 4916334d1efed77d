//! `spool`: what is in the journal, whether it is whole, and what can be done about it. What changes anything says first
//! what it would do, and does it with `--apply`.

mod change;
mod progress;
mod replay;

use super::status::size;
use super::{ConfigFile, exit, wrong};
use crate::config;
use metlog_settings::suggest;
use metlog_spool::tools::{self, Filter, Report, SegmentReport};
use progress::Bar;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `spool`.
#[derive(clap::Args, Debug)]
pub struct Spool {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Says what is there and who still wants it. Reads all of it; of a running router `metlog-router status` is quicker.
    Status(Status),
    /// Looks at every message. Exit code 0: whole; 3: damaged, with a list of places.
    Check(Check),
    /// Writes messages out as they came, one per line. What is damaged is left out: `check` says what that is.
    Export(Export),
    /// Puts aside what is damaged, as a start would, and looks at everything for it. The originals are kept.
    Repair(change::Repair),
    /// Sends messages in again that an endpoint has had, as far as they are still there.
    Replay(replay::Replay),
    /// Forgets the cursor of an endpoint that is gone, so that messages are not kept for it.
    Drop(change::Forget),
}

impl Spool {
    pub(super) fn go(self) -> ExitCode {
        let done = match self.command {
            Command::Status(status) => status.go(),
            Command::Check(check) => check.go(),
            Command::Export(export) => export.go(),
            Command::Repair(repair) => repair.go(),
            Command::Replay(replay) => replay.go(),
            Command::Drop(forget) => forget.go(),
        };
        done.unwrap_or_else(|end| match end {
            End::Failed(why) => {
                eprintln!("{why}");
                exit::failed()
            }
            End::Usage(why) => {
                eprintln!("{why}");
                exit::usage()
            }
            End::Told(code) => code,
        })
    }
}

/// Why there is nothing more to do.
enum End {
    Failed(String),
    Usage(String),
    /// The user has been told.
    Told(ExitCode),
}

impl<E: std::error::Error> From<E> for End {
    fn from(error: E) -> Self {
        End::Failed(error.to_string())
    }
}

/// Which spool.
#[derive(clap::Args, Debug, Clone)]
struct Place {
    /// The router's `data` directory, or a copy of the spool in it; without this, as the configuration says.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
}

/// A spool, and as much of the configuration as is known.
struct Found {
    directory: PathBuf,
    /// The endpoints there are, unless only the directory was given.
    endpoints: Option<Vec<String>>,
    /// The router's URL, by its HTTP address; empty: it has none.
    http: Option<String>,
}

impl Place {
    fn find(&self) -> Result<Found, End> {
        let plan = match (&self.data, &self.file.config) {
            (Some(_), None) => None,
            (_, file) => Some(config::load(file.as_deref()).map_err(|problems| End::Told(wrong(&problems)))?),
        };
        let data = self.data.clone().or_else(|| plan.as_ref().map(|plan| plan.router.data.clone())).unwrap_or_default();
        let below = data.join("spool");
        let directory = if self.data.is_some() && !below.is_dir() { data } else { below };
        if !directory.is_dir() {
            let why = format!("there is no spool in {}: `--data` or `--config` says where one is", directory.display());
            return Err(End::Failed(why));
        }
        let endpoints = plan.as_ref().map(|plan| plan.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect());
        Ok(Found { directory, endpoints, http: plan.map(|plan| plan.router.url()) })
    }
}

impl Found {
    fn check(&self, what: &str) -> Result<Report, End> {
        let mut bar = Bar::new(what);
        let mut report = tools::check(&self.directory, &mut |done, all| bar.show(done, all))?;
        // A running router deletes files between our finding and our opening them.
        let there = |why: &String| why.split_once(": ").is_none_or(|(name, _)| self.directory.join(name).exists());
        report.unreadable.retain(there);
        Ok(report)
    }

    /// What is not as it should be, a line for each place. Beside a running router files come and go while we look: what
    /// is really damaged is still so when we look again.
    fn damage(&self, report: &Report) -> Result<Vec<String>, End> {
        let mut places = damage(report);
        if !places.is_empty() && !report.clean {
            let again = damage(&self.check("once more")?);
            places.retain(|place| again.contains(place));
        }
        Ok(places)
    }

    /// Writes messages, or counts them.
    fn export(&self, what: &str, out: &mut dyn Write, filter: &Filter) -> io::Result<u64> {
        let mut bar = Bar::new(what);
        tools::export(&self.directory, out, filter, &mut |done, all| bar.show(done, all))
    }

    /// Messages and bytes.
    fn count(&self, filter: &Filter) -> Result<(u64, u64), End> {
        let mut bytes = Bytes(0);
        let messages = self.export("counting", &mut bytes, filter)?;
        Ok((messages, bytes.0))
    }

    /// Whether the configuration has no endpoint of this name; unknown without one.
    fn is_orphan(&self, name: &str) -> Option<bool> {
        self.endpoints.as_ref().map(|known| !known.iter().any(|known| known == name))
    }
}

/// Takes anything and keeps its length.
struct Bytes(u64);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A cursor by its endpoint's name: its number, and the id below which everything is settled.
fn cursor(report: &Report, name: &str) -> Result<(u32, u64), End> {
    let found = report.cursors.iter().find(|(known, ..)| known == name);
    found.map(|(_, slot, committed)| (*slot, *committed)).ok_or_else(|| {
        if report.state_damaged {
            return End::Failed("the cursors are damaged; a start of the router makes new ones".to_owned());
        }
        let known: Vec<&str> = report.cursors.iter().map(|(known, ..)| known.as_str()).collect();
        let meant = suggest::nearest(name, known.iter().copied()).map(|name| format!("; did you mean `{name}`?"));
        let there =
            if known.is_empty() { "there is none".to_owned() } else { format!("there are {}", known.join(", ")) };
        End::Usage(format!("no endpoint called `{name}` has a cursor here, {there}{}", meant.unwrap_or_default()))
    })
}

/// All ids in the files.
fn ids(report: &Report) -> Range<u64> {
    let first = report.segments.first().map_or(0, |segment| segment.ids.start);
    first..report.segments.last().map_or(first, |segment| segment.ids.end)
}

/// See [`Found::damage`].
fn damage(report: &Report) -> Vec<String> {
    let mut places = Vec::new();
    if report.state_damaged {
        places.push("the cursors are damaged: after the next start endpoints may get messages again".to_owned());
    }
    places.extend(report.unreadable.iter().cloned());
    // The file behind the last message is one that is just being begun, unless nobody can be at it.
    let newest = report.segments.last().filter(|_| !report.clean).map(|segment| segment.name.as_str());
    let stale =
        report.useless.iter().filter(|name| newest.is_some_and(|newest| name.as_str() < newest) || report.clean);
    places.extend(stale.map(|name| format!("{name}: no message in it can be read")));
    let last = report.segments.len().saturating_sub(1);
    for (at, segment) in report.segments.iter().enumerate() {
        let name = &segment.name;
        if !segment.header {
            places.push(format!("{name}: the header is damaged; what is behind it can be used"));
        }
        let tail = segment.tail.filter(|_| at < last || report.clean);
        places.extend(segment.damage.iter().copied().chain(tail).map(|place| {
            format!("{name}: bytes {} to {} are damaged, {} messages are missing", place.from, place.to, place.messages)
        }));
    }
    places
}

/// What was just being written, which is no damage.
fn torn(report: &Report) -> Option<&SegmentReport> {
    report.segments.last().filter(|segment| segment.tail.is_some() && !report.clean)
}

/// Arguments of `spool status`.
#[derive(clap::Args, Debug)]
struct Status {
    #[command(flatten)]
    place: Place,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    fn go(self) -> Result<ExitCode, End> {
        let found = self.place.find()?;
        let report = found.check("reading")?;
        let ids = ids(&report);
        let bytes: u64 = report.segments.iter().map(|segment| segment.bytes).sum();
        let messages: u64 = report.segments.iter().map(|segment| segment.messages).sum();
        let mut endpoints = Vec::new();
        for (name, slot, committed) in &report.cursors {
            let waiting = match *committed >= ids.end {
                true => (0, 0),
                false => found.count(&Filter { ids: *committed..u64::MAX, slot: Some(*slot) })?,
            };
            endpoints.push((name, *committed, waiting, found.is_orphan(name)));
        }
        let damaged = found.damage(&report)?.len();
        if self.json {
            let endpoints = endpoints.iter().map(|(name, cursor, (waiting, bytes), orphan)| {
                json!({ "name": name, "cursor": cursor, "waiting": waiting, "waiting_bytes": bytes, "orphan": orphan })
            });
            let whole = json!({
                "directory": found.directory.display().to_string(), "segments": report.segments.len(), "bytes": bytes,
                "messages": messages, "oldest_id": ids.start, "next_id": ids.end, "closed": report.clean,
                "damaged_places": damaged, "endpoints": endpoints.collect::<Vec<_>>(),
            });
            print(&format!("{whole:#}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut out = format!(
            "spool {}: {} in {} files, {messages} messages, the oldest has id {}, the next gets {} or more\n",
            found.directory.display(),
            size(bytes),
            report.segments.len(),
            ids.start,
            ids.end
        );
        out += if report.clean { "it was closed\n" } else { "a router has it open, or did not come to close it\n" };
        if damaged > 0 {
            out += &format!("{damaged} places are damaged: `metlog-router spool check` lists them\n");
        }
        out += &format!("\n{:<24} {:>20} {:>12} {:>12}\n", "endpoint", "settled below id", "waiting", "");
        for (name, cursor, (waiting, bytes), orphan) in endpoints {
            out += &format!("{name:<24} {cursor:>20} {waiting:>12} {:>12}", size(bytes));
            if orphan == Some(true) {
                out += "  no such endpoint any more: `metlog-router spool drop` forgets it";
            }
            out.push('\n');
        }
        if found.endpoints.is_none() {
            out += "\nwhich of these endpoints are gone is known with --config\n";
        }
        print(&out)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Nobody reading any more is no failure.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Arguments of `spool check`.
#[derive(clap::Args, Debug)]
struct Check {
    #[command(flatten)]
    place: Place,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    fn go(self) -> Result<ExitCode, End> {
        let found = self.place.find()?;
        let report = found.check("checking")?;
        let places = found.damage(&report)?;
        let code = if places.is_empty() { ExitCode::SUCCESS } else { exit::partly() };
        if self.json {
            let files = report.segments.iter().map(|segment| {
                json!({
                    "name": segment.name, "oldest_id": segment.ids.start, "next_id": segment.ids.end,
                    "bytes": segment.bytes, "frames": segment.frames, "messages": segment.messages,
                })
            });
            let whole = json!({
                "whole": places.is_empty(), "closed": report.clean, "damaged": places,
                "torn": torn(&report).map(|segment| &segment.name), "files": files.collect::<Vec<_>>(),
            });
            print(&format!("{whole:#}\n"))?;
            return Ok(code);
        }
        let mut out: String = places.iter().flat_map(|place| [place.as_str(), "\n"]).collect();
        if let Some(segment) = torn(&report) {
            out += &format!("{}: its end was being written, or is; the next start cuts that off\n", segment.name);
        }
        let messages: u64 = report.segments.iter().map(|segment| segment.messages).sum();
        let files = report.segments.len();
        out += &match places.len() {
            0 => format!("{}: whole; {messages} messages in {files} files\n", found.directory.display()),
            count => format!(
                "{}: {count} damaged places; {messages} messages in {files} files are whole\n",
                found.directory.display()
            ),
        };
        print(&out)?;
        Ok(code)
    }
}

/// Arguments of `spool export`.
#[derive(clap::Args, Debug)]
struct Export {
    #[command(flatten)]
    place: Place,
    /// Only messages that were for this endpoint, delivered or not.
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Only messages from this id on.
    #[arg(long, value_name = "ID", default_value_t = 0)]
    from: u64,
    /// Only messages before this id.
    #[arg(long, value_name = "ID", default_value_t = u64::MAX, hide_default_value = true)]
    to: u64,
    /// A file to be made; otherwise standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Export {
    fn go(self) -> Result<ExitCode, End> {
        let found = self.place.find()?;
        let slot = match &self.endpoint {
            None => None,
            Some(name) => Some(cursor(&found.check("looking")?, name)?.0),
        };
        let filter = Filter { ids: self.from..self.to, slot };
        let written = match &self.output {
            None => found.export("exporting", &mut BufWriter::with_capacity(1 << 16, io::stdout().lock()), &filter),
            Some(path) => {
                let failed = |error: io::Error| End::Failed(format!("{}: {error}", path.display()));
                // Messages are nobody else's business, as in the spool.
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
                let mut out = BufWriter::with_capacity(1 << 16, file);
                let written = found.export("exporting", &mut out, &filter).map_err(failed)?;
                out.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
                Ok(written)
            }
        };
        match written {
            Ok(written) => {
                eprintln!("{written} messages");
                Ok(ExitCode::SUCCESS)
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error.into()),
        }
    }
}
