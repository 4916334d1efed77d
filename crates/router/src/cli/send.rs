//! `send` and `tail`: a message from the shell, and all messages in it.

use super::ask::{Address, Sight, refusal};
use super::exit;
use metlog_message::{Message, Severity, Value, wire};
use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

/// Arguments of `send`.
#[derive(clap::Args, Debug)]
pub struct Send {
    #[command(flatten)]
    to: Address,
    /// The payload; without it JSON messages are read from standard input.
    payload: Option<String>,
    /// The type.
    #[arg(long = "type", default_value = "oldstyle")]
    kind: String,
    /// 0 to 7, or a name such as `warning`.
    #[arg(long, default_value = "informational")]
    severity: String,
    /// The logger.
    #[arg(long, default_value = "shell")]
    logger: String,
    /// A field, as often as there are fields. What is JSON is taken as such, the rest as text.
    #[arg(short, long = "field", value_name = "NAME=VALUE")]
    fields: Vec<String>,
}

impl Send {
    pub(super) fn go(self) -> ExitCode {
        let body = match self.body() {
            Ok(body) => body,
            Err(why) => {
                eprintln!("{why}");
                return exit::usage();
            }
        };
        let answer = self.to.ask("POST", "/v1/messages", &body, Some(std::time::Duration::from_secs(60)));
        let answer =
            answer.and_then(|mut answer| Ok((answer.status, answer.whole().map_err(|error| error.to_string())?)));
        match answer {
            Ok((200, text)) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                println!("{text}");
                if text.contains("\"rejected\":[]") { ExitCode::SUCCESS } else { exit::partly() }
            }
            Ok((status, text)) => {
                eprintln!("the router {}", refusal(status, &text));
                exit::failed()
            }
            Err(why) => {
                eprintln!("{why}");
                exit::failed()
            }
        }
    }

    fn body(&self) -> Result<Vec<u8>, String> {
        let Some(payload) = &self.payload else {
            if std::io::stdin().is_terminal() {
                return Err("give a payload, or JSON messages on standard input".to_owned());
            }
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).map_err(|error| error.to_string())?;
            return Ok(text);
        };
        let severity = Severity::parse(&self.severity)
            .ok_or_else(|| format!("`{}` is no severity: 0 to 7, or a name such as `warning`", self.severity))?;
        let mut message = Message::new(&*self.kind).payload(payload.as_str()).severity(severity).logger(&*self.logger);
        for field in &self.fields {
            let (name, value) =
                field.split_once('=').ok_or_else(|| format!("`{field}` is no field: write NAME=VALUE"))?;
            let value = wire::read_value(value.as_bytes()).unwrap_or_else(|_| Value::from(value));
            message = message.field(name, value);
        }
        let mut text = Vec::new();
        wire::write(&mut text, &message);
        Ok(text)
    }
}

/// Arguments of `tail`.
#[derive(clap::Args, Debug)]
pub struct Tail {
    #[command(flatten)]
    to: Address,
}

impl Tail {
    pub(super) fn go(self) -> ExitCode {
        let mut answer = match self.to.ask("GET", "/v1/tail?rate=100000", &[], None) {
            Ok(answer) => answer,
            Err(why) => {
                eprintln!("{why}");
                return exit::failed();
            }
        };
        if answer.status != 200 {
            let text = answer.whole().unwrap_or_default();
            eprintln!("the router {}", refusal(answer.status, &text));
            return exit::failed();
        }
        let mut out = std::io::stdout().lock();
        loop {
            let wrote = match answer.sight() {
                Ok(None) | Err(_) => {
                    eprintln!("the router has gone");
                    return exit::failed();
                }
                Ok(Some(Sight::LeftOut(count))) => {
                    eprintln!("({count} messages went by too fast)");
                    Ok(())
                }
                Ok(Some(Sight::Message(_, message))) => {
                    out.write_all(&message).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush())
                }
            };
            // Nobody reads any more.
            if wrote.is_err() {
                return ExitCode::SUCCESS;
            }
        }
    }
}
