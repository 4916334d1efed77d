//! `store`: what is kept, and its copies. What is gone afterwards is said first, and done with `--apply`.

use super::ask::Address;
use super::find::{No, ask, encoded, print, read, whole};
use super::status::size;
use super::{ConfigFile, exit, wrong};
use crate::config;
use metlog_query as query;
use metlog_query::Trouble;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `store`.
#[derive(clap::Args, Debug)]
pub struct Store {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Says how much a running router keeps.
    Status(Plain),
    /// Has a running router copy all it keeps, beside its store; goes on while messages come.
    Backup(Backup),
    /// Lists the copies, newest first.
    Backups(Plain),
    /// Puts a copy in the place of the store, which no router may be using; what was there is kept beside it. To be done
    /// as the user who runs the router, or that cannot read it.
    Restore(Restore),
    /// Sets messages aside: they are found only by queries that say `archived:yes` or `archived:any`.
    Archive(Archive),
    /// Deletes messages for good.
    Delete(Delete),
}

/// Asking and nothing else.
#[derive(clap::Args, Debug)]
struct Plain {
    #[command(flatten)]
    to: Address,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct Backup {
    #[command(flatten)]
    plain: Plain,
    /// What to say of it, kept in it.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,
}

#[derive(clap::Args, Debug)]
struct Restore {
    /// The copy.
    #[arg(value_name = "FILE")]
    copy: PathBuf,
    #[command(flatten)]
    file: ConfigFile,
    /// Does it. The router must be stopped.
    #[arg(long)]
    apply: bool,
}

#[derive(clap::Args, Debug)]
struct Archive {
    /// Which; `*` means everything.
    query: String,
    #[command(flatten)]
    to: Address,
}

#[derive(clap::Args, Debug)]
struct Delete {
    /// Which; `*` means everything that is not archived.
    query: String,
    #[command(flatten)]
    to: Address,
    /// Does it; otherwise they are counted.
    #[arg(long)]
    apply: bool,
}

/// For what is over in a moment.
const SHORT: Duration = Duration::from_secs(20);
/// For what a router gives a minute.
const LONG: Duration = Duration::from_secs(90);
/// For many gigabytes.
const COPYING: Duration = Duration::from_secs(3600);

impl Store {
    pub(super) fn go(self) -> ExitCode {
        let done = match self.command {
            Command::Status(plain) => plain.status(),
            Command::Backup(backup) => backup.go(),
            Command::Backups(plain) => plain.backups(),
            Command::Restore(restore) => restore.go(),
            Command::Archive(archive) => archive.go(),
            Command::Delete(delete) => delete.go(),
        };
        done.unwrap_or_else(No::told)
    }
}

fn parsed(text: &[u8]) -> Result<Value, No> {
    let unreadable = |_| No::Failed("the router's answer cannot be read; is it of another version?".to_owned());
    serde_json::from_slice(text).map_err(unreadable)
}

fn get(to: &Address, path: &str, patience: Duration, query: &str) -> Result<Value, No> {
    parsed(&whole(&mut ask(to, ("GET", path), &[], Some(patience), query)?)?)
}

fn post(to: &Address, path: &str, body: &Value, patience: Duration, query: &str) -> Result<Value, No> {
    parsed(&whole(&mut ask(to, ("POST", path), body.to_string().as_bytes(), Some(patience), query)?)?)
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn messages(count: u64) -> String {
    format!("{count} message{}", if count == 1 { "" } else { "s" })
}

/// How much, and of which time.
fn content(count: u64, archived: u64, bytes: u64, span: Option<(&str, &str)>) -> String {
    let archived = if archived > 0 { format!(" ({archived} archived)") } else { String::new() };
    let span = span.map_or(String::new(), |(oldest, newest)| format!(", from {oldest} to {newest}"));
    format!("{}{archived}, {}{span}", messages(count), size(bytes))
}

fn told_size(held: query::Size) -> String {
    let span = held.oldest.zip(held.newest).map(|(oldest, newest)| (oldest.to_string(), newest.to_string()));
    let span = span.as_ref().map(|(oldest, newest)| (oldest.as_str(), newest.as_str()));
    content(held.messages, held.archived, held.bytes, span)
}

fn told_copy(made: &str, whole: bool, note: &str) -> String {
    let state = if whole { "whole" } else { "DAMAGED" };
    let note = if note.is_empty() { String::new() } else { format!(": {note}") };
    format!("made {made}, {state}{note}")
}

impl Plain {
    fn status(self) -> Result<ExitCode, No> {
        let held = get(&self.to, "/v1/store", SHORT, "")?;
        let span = (text(&held, "oldest"), text(&held, "newest"));
        let span = Some(span).filter(|(oldest, _)| !oldest.is_empty());
        let told = content(number(&held, "messages"), number(&held, "archived"), number(&held, "bytes"), span);
        print(&if self.json { format!("{held}\n") } else { format!("{told}\n") })?;
        Ok(ExitCode::SUCCESS)
    }

    fn backups(self) -> Result<ExitCode, No> {
        let all = get(&self.to, "/v1/backups", SHORT, "")?;
        let copies = all.get("backups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if self.json {
            print(&format!("{all}\n"))?;
        } else {
            print(&copies.iter().map(line).collect::<String>())?;
            if copies.is_empty() {
                eprintln!("there are no backups; `metlog-router store backup` makes one");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn is_whole(copy: &Value) -> bool {
    copy.get("whole").and_then(Value::as_bool).unwrap_or_default()
}

fn line(copy: &Value) -> String {
    let told = told_copy(text(copy, "made"), is_whole(copy), text(copy, "note"));
    format!("{}  {:>10}  {told}\n", text(copy, "path"), size(number(copy, "bytes")))
}

impl Backup {
    fn go(self) -> Result<ExitCode, No> {
        let Plain { to, json } = self.plain;
        let copy = post(&to, "/v1/backups", &json!({"note": self.note}), COPYING, "")?;
        print(&if json { format!("{copy}\n") } else { line(&copy) })?;
        if is_whole(&copy) {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("the copy is damaged, and so is the store that it was made of");
        Ok(exit::partly())
    }
}

impl Restore {
    fn go(self) -> Result<ExitCode, No> {
        let plan = match config::load(self.file.config.as_deref()) {
            Ok(plan) => plan,
            Err(problems) => return Ok(wrong(&problems)),
        };
        let Some((endpoint, open)) = plan.store().and_then(|plan| Some((&plan.name, plan.store.as_ref()?))) else {
            return Err(No::Wrong("no endpoint of this configuration keeps messages".to_owned()));
        };
        let store = open().map_err(|why| No::Failed(format!("endpoint `{endpoint}`: {why}")))?;
        let refused = |why: Trouble| No::Failed(format!("{why}\nnothing was changed"));
        let done = store.restore(&self.copy, self.apply).map_err(refused)?;
        let made = match &done.copy {
            Some(copy) => told_copy(&copy.made.to_string(), copy.whole, &copy.note),
            None => "whole, and not made as a copy".to_owned(),
        };
        let (place, would) = (&done.place, if self.apply { "now is" } else { "would be" });
        let mut out = format!("{}: {made}\n  {}\n{would} {place}\n", self.copy.display(), told_size(done.holds));
        let before = done.before.map(|before| before.map_or_else(|why| format!("it cannot be read: {why}"), told_size));
        match (&before, &done.kept) {
            (None, _) => out += "where nothing is yet\n",
            (Some(before), Some(kept)) => out += &format!("what was there is {kept}\n  {before}\n"),
            (Some(before), None) => out += &format!("what is there would be kept beside it\n  {before}\n"),
        }
        out += match self.apply {
            true => {
                "what came after the copy was made comes back with `metlog-router spool replay`, if the spool keeps it\n"
            }
            false => "nothing was changed: `--apply` does it\n",
        };
        print(&out)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Archive {
    fn go(self) -> Result<ExitCode, No> {
        read(&self.query)?;
        change(&self.to, "archive", &self.query, "archived")
    }
}

impl Delete {
    fn go(self) -> Result<ExitCode, No> {
        read(&self.query)?;
        if self.apply {
            return change(&self.to, "delete", &self.query, "deleted");
        }
        let path = format!("/v1/messages/tally?query={}&deadline=60s", encoded(&self.query));
        let counted = get(&self.to, &path, LONG, &self.query)?;
        let more = counted.get("partial").and_then(Value::as_bool).unwrap_or_default();
        let least = if more { "at least " } else { "" };
        let count = messages(number(&counted, "matched"));
        print(&format!("{least}{count} would be deleted for good\nnothing was changed: `--apply` does it\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// As often as it takes: a request changes so many, and for so long.
fn change(to: &Address, what: &str, query: &str, done: &str) -> Result<ExitCode, No> {
    let mut changed = 0;
    loop {
        let path = format!("/v1/messages/{what}");
        let answer = post(to, &path, &json!({"query": query}), LONG, query).inspect_err(|_| {
            if changed > 0 {
                eprintln!("{} {done}, and then:", messages(changed));
            }
        })?;
        let some = number(&answer, "changed");
        changed += some;
        let finished = answer.get("done").and_then(Value::as_bool).unwrap_or_default();
        if finished || some == 0 {
            print(&format!("{} {done}\n", messages(changed)))?;
            if finished {
                return Ok(ExitCode::SUCCESS);
            }
            eprintln!("the router had no time to look further; some may be left");
            return Ok(exit::partly());
        }
    }
}
