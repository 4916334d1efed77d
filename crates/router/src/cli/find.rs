//! `find`: what is kept, in the shell. The latest stand last, as in a log.

use super::ask::{Address, Answer, Sight, refusal};
use super::exit;
use crate::http::query::csv;
use metlog_message::{Lines, Timestamp};
use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_query::language::{self, Mistake};
use metlog_query::store::Row;
use metlog_query::{Facts, Path};
use metlog_settings::toml;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// Arguments of `find`.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER)]
pub struct Find {
    /// What is sought: `disk full`, `type:timer duration_ms>500`, `severity<=4 OR logger:web*`; without it everything.
    query: Option<String>,
    /// Not before this: `1h` ago, `yesterday`, `2026-11-20T10:00Z`.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// The latest so many.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[command(flatten)]
    form: Form,
    /// Goes on with what comes in and matches, whether it will be kept or not.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    to: Address,
}

const AFTER: &str = "A query that begins with a minus stands behind `--`. How to ask stands in /docs of the router.
Exit codes: 0 found, 1 nothing found or nobody answers, 2 the query makes no sense, 3 found in part.";

/// How messages are written.
#[derive(clap::Args, Debug)]
#[group(multiple = false)]
struct Form {
    /// As they came, a line of JSON each: the default unless a terminal looks on.
    #[arg(long)]
    json: bool,
    /// For spreadsheets.
    #[arg(long)]
    csv: bool,
    /// For people: the default on a terminal.
    #[arg(long)]
    line: bool,
}

/// Messages asked for at a time.
const PAGE: u64 = 1000;
/// Messages held until the earliest is known.
const HELD: usize = 256 << 20;
/// Bytes written at a time.
const PORTION: usize = 64 << 10;
/// A question may take as long as the router lets it.
const PATIENCE: Duration = Duration::from_secs(90);
/// Messages that came while others were sought or written. Beyond these the router counts those it leaves out.
const BEHIND: usize = 1024;
/// Messages a second that the router shows at the most.
const RATE: u32 = 100_000;

/// Why there is nothing more to do.
pub(super) enum No {
    /// It was tried.
    Failed(String),
    /// It makes no sense.
    Wrong(String),
    /// Nobody reads any more.
    Unread,
}

impl No {
    pub(super) fn told(self) -> ExitCode {
        match self {
            No::Failed(why) => {
                eprintln!("{why}");
                exit::failed()
            }
            No::Wrong(why) => {
                eprintln!("{why}");
                exit::usage()
            }
            No::Unread => ExitCode::SUCCESS,
        }
    }
}

impl From<io::Error> for No {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => No::Unread,
            _ => No::Failed(format!("standard output: {error}")),
        }
    }
}

/// Nobody reading any more is no failure.
pub(super) fn print(text: &str) -> Result<(), No> {
    // Names and notes came over the network.
    let text: String = text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
    let mut out = io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
}

/// Asks a router something about what this query means. Its answer, if it is a good one.
pub(super) fn ask(
    to: &Address,
    what: (&str, &str),
    body: &[u8],
    patience: Option<Duration>,
    query: &str,
) -> Result<Answer, No> {
    let mut answer = to.ask(what.0, what.1, body, patience).map_err(No::Failed)?;
    if answer.status == 200 {
        return Ok(answer);
    }
    let text = whole(&mut answer)?;
    let said: Value = serde_json::from_slice(&text).unwrap_or_default();
    let why = said.get("error").and_then(Value::as_str).map_or(text.as_slice(), str::as_bytes);
    let column = said.get("column").and_then(Value::as_u64).and_then(|column| usize::try_from(column).ok());
    Err(match column {
        Some(column) => {
            let what = String::from_utf8_lossy(why).chars().filter(|c| !c.is_control()).collect();
            No::Wrong(shown(query, &Mistake { column, what }))
        }
        None => No::Failed(format!("the router {}", refusal(answer.status, why))),
    })
}

/// All of an answer.
pub(super) fn whole(answer: &mut Answer) -> Result<Vec<u8>, No> {
    answer.whole().map_err(|error| No::Failed(format!("the router's answer broke off: {error}")))
}

/// What is wrong with a query, before anybody is asked.
pub(super) fn read(query: &str) -> Result<(), No> {
    language::parse(query, Timestamp::now()).map(drop).map_err(|mistake| No::Wrong(shown(query, &mistake)))
}

/// A query, a caret under the character that is wrong, and what is wrong.
fn shown(query: &str, mistake: &Mistake) -> String {
    const BEFORE: usize = 50;
    const BEHIND: usize = 24;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let at = mistake.column.saturating_sub(1);
    let from = at.saturating_sub(BEFORE);
    let before: String = query.chars().skip(from).take(at - from).map(clean).collect();
    let rest: String = query.chars().skip(at).take(BEHIND).map(clean).collect();
    let more = if query.chars().nth(at + BEHIND).is_some() { "\u{2026}" } else { "" };
    let cut = if from > 0 { "\u{2026}" } else { "" };
    let blanks: usize = before.chars().map(cells).sum::<usize>() + cut.chars().count();
    format!("  {cut}{before}{rest}{more}\n  {:blanks$}^\n{}", "", mistake.what)
}

/// Places that a character takes on a terminal, near enough for a caret.
fn cells(character: char) -> usize {
    match character {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff01}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// As an address needs it.
pub(super) fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    text.bytes().map(encode).collect()
}

impl Find {
    pub(super) fn go(self) -> ExitCode {
        self.find().unwrap_or_else(No::told)
    }

    fn find(&self) -> Result<ExitCode, No> {
        let query = self.whole_query()?;
        read(&query)?;
        let mut paper = Paper::of(&self.form)?;
        // Looked on before anything is sought, so that nothing falls between.
        let live = self.follow.then(|| watch(&self.to, &query)).transpose()?;
        let found = self.seek(&query)?;
        for message in found.messages.iter().rev() {
            paper.push(message)?;
        }
        paper.flush()?;
        found.notes.iter().for_each(|note| eprintln!("{note}"));
        if let Some(live) = live {
            return follow(&live, found.positions, &mut paper);
        }
        if found.messages.is_empty() && !found.cut {
            eprintln!("nothing found; {} messages were looked at", found.scanned);
        }
        Ok(match (found.cut, found.messages.is_empty()) {
            (true, _) => exit::partly(),
            (_, true) => exit::failed(),
            _ => ExitCode::SUCCESS,
        })
    }

    /// The query and `--since`, each of them right by itself: put together, one's mistake could mend the other's.
    fn whole_query(&self) -> Result<String, No> {
        let query = self.query.as_deref().unwrap_or_default().trim_end();
        read(query)?;
        let Some(since) = &self.since else { return Ok(query.to_owned()) };
        let since = format!("since:\"{}\"", since.replace('\\', "\\\\").replace('"', "\\\""));
        if let Err(mistake) = language::parse(&since, Timestamp::now()) {
            return Err(No::Wrong(format!("--since: {}", mistake.what)));
        }
        Ok(if query.is_empty() { since } else { format!("({query}) {since}") })
    }

    /// Page by page, the latest first.
    fn seek(&self, query: &str) -> Result<Found, No> {
        let mut found = Found::default();
        let (mut after, mut held) = (String::new(), 0);
        loop {
            let wanted = self.limit.saturating_sub(found.messages.len() as u64);
            let (limit, encoded) = (wanted.min(PAGE), encoded(query));
            let path = format!("/v1/messages?query={encoded}&limit={limit}&after={after}");
            let mut answer = ask(&self.to, ("GET", &path), &[], Some(PATIENCE), query)?;
            let page = Page::read(&whole(&mut answer)?).ok_or_else(|| {
                No::Failed("the router's answer cannot be read; is it of another version?".to_owned())
            })?;
            if after.is_empty() && !page.settled {
                found.notes.push("(the store is behind: some of what came last is not in it yet)".to_owned());
            }
            let none = page.messages.is_empty();
            held += page.messages.iter().map(Vec::len).sum::<usize>();
            found.scanned += page.scanned;
            found.messages.extend(page.messages);
            found.positions.extend(page.positions);
            let Some(next) = page.next.filter(|_| (found.messages.len() as u64) < self.limit) else {
                return Ok(found);
            };
            let stopped = match () {
                () if held > HELD => format!("{} MiB were found", held >> 20),
                () if none && next == after => "the router had no time to look further".to_owned(),
                () => {
                    after = next;
                    continue;
                }
            };
            found.cut = true;
            found.notes.push(format!("({stopped}; earlier ones are left out: ask for less at a time)"));
            return Ok(found);
        }
    }
}

/// What was found, the latest first.
#[derive(Default)]
struct Found {
    messages: Vec<Vec<u8>>,
    positions: HashSet<u64>,
    scanned: u64,
    /// There may be more.
    cut: bool,
    notes: Vec<String>,
}

/// One answer.
struct Page {
    messages: Vec<Vec<u8>>,
    positions: Vec<u64>,
    next: Option<String>,
    scanned: u64,
    settled: bool,
}

impl Page {
    /// The messages byte by byte as they are, which reading and writing them again would not leave them.
    fn read(text: &[u8]) -> Option<Self> {
        let mut rest = text.strip_prefix(b"{\"messages\":[")?;
        let mut messages = Vec::new();
        while let Some(b'{') = rest.first() {
            let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
            values.next()?.ok()?;
            let (message, behind) = rest.split_at_checked(values.byte_offset())?;
            messages.push(message.to_vec());
            rest = behind.strip_prefix(b",").unwrap_or(behind);
        }
        let rest = rest.strip_prefix(b"],")?;
        let rest: Value = serde_json::from_slice(&[b"{", rest].concat()).ok()?;
        Some(Page {
            messages,
            positions: rest.get("positions")?.as_array()?.iter().filter_map(Value::as_u64).collect(),
            next: rest.get("next")?.as_str().map(str::to_owned),
            scanned: rest.get("scanned")?.as_u64()?,
            settled: rest.get("settled")?.as_bool()?,
        })
    }
}

/// Looks on.
fn watch(to: &Address, query: &str) -> Result<Receiver<Sight>, No> {
    let path = format!("/v1/tail?query={}&rate={RATE}", encoded(query));
    let mut answer = ask(to, ("GET", &path), &[], None, query)?;
    let (give, take) = sync_channel(BEHIND);
    let look = move || {
        while let Ok(Some(sight)) = answer.sight()
            && give.send(sight).is_ok()
        {}
    };
    let begun = std::thread::Builder::new().name("tail".to_owned()).spawn(look);
    begun.map_err(|error| No::Failed(format!("no thread: {error}")))?;
    Ok(take)
}

/// Goes on with what comes in, until the router or the reader has gone. What came while others were sought may have been
/// found already.
fn follow(live: &Receiver<Sight>, found: HashSet<u64>, paper: &mut Paper) -> Result<ExitCode, No> {
    for sight in live {
        match sight {
            Sight::LeftOut(count) => eprintln!("({count} messages went by too fast)"),
            Sight::Message(Some(position), _) if found.contains(&position) => {}
            Sight::Message(_, message) => {
                paper.push(&message)?;
                paper.flush()?;
            }
        }
    }
    Err(No::Failed("the router has gone".to_owned()))
}

/// A message as a store would give it, had it been given a place there.
fn with_row<T>(raw: &[u8], work: impl FnOnce(&Row<'_>) -> T) -> Option<T> {
    let facts = Facts::of_many(raw, None)?;
    let Facts { timestamp, severity, kind, logger, .. } = &facts;
    let (timestamp, severity) = (*timestamp, *severity);
    Some(work(&Row { position: u64::MAX, timestamp, severity, kind, logger, archived: None, raw }))
}

/// Standard output.
struct Paper {
    lines: Lines,
    ink: Ink,
}

enum Ink {
    Json,
    Csv(Vec<Path>),
    /// The sender that writes to it elsewhere too: its lines, its colours.
    Line(Box<dyn Sender>),
}

impl Paper {
    fn of(form: &Form) -> Result<Self, No> {
        let ink = match form {
            Form { csv: true, .. } => {
                let columns: Vec<Path> = csv::USUAL.into_iter().filter_map(Path::new).collect();
                let mut head = Vec::new();
                csv::head(&columns, &mut head);
                io::stdout().write_all(&head)?;
                Ink::Csv(columns)
            }
            Form { line, json, .. } if *line || !json && io::stdout().is_terminal() => {
                let settings = toml::read("--line", "format = 'text'", &|_| None);
                let settings = settings.map_err(|problems| No::Failed(problems.to_string()))?;
                let entry = SenderEntry::find("stream").map_err(|_| No::Failed("no sender `stream`".to_owned()))?;
                let open = (entry.read)(&settings).map_err(|problems| No::Failed(problems.to_string()))?;
                Ink::Line(open().map_err(No::Failed)?)
            }
            _ => Ink::Json,
        };
        Ok(Paper { lines: Lines::new(), ink })
    }

    fn push(&mut self, message: &[u8]) -> Result<(), No> {
        self.lines.push(message);
        if self.lines.bytes().len() < PORTION { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), No> {
        let Paper { lines, ink } = self;
        let mut out = io::stdout().lock();
        match ink {
            Ink::Json => out.write_all(lines.bytes())?,
            Ink::Csv(columns) => {
                let mut rows = Vec::new();
                for message in lines.iter() {
                    with_row(message, |row| csv::row(columns, row, &mut rows));
                }
                out.write_all(&rows)?;
            }
            Ink::Line(sender) => {
                drop(out);
                return write_all(sender.as_mut(), lines);
            }
        }
        lines.clear();
        Ok(out.flush()?)
    }
}

fn write_all(sender: &mut dyn Sender, lines: &mut Lines) -> Result<(), No> {
    while !lines.is_empty() {
        match sender.send(lines) {
            Ok(()) => lines.clear(),
            Err(SendError::Pause { .. }) => return Err(No::Unread),
            // It says what is wrong for good when nothing at all goes through.
            Err(SendError::Retry { done, .. }) if done > 0 => lines.drop_first(done),
            Err(why) => return Err(No::Failed(why.to_string())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_character() {
        let wrong = |query: &str| match read(query) {
            Err(No::Wrong(why)) => why.lines().take(2).map(str::to_owned).collect::<Vec<_>>(),
            _ => panic!("{query} is right"),
        };
        assert_eq!(wrong("a (b"), ["  a (b", "    ^"]);
        assert_eq!(wrong("k\u{e4}se severity:\u{fc}"), ["  k\u{e4}se severity:\u{fc}", "                ^"]);
        // Two places each; and one that stands over the letter before it.
        assert_eq!(wrong("\u{78c1}\u{76d8} (b"), ["  \u{78c1}\u{76d8} (b", "       ^"]);
        assert_eq!(wrong("cafe\u{301} (b"), ["  cafe\u{301} (b", "       ^"]);
        assert_eq!(wrong("a\t\u{1b}[2J (b"), ["  a  [2J (b", "         ^"]);
        let long = format!("{} (b {}", "a".repeat(100), "c ".repeat(30));
        let shown = wrong(&long);
        assert_eq!(shown[0].chars().nth(shown[1].find('^').expect("a caret")), Some('('), "{shown:?}");
        assert!(shown[0].chars().count() < 80 && shown[0].matches('\u{2026}').count() == 2, "{shown:?}");
    }

    #[test]
    fn messages_of_a_page_stay_as_they_are() {
        let messages = [r#"{"type":"a","payload":"]},{\"","n":1.50}"#, r#"{"type": "b", "n":[{}], "u":"ä"}"#];
        let rest = r#""positions":[1,2],"next":"x","scanned":7,"settled":true"#;
        let page = Page::read(format!("{{\"messages\":[{}],{rest}}}", messages.join(",")).as_bytes()).expect("read");
        let read: Vec<&str> = page.messages.iter().map(|raw| std::str::from_utf8(raw).expect("text")).collect();
        assert_eq!((read, page.next.as_deref(), page.scanned, page.settled), (messages.to_vec(), Some("x"), 7, true));
        let none =
            Page::read(br#"{"messages":[],"positions":[],"next":null,"scanned":0,"settled":true}"#).expect("read");
        assert!(none.messages.is_empty() && none.next.is_none());
        for broken in ["", "{}", "{\"messages\":[{\"a\":1}", "{\"messages\":[{]}", "{\"messages\":[1],\"next\":null}"] {
            assert!(Page::read(broken.as_bytes()).is_none(), "{broken}");
        }
    }
}
