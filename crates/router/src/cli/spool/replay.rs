//! `spool replay`: sends in again what an endpoint has had.
//!
//! A cursor only moves forward, since what is behind it may be deleted at any moment. So the messages are read from the
//! spool, of a running router too, and sent to the router like any others.

use super::{End, Found, Place, cursor, ids, print};
use crate::cli::ask::{Address, Credentials, refusal};
use crate::cli::exit;
use metlog_message::wire::{self, Limits};
use metlog_message::{Timestamp, head};
use metlog_settings::Span;
use metlog_spool::tools::Filter;
use serde_json::Value;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

const NOTE: &str = "\
They come in again over HTTP as new messages: filters judge them again, as they are configured now, and every endpoint
that wants them gets them, not this one alone. Their running numbers are taken off, or they would count as repeated.
Delivered messages stay in the spool as long as `spool.keep` says.";

/// Arguments of `spool replay`.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTE)]
pub(super) struct Replay {
    #[command(flatten)]
    place: Place,
    /// The endpoint.
    #[arg(long, value_name = "NAME")]
    endpoint: String,
    /// From this id on; otherwise from the oldest that is still there.
    #[arg(long, value_name = "ID", conflicts_with = "since")]
    from: Option<u64>,
    /// Messages so old at the most, by their own time: `1h`.
    #[arg(long, value_name = "TIME")]
    since: Option<Span>,
    /// Before this id; otherwise up to what has yet to be delivered anyway.
    #[arg(long, value_name = "ID")]
    to: Option<u64>,
    /// Leaves out so many at the beginning: where an attempt before this one stopped.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    skip: u64,
    /// The router's HTTP address; otherwise as the configuration says.
    #[arg(long, value_name = "URL", env = "METLOG_ROUTER_URL")]
    url: Option<String>,
    #[command(flatten)]
    credentials: Credentials,
    /// Does it. The router must be running.
    #[arg(long)]
    apply: bool,
}

impl Replay {
    pub(super) fn go(self) -> Result<ExitCode, End> {
        let found = self.place.find()?;
        let report = found.check("looking")?;
        let (slot, committed) = cursor(&report, &self.endpoint)?;
        let from = self.from.unwrap_or(ids(&report).start);
        let to = self.to.unwrap_or(committed).min(committed).max(from);
        let filter = Filter { ids: from..to, slot: Some(slot) };
        let oldest = self.since.map(|since| {
            let before = i64::try_from(since.duration().as_nanos()).unwrap_or(i64::MAX);
            Timestamp::from_nanos(Timestamp::now().nanos().saturating_sub(before))
        });
        let url = self.url(&found)?;
        let to = self.apply.then(|| Address::at(&url, &self.credentials));
        let mut resend = Resend { to, oldest, skip: self.skip, ..Resend::default() };
        let done = found.export(if self.apply { "sending" } else { "counting" }, &mut resend, &filter);
        let Resend { messages, bytes, rejected, .. } = resend;
        let ids = format!("ids {} to {}", filter.ids.start, filter.ids.end.saturating_sub(1).max(filter.ids.start));
        if let Err(error) = done {
            let handled = self.skip + messages;
            return Err(End::Failed(format!(
                "{error}\n{messages} messages were sent; `--skip {handled}` goes on behind them"
            )));
        }
        if !self.apply {
            let what = format!("{messages} messages, {bytes} bytes, {ids}, would be sent to {url} again");
            print(&format!("{what}\n{NOTE}\nnothing was sent: `--apply` does it\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        print(&format!(
            "{messages} messages, {bytes} bytes, {ids}, were sent to {url} again; {rejected} were refused\n"
        ))?;
        Ok(if rejected == 0 { ExitCode::SUCCESS } else { exit::partly() })
    }

    fn url(&self, found: &Found) -> Result<String, End> {
        match (&self.url, &found.http) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(url)) if !url.is_empty() => Ok(url.clone()),
            (None, Some(_)) => Err(End::Usage("the configuration turns HTTP off: `router.http` is empty".to_owned())),
            (None, None) => Ok("http://127.0.0.1:5568".to_owned()),
        }
    }
}

/// So much in one request: far below what a server takes.
const PORTION: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes the lines of an export and sends them, many together.
#[derive(Default)]
struct Resend {
    /// Nowhere: they are only counted.
    to: Option<Address>,
    oldest: Option<Timestamp>,
    skip: u64,
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// What is to be sent next, and how many that are.
    portion: Vec<u8>,
    pending: u64,
    messages: u64,
    bytes: u64,
    rejected: u64,
}

impl Write for Resend {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = memchr::memchr(b'\n', bytes);
        self.line.extend_from_slice(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default());
        match end {
            None => Ok(bytes.len()),
            Some(end) => {
                let mut line = std::mem::take(&mut self.line);
                self.take(&line)?;
                line.clear();
                self.line = line;
                Ok(end + 1)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Resend {
    fn take(&mut self, line: &[u8]) -> io::Result<()> {
        if self.oldest.is_some_and(|oldest| timestamp(line).is_none_or(|at| at < oldest)) {
            return Ok(());
        }
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(());
        }
        let line = without_number(line);
        if self.portion.len() + line.len() >= PORTION {
            self.send()?;
        }
        self.portion.extend_from_slice(&line);
        self.portion.push(b'\n');
        self.pending += 1;
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        let portion = std::mem::take(&mut self.portion);
        let pending = std::mem::take(&mut self.pending);
        if pending == 0 {
            return Ok(());
        }
        if let Some(to) = &self.to {
            let mut answer = to.ask("POST", "/v1/messages", &portion, Some(PATIENCE)).map_err(io::Error::other)?;
            let text = answer.whole()?;
            if answer.status != 200 {
                return Err(io::Error::other(format!("the router {}", refusal(answer.status, &text))));
            }
            let answer: Value = serde_json::from_slice(&text).map_err(io::Error::other)?;
            let accepted = answer.get("accepted").and_then(Value::as_u64).unwrap_or_default();
            self.rejected += pending.saturating_sub(accepted);
        }
        self.messages += pending;
        self.bytes += portion.len() as u64;
        Ok(())
    }
}

fn timestamp(line: &[u8]) -> Option<Timestamp> {
    // It was accepted once, by whatever limits there were.
    match head::scan(line, &Limits::NONE) {
        Ok(head) => Some(head.timestamp),
        Err(_) => wire::read(line, &Limits::NONE).ok().map(|read| read.message.timestamp),
    }
}

/// A message without its sender's running number; most have none and stay as they are.
fn without_number(line: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let numbered = memchr::memmem::find(line, b"metlog_seq").is_some();
    match wire::read(line, &Limits::NONE) {
        Ok(mut read) if numbered && read.message.origin.is_some() => {
            read.message.origin = None;
            let mut text = Vec::with_capacity(line.len());
            wire::write(&mut text, &read.message);
            text.into()
        }
        _ => line.into(),
    }
}
