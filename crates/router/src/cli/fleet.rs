//! `status --fleet`: the routers of a fleet and the sums of all, as one of them has heard them, or as they are heard where
//! they report.

use super::ask::Address;
use super::exit;
use super::status::{number, text};
use super::watch::{self, Picture, bad, list, plain, spoken};
use crate::fleet::roll::Roll;
use metlog_message::Timestamp;
use metlog_pipeline::{Air, Beacon, BeaconEntry, Ears, Stop};
use metlog_settings::{Kind, Node, Origin, Table};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whoever listens without a router waits so long for the first words, and for a second one of whoever speaks rarely.
const FIRST: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(120);

/// Where a fleet is seen from.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Where {
    /// Of the whole fleet, as the router has heard it.
    #[arg(long)]
    fleet: bool,
    /// Listens there itself instead of asking a router: sums begin with the routers that speak now.
    #[arg(long, value_name = "URL", requires = "fleet")]
    nats: Option<String>,
    /// The fleet's subject there; `metlog-fleet` by default.
    #[arg(long, requires = "nats")]
    subject: Option<String>,
    /// The same as --nats, where and with which login the section `[fleet]` of this configuration says.
    #[arg(long, value_name = "FILE", requires = "fleet", conflicts_with = "nats")]
    config: Option<PathBuf>,
}

impl Where {
    /// Whether a fleet is asked for at all.
    pub(super) fn is_asked(&self) -> bool {
        self.fleet
    }

    pub(super) fn go(self, to: Address, json: bool, again: bool) -> ExitCode {
        let sight = match self.beacon() {
            Ok(None) => Sight::Router(to),
            Ok(Some(beacon)) => match Listener::start(self, beacon) {
                Ok(listener) => Sight::Ourselves(listener),
                Err(why) => return told(&why, exit::failed()),
            },
            Err(why) => return told(&why, exit::usage()),
        };
        if again && !json && std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
            return watch::show(move || sight.look(false), Screen::default());
        }
        loop {
            let text = match sight.look(json) {
                Ok(now) if json => format!("{now}\n"),
                Ok(now) => table(&now),
                Err(why) => return told(&why, exit::failed()),
            };
            // Nobody reads any more.
            let gone = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()).is_err();
            if gone || !again {
                return ExitCode::SUCCESS;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// What to listen with, if not to a router.
    fn beacon(&self) -> Result<Option<Box<dyn Beacon>>, String> {
        if let Some(file) = &self.config {
            let plan = crate::config::load(Some(file)).map_err(|problems| problems.to_string())?;
            let fleet = plan.fleet.ok_or_else(|| format!("{}: {}", file.display(), NO_FLEET))?;
            return fleet.open().map(Some);
        }
        let Some(url) = &self.nats else { return Ok(None) };
        let entry = BeaconEntry::find("nats").map_err(|unknown| unknown.to_string())?;
        let mut settings = Table::default();
        let place = |name: &str| Origin::named(name);
        let value = |name: &str, text: &str| Node::new(place(name), Kind::Text(text.to_owned()));
        settings.insert("urls", place("--nats"), value("--nats", url));
        if let Some(subject) = &self.subject {
            settings.insert("subject", place("--subject"), value("--subject", subject));
        }
        let settings = Node::new(place("--nats"), Kind::Table(settings));
        (entry.read)(&settings).map_err(|problems| problems.to_string())?().map(Some)
    }
}

fn told(why: &str, code: ExitCode) -> ExitCode {
    eprintln!("{}", why.lines().map(plain).collect::<Vec<_>>().join("\n"));
    code
}

const NO_FLEET: &str = "no fleet is configured there: each router needs a section `[fleet]`, as `metlog-router example \
                        fleet nats` prints it";

/// Where the numbers come from.
enum Sight {
    Router(Address),
    Ourselves(Listener),
}

impl Sight {
    fn look(&self, parts: bool) -> Result<Value, String> {
        match self {
            Sight::Router(to) => {
                let text = to.get(&format!("/v1/fleet?parts={parts}"))?;
                let now: Value = serde_json::from_slice(&text)
                    .map_err(|_| "the router's answer cannot be read; is it of another version?".to_owned())?;
                if now.get("place").is_none_or(Value::is_null) {
                    return Err(format!("{to}: {NO_FLEET}"));
                }
                Ok(now)
            }
            Sight::Ourselves(listener) => listener.look(parts),
        }
    }
}

/// Hears a fleet without being in it.
struct Listener {
    place: String,
    ears: Arc<Hearing>,
    began: Instant,
    since: Timestamp,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Hearing {
    roll: Mutex<Roll>,
    /// Why nothing is heard now.
    away: Mutex<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ears for Hearing {
    fn hear(&self, word: &[u8]) {
        *lock(&self.away) = None;
        // What is refused is counted there.
        let _ = lock(&self.roll).hear(word, Instant::now());
    }
    fn missed(&self, count: u64) {
        lock(&self.roll).missed(count);
    }
}

impl Listener {
    fn start(at: Where, beacon: Box<dyn Beacon>) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| format!("no thread to listen on: {error}"))?;
        let ears = Arc::<Hearing>::default();
        let place = beacon.place();
        runtime.spawn(listen(at, beacon, ears.clone()));
        Ok(Listener { place, ears, began: Instant::now(), since: Timestamp::now(), _runtime: runtime })
    }

    /// The first look takes as long as it takes to have heard everybody twice.
    fn look(&self, parts: bool) -> Result<Value, String> {
        loop {
            if let Some(why) = &*lock(&self.ears.away) {
                return Err(why.clone());
            }
            let mut now = lock(&self.ears.roll).tell(Instant::now(), usize::MAX, parts);
            let rarest = list(&now, "/routers").iter().map(|router| number(router, "/every_ms")).max();
            let enough = rarest.map_or(FIRST, |rarest| Duration::from_millis(rarest * 5 / 2).clamp(FIRST, LONGEST));
            if self.began.elapsed() < enough {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            if list(&now, "/routers").is_empty() {
                return Err(format!(
                    "{}: no router was heard for {} s; is it the fleet's subject?",
                    self.place,
                    FIRST.as_secs()
                ));
            }
            if let Value::Object(now) = &mut now {
                now.insert("place".to_owned(), json!(self.place));
                now.insert("since".to_owned(), json!(self.since.to_string()));
            }
            return Ok(now);
        }
    }
}

/// Listens as long as anybody wants to know.
async fn listen(at: Where, first: Box<dyn Beacon>, ears: Arc<Hearing>) {
    let mut next = Ok(Some(first));
    loop {
        let why = match next {
            Ok(Some(beacon)) => {
                let ((_say, air), (_tell, stop)) = (Air::new(ears.clone()), Stop::new());
                beacon.run(air, stop).await.err()
            }
            Ok(None) => None,
            Err(why) => Some(why),
        };
        *lock(&ears.away) = Some(why.unwrap_or_else(|| "it has ended".to_owned()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        next = at.beacon();
    }
}

/// The time of day of a moment.
fn clock(moment: &str) -> String {
    let time = moment.split_once('T').map_or(moment, |(_, time)| time);
    plain(time.split('.').next().unwrap_or_default())
}

/// A router's line, cell by cell.
fn cells(router: &Value) -> [String; 9] {
    let rate =
        |path: &str| router.pointer(path).and_then(Value::as_f64).map_or(String::new(), |rate| format!("{rate:.1}"));
    let state = text(router, "/state");
    let own = router.pointer("/self") == Some(&json!(true));
    let twin = if state == "conflict" {
        format!(" ({})", text(router, "/instance").get(..4).unwrap_or_default())
    } else {
        String::new()
    };
    let oldest = router.pointer("/oldest_ms").and_then(Value::as_f64).filter(|oldest| *oldest >= 1000.0);
    [
        plain(&format!("{}{twin}{}", text(router, "/name"), if own { " *" } else { "" })),
        if state == "running" {
            state.to_owned()
        } else {
            plain(&format!("{state} since {}", clock(text(router, "/heard"))))
        },
        rate("/rates/received"),
        rate("/rates/delivered"),
        number(router, "/inputs/received").to_string(),
        number(router, "/endpoints/delivered").to_string(),
        number(router, "/endpoints/buffered").to_string(),
        oldest.map_or(String::new(), |oldest| spoken(oldest / 1000.0)),
        number(router, "/unaccounted").to_string(),
    ]
}

const HEAD: [&str; 9] =
    ["router", "state", "in/s", "out/s", "received", "delivered", "waiting", "oldest", "unaccounted"];

/// The line of all.
fn sum_cells(now: &Value) -> [String; 9] {
    let count = |path: &str| number(now, path).to_string();
    let rate =
        |path: &str| now.pointer(path).and_then(Value::as_f64).map_or(String::new(), |rate| format!("{rate:.1}"));
    let states = now.pointer("/total/routers").and_then(Value::as_object);
    let all: u64 = states.into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    [
        "all".to_owned(),
        format!("{} of {all} running", number(now, "/total/routers/running")),
        rate("/total/rates/received"),
        rate("/total/rates/delivered"),
        count("/total/inputs/received"),
        count("/total/endpoints/delivered"),
        count("/total/endpoints/buffered"),
        String::new(),
        count("/total/unaccounted"),
    ]
}

/// What is told below the table: the law, and what stands in its way.
fn law(now: &Value) -> Vec<String> {
    let count = |path: &str| number(now, path);
    let rest = |path: &str| now.pointer(path).and_then(Value::as_i64).unwrap_or_default();
    let [inputs, endpoints] =
        ["/total/inputs", "/total/endpoints"].map(|of| move |term: &str| count(&format!("{of}/{term}")));
    let mut lines = vec![
        format!(
            "inputs: {} received = {} accepted + {} refused + {} repeated; unaccounted for: {}",
            inputs("received"),
            inputs("accepted"),
            inputs("refused"),
            inputs("duplicates"),
            rest("/total/inputs/unaccounted"),
        ),
        format!(
            "endpoints: {} accepted = {} delivered + {} not wanted + {} dead letters + {} dropped + {} waiting + {} unheard; \
             unaccounted for: {}",
            endpoints("accepted"),
            endpoints("delivered"),
            endpoints("filtered"),
            endpoints("dead_lettered"),
            endpoints("dropped"),
            endpoints("buffered"),
            endpoints("unheard"),
            rest("/total/endpoints/unaccounted"),
        ),
    ];
    for (kind, counts) in now.pointer("/total/transports").and_then(Value::as_object).into_iter().flatten() {
        let (taken, given) = (number(counts, "/taken"), number(counts, "/given"));
        if taken > 0 && given > 0 {
            lines.push(format!("{}: {given} given, {taken} taken: between routers these count at both", plain(kind)));
        }
    }
    let before = count("/total/lives_before");
    if before > 0 {
        lines.push(format!("{before} earlier lives of these routers are counted as far as they were heard"));
    }
    let refused = now.pointer("/refused").and_then(Value::as_object).into_iter().flatten();
    let refused: u64 = refused.filter_map(|(_, count)| count.as_u64()).sum();
    if refused > 0 {
        let why = text(now, "/last_refused/why");
        lines.push(format!(
            "{refused} things that were heard are no reports{}{}",
            if why.is_empty() { "" } else { "; the last: " },
            plain(why)
        ));
    }
    lines
}

/// Where it is seen from, and whether that sees anything.
fn head(now: &Value) -> Vec<String> {
    let since = text(now, "/since").split('.').next().unwrap_or_default().replace('T', " ");
    let mut lines = vec![plain(&format!("fleet at {}, listened to since {since} UTC", text(now, "/place")))];
    let state = text(now, "/link/state");
    if !state.is_empty() && state != "connected" {
        lines.push(plain(&format!("this router is not connected to it ({state}): {}", text(now, "/link/why"))));
    }
    lines
}

fn troubles(router: &Value) -> impl Iterator<Item = String> + '_ {
    let name = plain(text(router, "/name"));
    list(router, "/troubles").iter().filter_map(Value::as_str).map(move |trouble| format!("{name}: {}", plain(trouble)))
}

fn table(now: &Value) -> String {
    let mut out = head(now).join("\n") + "\n\n";
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(list(now, "/routers").iter().map(cells));
    rows.push(sum_cells(now));
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..HEAD.len()).map(|column| width(column).unwrap_or_default()).collect();
    for row in &rows {
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if at > 0 { "  " } else { "" };
            let _ = if at < 2 { write!(out, "{gap}{cell:<width$}") } else { write!(out, "{gap}{cell:>width$}") };
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    let left_out = number(now, "/left_out");
    if left_out > 0 {
        let _ = writeln!(out, "and {left_out} more");
    }
    let told = list(now, "/routers").iter().flat_map(troubles);
    out.push('\n');
    told.chain(law(now)).for_each(|line| out.push_str(&(line + "\n")));
    out
}

/// What is drawn.
#[derive(Default)]
struct Screen {
    now: Option<Value>,
    trouble: Option<String>,
}

impl Picture for Screen {
    fn take(&mut self, (_, answer): watch::Answer) {
        match answer {
            Ok(now) => (self.now, self.trouble) = (Some(now), None),
            Err(why) => self.trouble = Some(why),
        }
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let Some(now) = &self.now else {
            let text = self.trouble.as_deref().map_or("listening …".to_owned(), plain);
            frame.render_widget(Paragraph::new(text), frame.area());
            return;
        };
        let routers = list(now, "/routers");
        let mut below: Vec<Line<'_>> =
            routers.iter().flat_map(troubles).map(|line| Line::styled(line, bad())).collect();
        below.truncate(6);
        below.extend(law(now).into_iter().map(Line::from));
        let mut above: Vec<Line<'_>> = head(now).into_iter().map(Line::from).collect();
        if let Some(why) = &self.trouble {
            above.push(Line::styled(plain(why), bad()));
        }
        let height =
            |lines: &[Line<'_>], more: u16| u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(more);
        let areas = Layout::vertical([
            Constraint::Length(height(&above, 0)),
            Constraint::Min(4),
            Constraint::Length(height(&below, 1)),
            Constraint::Length(1),
        ]);
        let [top, middle, bottom, foot] = areas.areas(frame.area());
        frame.render_widget(Paragraph::new(above), top);
        let style = |state: &str| match state {
            "running" => Style::new(),
            "stopped" => Style::new().fg(Color::Yellow),
            _ => bad(),
        };
        let row = |router: &Value| Row::new(cells(router).map(Cell::from)).style(style(text(router, "/state")));
        // All first: a large fleet is longer than the screen.
        let all = Row::new(sum_cells(now).map(Cell::from)).style(Style::new().add_modifier(Modifier::BOLD));
        let rows: Vec<Row<'_>> = std::iter::once(all).chain(routers.iter().map(row)).collect();
        let widths = [24, 22, 10, 10, 13, 13, 11, 9, 11].map(Constraint::Max);
        frame.render_widget(watch::table("fleet", rows, &widths, HEAD), middle);
        let block = Block::new().borders(Borders::TOP).title("account");
        frame.render_widget(Paragraph::new(below).block(block), bottom);
        let dim = Style::new().add_modifier(Modifier::DIM);
        frame.render_widget(Line::styled("* answered; q, Esc or Ctrl-C ends", dim), foot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn fleet() -> Value {
        json!({
            "place": "nats://x, subject metlog-fleet", "since": "2026-11-21T10:00:00.000000Z",
            "link": { "state": "away", "why": "the server \u{1b}[2Jis gone" },
            "routers": [
                { "name": "b\u{1b}[31m\n", "state": "silent", "heard": "2026-11-21T12:03:11.5Z", "inputs": { "received": 7 },
                  "endpoints": { "delivered": 3, "buffered": 4 }, "oldest_ms": 7_200_000, "unaccounted": 0,
                  "troubles": ["logs is held: \u{9b}wrong\u{7} key"] },
                { "name": "a", "state": "running", "self": true, "rates": { "received": 12.5, "delivered": 0.0 } },
            ],
            "total": {
                "routers": { "running": 1, "silent": 1 }, "lives_before": 2, "unaccounted": 0,
                "inputs": { "received": 1_007, "accepted": 1_000, "refused": 4, "duplicates": 3, "unaccounted": 0 },
                "endpoints": { "accepted": 9, "delivered": 3, "buffered": 4, "unheard": 2, "unaccounted": 0 },
                "transports": { "nats": { "given": 5, "taken": 4 }, "tcp": { "given": 0, "taken": 9 } },
            },
            "refused": { "malformed": 2, "stale": 1 }, "last_refused": { "why": "no report: \u{202e}\u{1b}x" },
        })
    }

    const PARTS: [&str; 10] = [
        "not connected to it (away): the server \u{fffd}[2Jis gone",
        "b\u{fffd}[31m\u{fffd}",
        "silent since 12:03:11",
        "2.0 h",
        "a *",
        "12.5",
        "1 of 2 running",
        "logs is held: \u{fffd}wrong\u{fffd} key",
        "1007 received = 1000 accepted + 4 refused + 3 repeated; unaccounted for: 0",
        "nats: 5 given, 4 taken",
    ];

    #[test]
    fn everything_that_matters_is_told_and_nothing_moves_the_cursor() {
        let told = table(&fleet());
        for part in PARTS.into_iter().chain(["2 earlier lives", "3 things that were heard are no reports"]) {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
        assert!(!told.contains("tcp:"), "nothing goes between routers there");
        assert!(told.chars().all(|c| c == '\n' || !c.is_control()), "{told:?}");
        assert!(table(&json!({})).contains("0 received"), "an answer of another kind");
    }

    #[test]
    fn the_same_is_drawn_on_screens_of_any_size() {
        let drawn = |screen: &Screen, width: u16, height: u16| {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
            terminal.draw(|frame| screen.draw(frame)).expect("drawn");
            let buffer = terminal.backend().buffer();
            let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>() + "\n";
            (0..height).map(line).collect::<String>()
        };
        let mut screen = Screen::default();
        assert!(drawn(&screen, 60, 10).contains("listening"));
        screen.take((Instant::now(), Ok(fleet())));
        let told = drawn(&screen, 160, 30);
        for part in PARTS {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
        screen.take((Instant::now(), Err("nobody listens there".to_owned())));
        assert!(drawn(&screen, 160, 30).contains("nobody listens there"), "and what was known stays");
        for (width, height) in [(1, 1), (20, 5), (300, 100)] {
            drawn(&screen, width, height);
        }
    }
}
