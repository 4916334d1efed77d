//! SMTP (RFC 5321), as far as it takes to hand a letter over to one server.
//!
//! Not by the crate `lettre`: no release of it that could be had was free of RUSTSEC-2026-0561 and -0562, and the fate of
//! each recipient, which has to be known here, it would have left to us as well.

use crate::letter::base64;
use crate::wire::Wire;
use metlog_alerts::text;
use metlog_settings::Secret;
use metlog_tls::Trusted;
use metlog_tls::rustls::pki_types::ServerName;
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

/// A line of a reply, and all of it: more is no mail server.
const LINE: usize = 2048;
const REPLY: usize = 32 * 1024;
/// Characters of a reply in an error text.
const EXCERPT: usize = 200;

/// Why something did not go through.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// It may later.
    Later(String),
    /// Nothing will until somebody changes something.
    Stop(String),
    /// This letter never will.
    Refused(String),
}

/// A server, and how to speak to it.
pub struct Server {
    pub host: String,
    pub port: u16,
    pub security: Security,
    /// What we call ourselves; our address by default.
    pub hello: Option<String>,
}

/// How a connection is protected.
pub enum Security {
    /// By `STARTTLS`, or not at all: then nothing is sent.
    StartTls(Trusted, ServerName<'static>),
    /// From the first byte.
    Tls(Trusted, ServerName<'static>),
    /// Not.
    None {
        /// Only to this machine.
        only_here: bool,
    },
}

/// Who we are.
pub struct Credentials {
    pub user: String,
    pub password: Secret,
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The server has taken the letter for it.
    Taken,
    /// It may later.
    Later(String),
    /// The server will not have it.
    Refused(String),
}

struct Reply {
    code: u16,
    lines: Vec<String>,
}

/// A session that may send.
pub struct Session<'a> {
    server: &'a Server,
    wire: Wire,
    /// Read, and not yet understood.
    ahead: Vec<u8>,
    /// What `EHLO` brought, in capitals.
    offers: Vec<String>,
    /// What may stand in no error text.
    secrets: Vec<String>,
}

impl<'a> Session<'a> {
    /// Connects, encrypts and signs in, until this moment.
    pub fn open(server: &'a Server, credentials: Option<&Credentials>, by: Instant) -> Result<Self, Fault> {
        let only_here = matches!(server.security, Security::None { only_here: true });
        let wire = Wire::connect(&server.host, server.port, only_here, by)
            .map_err(|why| Fault::Later(format!("mail server {}:{}: {why}", server.host, server.port)))?;
        let mut session = Session { server, wire, ahead: Vec::new(), offers: Vec::new(), secrets: Vec::new() };
        if let Security::Tls(config, name) = &server.security {
            session = session.secured(config, name)?;
        }
        let greeting = session.reply()?;
        session.expect(greeting, "its greeting", 220)?;
        session.hello()?;
        if let Security::StartTls(config, name) = &server.security {
            if !session.offers("STARTTLS") {
                let hint = "set `tls = \"tls\"` and its port if it is encrypted from the start";
                return Err(session.stop(&format!("it does not offer STARTTLS, so nothing is sent to it; {hint}")));
            }
            let reply = session.command("STARTTLS")?;
            session.expect(reply, "STARTTLS", 220)?;
            if !session.ahead.is_empty() {
                // Said in the clear, to be taken for said under encryption.
                return Err(session.later("it went on in the clear after STARTTLS"));
            }
            session = session.secured(config, name)?;
            session.hello()?;
        }
        if let Some(credentials) = credentials {
            session.sign_in(credentials)?;
        }
        Ok(session)
    }

    /// Hands a letter over; what became of each recipient, in their order.
    pub fn send(&mut self, from: &str, to: &[&str], letter: &str, by: Instant) -> Result<Vec<Fate>, Fault> {
        self.wire.until(by);
        let size = if self.offers("SIZE") { format!(" SIZE={}", letter.len()) } else { String::new() };
        let reply = self.command(&format!("MAIL FROM:<{from}>{size}"))?;
        match reply.code {
            // Too large: the letter's fault, not the configuration's.
            552 => return Err(Fault::Refused(self.said("MAIL FROM", &reply))),
            _ => self.expect(reply, "MAIL FROM", 250)?,
        }
        let mut fates = Vec::new();
        for address in to {
            let reply = self.command(&format!("RCPT TO:<{address}>"))?;
            fates.push(match reply.code {
                200..=299 => Fate::Taken,
                530 | 535 | 538 => return Err(Fault::Stop(self.said("RCPT TO", &reply))),
                500..=599 => Fate::Refused(self.said(&format!("recipient {address}"), &reply)),
                // The end of the session, whatever follows.
                421 => return Err(Fault::Later(self.said("RCPT TO", &reply))),
                _ => Fate::Later(self.said(&format!("recipient {address}"), &reply)),
            });
        }
        if !fates.contains(&Fate::Taken) {
            self.command("RSET")?;
            return Ok(fates);
        }
        let reply = self.command("DATA")?;
        if reply.code != 354 {
            return Err(self.of_letter("DATA", &reply));
        }
        self.write(&stuffed(letter))?;
        let reply = self.reply()?;
        if !(200..300).contains(&reply.code) {
            return Err(self.of_letter("the mail", &reply));
        }
        Ok(fates)
    }

    /// Says good-bye. That nobody answers any more changes nothing.
    pub fn quit(mut self) {
        let _ = self.write("QUIT\r\n");
    }

    fn secured(self, trusted: &Trusted, name: &ServerName<'static>) -> Result<Self, Fault> {
        let Session { server, wire, secrets, .. } = self;
        let wire = wire.secure(trusted, name).map_err(|error| {
            let why = trusted.explain(&error).unwrap_or_else(|| error.to_string());
            Fault::Later(format!("mail server {}:{}: TLS handshake failed: {why}", server.host, server.port))
        })?;
        // Nothing said before counts any more.
        Ok(Session { server, wire, ahead: Vec::new(), offers: Vec::new(), secrets })
    }

    fn hello(&mut self) -> Result<(), Fault> {
        let name = match (&self.server.hello, self.wire.local()) {
            (Some(name), _) => name.clone(),
            (None, Some(std::net::IpAddr::V6(ip))) => format!("[IPv6:{ip}]"),
            (None, Some(ip)) => format!("[{ip}]"),
            (None, None) => "localhost".into(),
        };
        let reply = self.command(&format!("EHLO {name}"))?;
        let offers = reply.lines.iter().skip(1).map(|line| line.trim().to_ascii_uppercase()).collect();
        self.expect(reply, "EHLO", 250)?;
        self.offers = offers;
        Ok(())
    }

    fn offers(&self, word: &str) -> bool {
        self.offers.iter().any(|offer| offer.split(' ').next() == Some(word))
    }

    fn sign_in(&mut self, credentials: &Credentials) -> Result<(), Fault> {
        let Credentials { user, password } = credentials;
        let coded = |text: &str| {
            let mut out = String::new();
            base64(&mut out, text.as_bytes());
            out
        };
        let plain = coded(&format!("\0{user}\0{}", password.reveal()));
        let [user, secret] = [user.as_str(), password.reveal()].map(coded);
        self.secrets = vec![plain.clone(), secret.clone(), password.reveal().to_owned()];
        let mechanisms = self.offers.iter().find_map(|offer| offer.strip_prefix("AUTH")).unwrap_or_default();
        let offers = |name: &str| mechanisms.split([' ', '=']).any(|mechanism| mechanism == name);
        let reply = if offers("PLAIN") {
            self.command(&format!("AUTH PLAIN {plain}"))?
        } else if offers("LOGIN") {
            let reply = self.command("AUTH LOGIN")?;
            self.expect(reply, "AUTH", 334)?;
            let reply = self.command(&user)?;
            self.expect(reply, "AUTH", 334)?;
            self.command(&secret)?
        } else {
            let offered = text::line(mechanisms, EXCERPT);
            let what =
                if offered.is_empty() { "takes no password here".into() } else { format!("offers only {offered}") };
            return Err(self.stop(&format!("it {what}; PLAIN and LOGIN can be used")));
        };
        self.expect(reply, "user name and password", 235)
    }

    /// Nothing but the configuration decides over what is expected here.
    fn expect(&self, reply: Reply, what: &str, code: u16) -> Result<(), Fault> {
        match reply.code {
            found if found == code => Ok(()),
            // A yes is a yes.
            200..=299 if code < 300 => Ok(()),
            500..=599 => Err(Fault::Stop(self.said(what, &reply))),
            _ => Err(Fault::Later(self.said(what, &reply))),
        }
    }

    fn of_letter(&self, what: &str, reply: &Reply) -> Fault {
        let why = self.said(what, reply);
        match reply.code {
            530 | 535 | 538 => Fault::Stop(why),
            500..=599 => Fault::Refused(why),
            _ => Fault::Later(why),
        }
    }

    fn said(&self, what: &str, reply: &Reply) -> String {
        let mut words = reply.lines.join(" ");
        for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
            words = words.replace(secret, "***");
        }
        let words = text::line(&words, EXCERPT);
        format!("mail server {}:{} answers {what} with {} {words}", self.server.host, self.server.port, reply.code)
    }

    fn later(&self, why: &str) -> Fault {
        Fault::Later(format!("mail server {}:{}: {why}", self.server.host, self.server.port))
    }

    fn stop(&self, why: &str) -> Fault {
        Fault::Stop(format!("mail server {}:{}: {why}", self.server.host, self.server.port))
    }

    fn broke(&self, error: &std::io::Error) -> Fault {
        // A server may look at our certificate when we think that it has done so.
        if let Some(why) = metlog_tls::explain(error, "") {
            return self.later(&format!("TLS: {why}"));
        }
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => self.later("no answer in time"),
            ErrorKind::UnexpectedEof => self.later("the connection ended amid the session"),
            _ => self.later(&format!("the connection broke: {error}")),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Fault> {
        let written = self.wire.write_all(text.as_bytes()).and_then(|()| self.wire.flush());
        written.map_err(|error| self.broke(&error))
    }

    fn command(&mut self, line: &str) -> Result<Reply, Fault> {
        // Nothing that gets here can hold one; a second command would go unseen.
        if line.chars().any(char::is_control) {
            return Err(self.stop("a command would hold a line break"));
        }
        self.write(&format!("{line}\r\n"))?;
        self.reply()
    }

    /// `250-first` … `250 last`
    fn reply(&mut self) -> Result<Reply, Fault> {
        let mut lines = Vec::new();
        let mut room = REPLY;
        loop {
            let line = self.line()?;
            let none = || self.later("it does not speak SMTP");
            room = room.checked_sub(line.len() + 1).ok_or_else(none)?;
            let (code, rest) = line.split_at_checked(3).ok_or_else(none)?;
            let code = code.bytes().all(|byte| byte.is_ascii_digit()).then(|| code.parse::<u16>().ok()).flatten();
            let code = code.filter(|code| (200..600).contains(code)).ok_or_else(none)?;
            let more = rest.starts_with('-');
            if !more && !rest.is_empty() && !rest.starts_with(' ') {
                return Err(none());
            }
            lines.push(rest.get(1..).unwrap_or_default().to_owned());
            if !more {
                return Ok(Reply { code, lines });
            }
        }
    }

    fn line(&mut self) -> Result<String, Fault> {
        loop {
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.ahead.len() > LINE {
                return Err(self.later("it does not speak SMTP: a line without an end"));
            }
            let mut buffer = [0; 1024];
            match self.wire.read(&mut buffer) {
                Ok(0) => return Err(self.broke(&ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.ahead.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broke(&error)),
            }
        }
    }
}

/// A letter for the way: each of CR, LF and both ends a line, each line ends in both, a dot in front of it is doubled, and
/// a dot alone is the end.
fn stuffed(letter: &str) -> String {
    let mut out = String::with_capacity(letter.len() + 16);
    let whole = letter.replace("\r\n", "\n").replace('\r', "\n");
    for line in whole.strip_suffix('\n').unwrap_or(&whole).split('\n') {
        if line.starts_with('.') {
            out.push('.');
        }
        out.push_str(line);
        out.push_str("\r\n");
    }
    out.push_str(".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_ends_a_letter_early(letter in "[.\r\na]{0,40}") {
            let sent = stuffed(&letter);
            let lines: Vec<&str> = sent.strip_suffix("\r\n").unwrap().split("\r\n").collect();
            prop_assert!(lines.iter().all(|line| !line.contains(['\r', '\n'])));
            prop_assert_eq!(lines.iter().position(|line| *line == "."), Some(lines.len() - 1));
            let taken: Vec<&str> = lines[..lines.len() - 1].iter().map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
            let plain = letter.replace("\r\n", "\n").replace('\r', "\n");
            let expected: Vec<&str> = plain.strip_suffix('\n').unwrap_or(&plain).split('\n').collect();
            prop_assert_eq!(taken, expected);
        }
    }
}
