//! `explain`: where would this message go?

use super::{ConfigFile, exit, wrong};
use crate::config::{self, Plan};
use crate::edits::Hand;
use crate::routes::Routes;
use metlog_message::{head, wire};
use metlog_pipeline::Event;
use std::io::{BufWriter, Read, Write};
use std::process::ExitCode;

/// Arguments of `explain`.
#[derive(clap::Args, Debug)]
pub struct Explain {
    #[command(flatten)]
    file: ConfigFile,
    /// The input by which the messages would come; the first one otherwise.
    #[arg(long)]
    input: Option<String>,
}

impl Explain {
    pub(super) fn go(self) -> ExitCode {
        let plan = match config::load(self.file.config.as_deref()) {
            Ok(plan) => plan,
            Err(problems) => return wrong(&problems),
        };
        let input = match &self.input {
            None => 0,
            Some(name) => match plan.inputs.iter().position(|input| input.name == *name) {
                Some(at) => at,
                None => {
                    let known: Vec<&str> = plan.inputs.iter().map(|input| input.name.as_str()).collect();
                    eprintln!("no input is called `{name}`; there are {}", known.join(", "));
                    return exit::usage();
                }
            },
        };
        let judges = routes(&plan).and_then(|routes| {
            let hand = plan.edits(None)?.map(|edits| edits.hand());
            Ok(Judges { routes, hand, input: u32::try_from(input).unwrap_or_default(), limits: plan.router.limits() })
        });
        let judges = match judges {
            Ok(judges) => judges,
            Err(why) => {
                eprintln!("{why}");
                return exit::usage();
            }
        };
        match explain(judges) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => exit::partly(),
            Err(error) => {
                eprintln!("{error}");
                exit::failed()
            }
        }
    }
}

/// All who have a say.
struct Judges {
    routes: Routes,
    hand: Option<Hand>,
    input: u32,
    limits: wire::Limits,
}

/// Routes as a start would make them, but for the slots, which only a spool knows.
fn routes(plan: &Plan) -> Result<Routes, String> {
    let slots = (0..).zip(&plan.endpoints).map(|(slot, endpoint)| (endpoint.name.clone(), slot)).collect();
    plan.routes(&slots)
}

/// False if one of them was no message.
fn explain(mut judges: Judges) -> std::io::Result<bool> {
    let mut stream = wire::Stream::new(judges.limits.bytes);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut stdin = std::io::stdin().lock();
    let mut buffer = vec![0; 64 * 1024];
    let (mut all, mut failed, mut number) = (true, None, 0_u64);
    loop {
        let count = stdin.read(&mut buffer)?;
        let mut each = |cut: wire::Cut<'_>| {
            number += 1;
            let result = match cut {
                wire::Cut::Message(text) => one(&mut out, &mut judges, number, text),
                wire::Cut::Oversized(bytes) => {
                    writeln!(out, "message {number}: refused: {bytes} bytes are too many").map(|()| false)
                }
            };
            match result {
                Ok(understood) => all &= understood,
                Err(error) => failed = Some(error),
            }
        };
        if count == 0 {
            stream.finish(&mut each);
        } else {
            stream.feed(buffer.get(..count).unwrap_or_default(), &mut each);
        }
        if let Some(error) = failed.take() {
            return Err(error);
        }
        out.flush()?;
        if count == 0 {
            return Ok(all);
        }
    }
}

fn one(out: &mut impl Write, judges: &mut Judges, number: u64, text: &[u8]) -> std::io::Result<bool> {
    let Judges { routes, hand, input, limits } = judges;
    let read = match wire::read(text, limits) {
        Ok(read) => read,
        Err(refusal) => {
            writeln!(out, "message {number}: refused, to the dead letters: {refusal}")?;
            return Ok(false);
        }
    };
    let mut mended = Vec::new();
    let raw = if read.notes.is_empty() {
        text
    } else {
        wire::write(&mut mended, &read.message);
        &mended
    };
    let Ok(head) = head::scan(raw, limits) else {
        writeln!(out, "message {number}: refused, to the dead letters: beyond the limits once it is mended")?;
        return Ok(false);
    };
    // What must not be kept must not be shown either, so nothing is said of a message before it is edited.
    let (mut edited, mut steps) = (Vec::new(), Vec::new());
    let verdict = match hand {
        None => Ok(false),
        Some(hand) => {
            hand.edit(raw, &head, limits, &mut edited, |step| steps.push((step.editor.to_owned(), step.changed)))
        }
    };
    let (raw, head) = match verdict {
        Ok(false) => (raw, head),
        Ok(true) => match head::scan(&edited, limits) {
            Ok(head) => (edited.as_slice(), head),
            Err(_) => {
                writeln!(out, "message {number}: refused, to the dead letters: beyond the limits once it is edited")?;
                return Ok(false);
            }
        },
        Err(dropped) => {
            writeln!(out, "message {number}: refused ({}): {}", dropped.reason.name(), dropped.why)?;
            return Ok(true);
        }
    };
    writeln!(
        out,
        "message {number}: type {}, severity {}, logger {}",
        shown(&head.kind),
        head.severity as u8,
        shown(&head.logger)
    )?;
    for note in &read.notes {
        writeln!(out, "  note: {note}")?;
    }
    for (editor, changed) in &steps {
        writeln!(out, "  edit {editor}: {}", if *changed { "changed" } else { "unchanged" })?;
    }
    if steps.iter().any(|(_, changed)| *changed) {
        writeln!(out, "  goes on as: {}", harmless(raw))?;
    }
    for (route, verdict) in routes.explain(*input, &Event { head: &head, raw }) {
        match verdict {
            Ok(()) => writeln!(out, "  -> {}", route.endpoint)?,
            Err(refusal) => writeln!(out, "  not {}: {refusal}", route.endpoint)?,
        }
    }
    Ok(true)
}

/// A message in one line that moves no cursor.
fn harmless(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Content is never trusted to leave a terminal as it is.
fn shown(text: &str) -> String {
    format!("{text:?}")
}
