//! The clauses of senders against a writer, and what each form looks like.

use metlog_message::{Lines, Message, Severity, Timestamp, wire};
use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_stdout::{Format, StreamSender};
use metlog_testkit::{Arrived, Delivery, Peer, of_example, sample, settings};
use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex};

/// A writer that can break.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    text: Vec<u8>,
    calls: usize,
    down: Option<ErrorKind>,
    /// Takes so many bytes and then breaks once.
    breaks_after: Option<usize>,
    stays_broken: bool,
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut state = self.0.lock().expect("no panic");
        state.calls += 1;
        if let Some(kind) = state.down {
            return Err(kind.into());
        }
        match state.breaks_after {
            Some(0) => {
                state.breaks_after = None;
                state.down = state.stays_broken.then_some(ErrorKind::StorageFull);
                Err(ErrorKind::StorageFull.into())
            }
            Some(left) => {
                let take = left.min(bytes.len());
                state.breaks_after = Some(left - take);
                state.text.extend_from_slice(&bytes[..take]);
                Ok(take)
            }
            None => {
                state.text.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").text.clone()).expect("UTF-8")
    }
}

struct Writer(Page);

impl Peer for Writer {
    fn sender(&mut self) -> Box<dyn Sender> {
        Box::new(StreamSender::new(self.0.clone(), Format::Json.formatter(false)))
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        self.0.text().lines().map(|line| Arrived::of_json(line.as_bytes())).collect()
    }
    fn delivery(&self) -> Delivery {
        Delivery::Exact
    }
    fn stop(&mut self) -> bool {
        self.0.0.lock().expect("no panic").down = Some(ErrorKind::StorageFull);
        true
    }
    fn start(&mut self) {
        self.0.0.lock().expect("no panic").down = None;
    }
}

metlog_testkit::contract!(Writer(Page::default()));

fn written(format: Format, colour: bool, message: &Message) -> String {
    let page = Page::default();
    let mut lines = Lines::new();
    lines.push_with(|text| wire::write(text, message));
    StreamSender::new(page.clone(), format.formatter(colour)).send(&lines).expect("written");
    page.text()
}

fn message() -> Message {
    let mut message = Message::new("oldstyle").payload("user bob\nin").severity(Severity::Warning).logger("shop");
    message.timestamp = Timestamp::from_nanos(1_795_212_050_348_839_000);
    message.field("id", 7).field("path", "/cart").field("text", "two words")
}

#[test]
fn text_is_for_people_and_keeps_to_its_line() {
    assert_eq!(
        written(Format::Text, false, &message()),
        "2026-11-20T22:00:50.348839Z warning       shop: user bob\\nin id=7 path=/cart text=\"two words\"\n"
    );
    assert!(written(Format::Text, true, &message()).contains("\x1b[33mwarning      \x1b[0m"));
    let counter = Message::new("counter").payload("5").field("name", "hits");
    assert!(written(Format::Text, false, &counter).ends_with("informational [counter] 5 name=hits\n"));
    for nasty in sample::nasty() {
        let text = written(
            Format::Text,
            false,
            &sample::message(1)
                .payload(nasty.as_str())
                .field(nasty.as_str(), nasty.as_str())
                .field("list", vec![metlog_message::Value::from("\u{9b}2J\u{202e}\u{7f}")])
                .logger(nasty),
        );
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(!text.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
    }
}

#[test]
fn the_indented_form_spans_lines_and_reads_back() {
    let text = written(Format::Indented, false, &message());
    assert!(text.starts_with("{\n    \"type\": \"oldstyle\",\n"), "{text}");
    assert!(text.ends_with("}\n"));
    assert_eq!(wire::read(text.as_bytes(), &wire::Limits::default()).expect("JSON").message, message());
}

#[test]
fn a_batch_is_one_call_and_a_break_in_the_middle_is_told_exactly() {
    let page = Page::default();
    let mut sender = StreamSender::new(page.clone(), Format::Json.formatter(false));
    sender.send(&sample::lines(0, 100)).expect("written");
    assert_eq!(page.0.lock().expect("no panic").calls, 1);
    let page = Page::default();
    let first = sample::line(0).len() + 1;
    page.0.lock().expect("no panic").breaks_after = Some(first + 10);
    let mut sender = StreamSender::new(page.clone(), Format::Json.formatter(false));
    match sender.send(&sample::lines(0, 3)) {
        Err(SendError::Retry { done, .. }) => assert_eq!(done, 1),
        other => panic!("{other:?}"),
    }
    sender.send(&sample::lines(1, 2)).expect("written");
    let whole: Vec<Vec<u8>> = (0..3).map(sample::line).collect();
    let lines: Vec<Vec<u8>> = page.text().lines().map(|line| line.as_bytes().to_vec()).collect();
    assert_eq!((lines.len(), &lines[0], &lines[2..]), (4, &whole[0], &whole[1..]), "one cut line stands alone");
}

#[test]
fn a_cut_line_that_cannot_be_ended_is_ended_before_the_next() {
    let page = Page::default();
    page.0.lock().expect("no panic").breaks_after = Some(10);
    page.0.lock().expect("no panic").stays_broken = true;
    let mut sender = StreamSender::new(page.clone(), Format::Json.formatter(false));
    for _ in 0..2 {
        let error = sender.send(&sample::lines(0, 3)).expect_err("broken");
        assert!(matches!(error, SendError::Retry { done: 0, .. }), "{error:?}");
    }
    page.0.lock().expect("no panic").down = None;
    sender.send(&sample::lines(0, 3)).expect("written");
    let text = page.text();
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), (0..3).map(json).collect::<Vec<_>>(), "{text}");
    assert_eq!(text.lines().next(), json(0).get(..10));
    sender.send(&sample::lines(3, 1)).expect("written");
    assert_eq!(page.text(), text + &json(3) + "\n");
}

fn json(number: u64) -> String {
    String::from_utf8(sample::line(number)).expect("UTF-8")
}

#[test]
fn a_closed_pipe_is_no_reason_to_fall_over() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut sender = StreamSender::new(writer, Format::Json.formatter(false));
    sender.send(&sample::lines(0, 3)).expect("somebody could read it");
    drop(reader);
    match sender.send(&sample::lines(0, 3)) {
        Err(SendError::Pause { why }) => assert!(why.contains("broken pipe"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn configurations_by_old_and_new_names() {
    let read = |name: &str, toml: &str| {
        let entry = SenderEntry::find(name).expect("a sender");
        (entry.read)(&settings(toml)).map(drop).map_err(|problems| problems.to_string())
    };
    for entry in SenderEntry::all() {
        (entry.read)(&of_example(entry.example)).map(drop).unwrap_or_else(|problems| panic!("{problems}"));
    }
    read("metlog.senders.StdOutSender", "formatter = 'json.dumps'").expect("as in a Metlog file");
    let told = read("stdout", "format = 'xml'").expect_err("no such form");
    assert!(told.contains("test.toml:1:10") && told.contains("indented"), "{told}");
}
