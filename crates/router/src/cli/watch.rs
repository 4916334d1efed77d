//! `status --watch` in a terminal: the pipeline, drawn once a second.

use super::ask::Address;
use super::exit;
use super::status::{number, size, text};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Gauge, Paragraph, Row, Table};
use serde_json::Value;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How often the router is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How soon a key is answered.
const KEYS: Duration = Duration::from_millis(100);

/// What the router answered, and when.
pub(super) type Answer = (Instant, Result<Value, String>);

/// What is drawn of answers.
pub(super) trait Picture {
    /// Another answer.
    fn take(&mut self, answer: Answer);

    /// As it is now.
    fn draw(&self, frame: &mut Frame<'_>);
}

/// Draws the pipeline.
pub(super) fn watch(to: Address) -> ExitCode {
    let ask = move || {
        serde_json::from_slice(&to.get("/v1/pipeline")?)
            .map_err(|_| "the router's answer cannot be read; is it of another version?".to_owned())
    };
    show(ask, Screen::default())
}

/// Asks and draws until q, Esc or Ctrl-C is pressed.
pub(super) fn show(
    question: impl FnMut() -> Result<Value, String> + Send + 'static,
    mut screen: impl Picture,
) -> ExitCode {
    let (tell, answers) = sync_channel(1);
    // A router that does not answer must not keep the keys from working.
    std::thread::spawn(move || ask(question, &tell));
    let mut terminal = match ratatui::try_init() {
        Ok(terminal) => terminal,
        Err(error) => {
            eprintln!("this terminal cannot be drawn on: {error}");
            return exit::failed();
        }
    };
    let ended = loop {
        if let Err(error) = terminal.draw(|frame| screen.draw(frame)) {
            break Err(error);
        }
        match wait(&mut screen, &answers) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    ratatui::restore();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the terminal is gone: {error}");
            exit::failed()
        }
    }
}

fn ask(mut question: impl FnMut() -> Result<Value, String>, tell: &SyncSender<Answer>) {
    loop {
        let asked = Instant::now();
        // Nobody watches any more.
        if tell.send((asked, question())).is_err() {
            return;
        }
        std::thread::sleep(EVERY.saturating_sub(asked.elapsed()));
    }
}

/// Until there is something to draw. False: that was the end.
fn wait(screen: &mut impl Picture, answers: &Receiver<Answer>) -> std::io::Result<bool> {
    loop {
        if event::poll(Duration::ZERO)? {
            return Ok(match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                    !(control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
                }
                _ => true,
            });
        }
        match answers.recv_timeout(KEYS) {
            Ok(answer) => {
                screen.take(answer);
                return Ok(true);
            }
            Err(RecvTimeoutError::Timeout) => {}
            // It asks as long as there is somebody to tell.
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        }
    }
}

/// What is drawn.
#[derive(Default)]
struct Screen {
    now: Option<(Instant, Value)>,
    before: Option<(Instant, Value)>,
    trouble: Option<String>,
}

pub(super) fn plain(text: &str) -> String {
    // What is drawn came over the network.
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

pub(super) fn list<'a>(pipeline: &'a Value, path: &str) -> &'a [Value] {
    pipeline.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn sum(of: &Value, path: &str) -> u64 {
    let counts = of.pointer(path).and_then(Value::as_object);
    counts.into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

/// A time as people say it.
pub(super) fn spoken(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

impl Picture for Screen {
    fn take(&mut self, (at, answer): Answer) {
        match answer {
            Ok(pipeline) => {
                self.trouble = None;
                self.before = self.now.replace((at, pipeline));
            }
            Err(why) => self.trouble = Some(why),
        }
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let Some((_, pipeline)) = &self.now else {
            let text = self.trouble.as_deref().map_or("asking the router …".to_owned(), plain);
            frame.render_widget(Paragraph::new(text), frame.area());
            return;
        };
        let rows = |path: &str| u16::try_from(list(pipeline, path).len()).unwrap_or(u16::MAX).saturating_add(3);
        let areas = Layout::vertical([
            Constraint::Length(1),
            Constraint::Max(rows("/inputs")),
            Constraint::Min(4),
            Constraint::Length(3),
            Constraint::Length(3),
            Constraint::Length(1),
        ]);
        let [head, inputs, endpoints, spool, law, foot] = areas.areas(frame.area());
        let said = match &self.trouble {
            Some(why) => Line::styled(plain(why), bad()),
            None => Line::from(format!(
                "metlog-router {}, since {}",
                plain(text(pipeline, "/version")),
                plain(text(pipeline, "/started")).split('.').next().unwrap_or_default().replace('T', " ")
            )),
        };
        frame.render_widget(said, head);
        self.draw_inputs(frame, inputs, pipeline);
        self.draw_endpoints(frame, endpoints, pipeline);
        draw_spool(frame, spool, pipeline);
        draw_law(frame, law, pipeline);
        frame.render_widget(Line::styled("q, Esc or Ctrl-C ends", Style::new().add_modifier(Modifier::DIM)), foot);
    }
}

impl Screen {
    /// How much a number of the part of this name grew in a second.
    fn rate(&self, parts: &str, name: &str, path: &str) -> String {
        let of = |pipeline: &Value| {
            let part = list(pipeline, parts).iter().find(|part| text(part, "/name") == name);
            part.map(|part| number(part, path))
        };
        let (Some((now, last)), Some((then, first))) = (&self.now, &self.before) else { return String::new() };
        let time = now.saturating_duration_since(*then).as_secs_f64();
        match (of(last), of(first)) {
            (Some(last), Some(first)) if time > 0.0 => format!("{:.0}/s", last.saturating_sub(first) as f64 / time),
            _ => String::new(),
        }
    }

    fn draw_inputs(&self, frame: &mut Frame<'_>, area: Rect, pipeline: &Value) {
        let rows = list(pipeline, "/inputs").iter().map(|input| {
            let name = text(input, "/name");
            let count = |path: &str| number(input, path);
            let cells = [
                plain(name),
                self.rate("/inputs", name, "/counts/received"),
                count("/counts/received").to_string(),
                count("/counts/accepted").to_string(),
                sum(input, "/counts/refused").to_string(),
                count("/counts/duplicates").to_string(),
                count("/counts/lost").to_string(),
                plain(text(input, "/place")),
            ];
            Row::new(cells.map(Cell::from))
        });
        let widths = [16, 10, 12, 12, 9, 9, 8, 24].map(Constraint::Max);
        let head = ["input", "", "received", "accepted", "refused", "repeated", "lost", "at"];
        frame.render_widget(table("in", rows.collect(), &widths, head), area);
    }

    fn draw_endpoints(&self, frame: &mut Frame<'_>, area: Rect, pipeline: &Value) {
        let rows = list(pipeline, "/endpoints").iter().map(|endpoint| {
            let name = text(endpoint, "/name");
            let count = |path: &str| number(endpoint, path);
            let state = text(endpoint, "/state");
            let retry = endpoint.pointer("/retry_in_ms").and_then(Value::as_f64);
            let oldest = endpoint.pointer("/oldest_ms").and_then(Value::as_f64).filter(|oldest| *oldest >= 1000.0);
            let (style, stuck) = match state {
                "delivering" | "waiting" => (Style::new(), false),
                "paused" => (Style::new().fg(Color::Yellow), false),
                _ => (bad(), true),
            };
            let cells = [
                Cell::from(plain(name)),
                Cell::from(match retry {
                    Some(retry) => format!("{} {}", plain(state), spoken(retry / 1000.0)),
                    None => plain(state),
                })
                .style(style),
                self.rate("/endpoints", name, "/delivered").into(),
                count("/delivered").to_string().into(),
                count("/buffered").to_string().into(),
                oldest.map_or(String::new(), |oldest| spoken(oldest / 1000.0)).into(),
                count("/dead_lettered").to_string().into(),
                sum(endpoint, "/dropped").to_string().into(),
                if stuck { plain(text(endpoint, "/last_error")) } else { String::new() }.into(),
            ];
            Row::new(cells)
        });
        let widths = [16, 17, 10, 12, 10, 9, 8, 8].map(Constraint::Max);
        let widths = [&widths[..], &[Constraint::Fill(1)]].concat();
        let head = ["endpoint", "", "", "delivered", "waiting", "oldest", "dead", "dropped", ""];
        frame.render_widget(table("out", rows.collect(), &widths, head), area);
    }
}

pub(super) fn table<'a, const N: usize>(
    title: &'a str,
    rows: Vec<Row<'a>>,
    widths: &[Constraint],
    head: [&'a str; N],
) -> Table<'a> {
    let head = Row::new(head).style(Style::new().add_modifier(Modifier::BOLD));
    let block = Block::new().borders(Borders::TOP).title(title);
    Table::new(rows, widths.iter().copied()).header(head).block(block).column_spacing(1)
}

pub(super) fn bad() -> Style {
    Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
}

fn draw_spool(frame: &mut Frame<'_>, area: Rect, pipeline: &Value) {
    let (bytes, most) = (number(pipeline, "/spool/bytes"), number(pipeline, "/spool/max_bytes"));
    let full = pipeline.pointer("/spool/full_in_s").and_then(Value::as_f64);
    let free = number(pipeline, "/spool/free");
    let mut label = format!("{} of {}, {} free on its disk", size(bytes), size(most), size(free));
    if let Some(full) = full {
        label.push_str(&format!(", full in {}", spoken(full)));
    }
    let style = if full.is_some() { bad() } else { Style::new().fg(Color::Blue) };
    let ratio = (bytes as f64 / most.max(1) as f64).clamp(0.0, 1.0);
    let block = Block::new().borders(Borders::TOP).title("spool");
    frame.render_widget(Gauge::default().block(block).gauge_style(style).ratio(ratio).label(label), area);
}

fn draw_law(frame: &mut Frame<'_>, area: Rect, pipeline: &Value) {
    let unaccounted = number(pipeline, "/unaccounted");
    let sure = match unaccounted {
        0 => Span::raw("0: every message is where it is said to be"),
        count => Span::styled(format!("{count}: this is a fault of the router"), bad()),
    };
    let lost = number(pipeline, "/clients/lost");
    let style = if lost > 0 { bad() } else { Style::new() };
    let clients = number(pipeline, "/clients/tracked");
    let lines = vec![
        Line::from(vec![Span::raw("unaccounted for: "), sure]),
        Line::styled(format!("lost on the way, by running numbers of {clients} clients: {lost}"), style),
    ];
    let block = Block::new().borders(Borders::TOP).title("account");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| screen.draw(frame)).expect("drawn");
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>() + "\n";
        (0..height).map(line).collect()
    }

    fn pipeline(received: u64) -> Value {
        json!({
            "version": "1.2.3", "started": "2026-11-21T10:00:00.000000Z",
            "inputs": [{"name": "udp", "place": "udp://x", "counts": {"received": received, "accepted": received - 3,
                "refused": {"malformed": 1, "quota": 2}, "duplicates": 0, "lost": 7}}],
            "endpoints": [
                {"name": "logs", "state": "retrying", "retry_in_ms": 4200, "last_error": "connection \u{1b}[2Jrefused",
                 "delivered": 5, "buffered": 12, "oldest_ms": 7_200_000, "dead_lettered": 1, "dropped": {"no_room": 4}},
                {"name": "all", "state": "waiting", "delivered": received, "buffered": 0},
            ],
            "spool": {"bytes": 1 << 30, "max_bytes": 2_u64 << 30, "free": 5_u64 << 30, "full_in_s": 10_800},
            "clients": {"tracked": 2, "lost": 7}, "unaccounted": 0,
        })
    }

    #[test]
    fn everything_that_matters_is_on_the_screen_and_nothing_moves_the_cursor() {
        let mut screen = Screen::default();
        assert!(drawn(&screen, 60, 10).contains("asking the router"));
        let start = Instant::now();
        screen.take((start, Ok(pipeline(100))));
        screen.take((start + Duration::from_secs(2), Ok(pipeline(300))));
        let text = drawn(&screen, 120, 24);
        for part in [
            "metlog-router 1.2.3",
            "100/s",
            "297",
            "retrying 4.2 s",
            "2.0 h",
            "connection \u{fffd}[2Jrefused",
            "waiting",
            "1.0 GiB of 2.0 GiB",
            "full in 3.0 h",
            "unaccounted for: 0",
            "2 clients: 7",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        screen.take((start, Err("nobody listens there".to_owned())));
        assert!(drawn(&screen, 120, 24).contains("nobody listens there"), "and what was known stays");
        for (width, height) in [(1, 1), (20, 5), (300, 100)] {
            drawn(&screen, width, height);
        }
    }
}
