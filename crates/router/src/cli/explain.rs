//! `explain`: where would this message go?

use super::{ConfigFile, exit, wrong};
use crate::config::{self, Plan};
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
        let routes = match routes(&plan) {
            Ok(routes) => routes,
            Err(why) => {
                eprintln!("{why}");
                return exit::usage();
            }
        };
        match explain(&plan, &routes, u32::try_from(input).unwrap_or_default()) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => exit::partly(),
            Err(error) => {
                eprintln!("{error}");
                exit::failed()
            }
        }
    }
}

/// Routes as a start would make them, but for the slots, which only a spool knows.
fn routes(plan: &Plan) -> Result<Routes, String> {
    let slots = (0..).zip(&plan.endpoints).map(|(slot, endpoint)| (endpoint.name.clone(), slot)).collect();
    plan.routes(&slots)
}

/// False if one of them was no message.
fn explain(plan: &Plan, routes: &Routes, input: u32) -> std::io::Result<bool> {
    let limits = plan.router.limits();
    let mut stream = wire::Stream::new(limits.bytes);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut stdin = std::io::stdin().lock();
    let mut buffer = vec![0; 64 * 1024];
    let (mut all, mut failed, mut number) = (true, None, 0_u64);
    loop {
        let count = stdin.read(&mut buffer)?;
        let mut each = |cut: wire::Cut<'_>| {
            number += 1;
            let result = match cut {
                wire::Cut::Message(text) => one(&mut out, routes, input, &limits, number, text),
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

fn one(
    out: &mut impl Write,
    routes: &Routes,
    input: u32,
    limits: &wire::Limits,
    number: u64,
    text: &[u8],
) -> std::io::Result<bool> {
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
    for (route, verdict) in routes.explain(input, &Event { head: &head, raw }) {
        match verdict {
            Ok(()) => writeln!(out, "  -> {}", route.endpoint)?,
            Err(refusal) => writeln!(out, "  not {}: {refusal}", route.endpoint)?,
        }
    }
    Ok(true)
}

/// Content is never trusted to leave a terminal as it is.
fn shown(text: &str) -> String {
    format!("{text:?}")
}
