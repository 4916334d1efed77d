//! ZMTP from its receiving end: what one peer says, read without opening anything.
//!
//! ```text
//!   Signature ─► Revision ─┬─► Greeting ─► Ready ─┐       3.x, libzmq 4
//!       │                  └─► Kind ─► Identity ──┼─► Traffic
//!       └──────────────────────────► Identity ────┘       2.0, libzmq 3; and 1.0, libzmq 2
//! ```
//!
//! Metlog's clients of old are bound to libzmq 2, so all versions are spoken; of the security mechanisms only NULL. No
//! memory is set aside for what a peer announces, only for what it has sent.

/// A handshake command and a command between messages hold a few names and numbers.
const COMMAND: usize = 8 * 1024;
/// An identity has at most 255 bytes.
const IDENTITY: usize = 255;
/// A request's way back: more frames, or larger ones, no honest peer needs.
const ENVELOPE: usize = 1024;
/// Of a frame that is too large, so much is kept to be shown.
const EVIDENCE: usize = 1024;

/// The first ten bytes, in which a peer of version 1.0 sees an empty identity.
const SIGNATURE: [u8; 10] = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f];
const REVISION: u8 = 3;
/// The whole greeting of 3.x.
const GREETING: usize = 64;

const MORE: u8 = 1;
const LONG: u8 = 2;
const IS_COMMAND: u8 = 4;

/// What we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Takes what is published under these prefixes.
    Sub(Vec<Vec<u8>>),
    /// Takes what is pushed.
    Pull,
    /// Answers every request with nothing.
    Rep,
}

impl Role {
    pub fn name(&self) -> &'static str {
        match self {
            Role::Sub(_) => "SUB",
            Role::Pull => "PULL",
            Role::Rep => "REP",
        }
    }

    /// The number of 2.0.
    fn number(&self) -> u8 {
        match self {
            Role::Sub(_) => 2,
            Role::Pull => 7,
            Role::Rep => 4,
        }
    }

    /// Who may talk to us: by name, and by the number of 2.0.
    fn partners(&self) -> [(&'static str, u8); 2] {
        match self {
            Role::Sub(_) => [("PUB", 1), ("XPUB", 9)],
            Role::Pull => [("PUSH", 8), ("PUSH", 8)],
            Role::Rep => [("REQ", 3), ("DEALER", 5)],
        }
    }
}

/// Why a peer cannot be listened to any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// It announced a frame of so many bytes.
    TooLarge(u64),
    /// It does not speak as it should; how, for people.
    Garbled(String),
}

/// The frames on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// A length that includes the flags, then the flags.
    V1,
    /// Flags, then the length.
    V2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Signature,
    Revision,
    Kind,
    Identity,
    Greeting,
    Ready,
    Traffic,
}

/// What one peer has said so far.
#[derive(Debug)]
pub struct Session {
    role: Role,
    limit: usize,
    stage: Stage,
    framing: Framing,
    /// Whether the peer understands commands.
    commands: bool,
    /// The beginning of what has not come whole.
    held: Vec<u8>,
    /// How much has come whole.
    units: u64,
    /// Of a request: the frames of its way back, ready to be sent.
    envelope: Vec<u8>,
    /// The way back is complete, what follows is the request.
    enveloped: bool,
    /// A message's earlier frames have come.
    amid_message: bool,
    /// The message whose frames are coming begins with a prefix that was asked for.
    wanted: bool,
}

/// A frame's header.
struct Header {
    flags: u8,
    start: usize,
    end: usize,
}

impl Session {
    /// With a peer that has said nothing yet. No frame may have more than `limit` bytes.
    pub fn new(role: Role, limit: usize) -> Self {
        Session {
            role,
            limit,
            stage: Stage::Signature,
            framing: Framing::V2,
            commands: false,
            held: Vec::new(),
            units: 0,
            envelope: Vec::new(),
            enveloped: false,
            amid_message: false,
            wanted: true,
        }
    }

    /// What we say before the peer has said anything.
    pub fn opening() -> &'static [u8] {
        &SIGNATURE
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        self.stage == Stage::Traffic
    }

    /// What came of a frame that has not come whole or is too large, its header included.
    pub fn unfinished(&self) -> &[u8] {
        if self.is_open() { &self.held } else { &[] }
    }

    /// How many bytes the frame will have that has not come whole, as far as its header says.
    pub fn expected(&self) -> usize {
        if self.held.is_empty() { 0 } else { self.need(&self.held).unwrap_or(0) }
    }

    /// Grows with each frame that has come whole.
    pub fn progress(&self) -> u64 {
        self.units
    }

    /// Whether the peer stopped amid a message.
    pub fn is_amid_message(&self) -> bool {
        self.is_open() && (self.amid_message || !self.held.is_empty())
    }

    /// Takes what the peer sent. Messages go to `message`, what is to be sent back is appended to `out`.
    ///
    /// # Errors
    /// After which there is nothing to be done but to close.
    pub fn feed(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        message: &mut impl FnMut(&[u8]),
    ) -> Result<(), Violation> {
        while !input.is_empty() {
            if self.held.is_empty() {
                let need = self.need(input).inspect_err(|_| self.held.extend(input.iter().take(EVIDENCE)))?;
                let Some((unit, rest)) = input.split_at_checked(need) else {
                    self.held.extend_from_slice(input);
                    return Ok(());
                };
                self.take(unit, out, message)?;
                input = rest;
                continue;
            }
            let missing = self.need(&self.held)?.saturating_sub(self.held.len());
            let (part, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
            self.held.extend_from_slice(part);
            input = rest;
            if self.need(&self.held)? <= self.held.len() {
                let unit = std::mem::take(&mut self.held);
                self.take(&unit, out, message)?;
            }
        }
        Ok(())
    }

    /// How many bytes there must be before something can be made of them: more than there are, or exactly the next unit.
    fn need(&self, input: &[u8]) -> Result<usize, Violation> {
        let limit = match self.stage {
            Stage::Signature => return Ok(if input.first() == Some(&0xff) { SIGNATURE.len() } else { 0 }),
            Stage::Revision | Stage::Kind => return Ok(1),
            Stage::Greeting => return Ok(GREETING - SIGNATURE.len() - 1),
            Stage::Identity => IDENTITY,
            Stage::Ready => COMMAND,
            Stage::Traffic => self.limit,
        };
        let (flags, length, start) = match self.framing {
            Framing::V2 => {
                let flags = *input.first().unwrap_or(&0);
                let long = flags & LONG != 0;
                let Some(length) = length(input.get(1..).unwrap_or_default(), long) else {
                    return Ok(if long { 9 } else { 2 });
                };
                (flags, length, if long { 9 } else { 2 })
            }
            Framing::V1 => {
                let long = input.first() == Some(&0xff);
                let Some(length) = length(input.get(usize::from(long)..).unwrap_or_default(), long) else {
                    return Ok(if long { 9 } else { 1 });
                };
                // The flags count.
                let body = length.checked_sub(1).ok_or_else(|| garbled("a frame without flags"))?;
                (0, body, if long { 10 } else { 2 })
            }
        };
        let limit = if flags & IS_COMMAND != 0 { COMMAND } else { limit };
        match usize::try_from(length) {
            Ok(length) if length <= limit => Ok(start + length),
            _ => Err(Violation::TooLarge(length)),
        }
    }

    fn take(&mut self, unit: &[u8], out: &mut Vec<u8>, message: &mut impl FnMut(&[u8])) -> Result<(), Violation> {
        self.units += 1;
        match self.stage {
            Stage::Signature => self.signature(unit, out, message),
            Stage::Revision => self.revision(unit, out),
            Stage::Kind => self.kind(unit),
            Stage::Identity => {
                self.stage = Stage::Traffic;
                self.subscribe(out);
                Ok(())
            }
            Stage::Greeting => self.greeting(unit, out),
            Stage::Ready => self.ready(unit, out),
            Stage::Traffic => self.frame(unit, out, message),
        }
    }

    fn signature(&mut self, unit: &[u8], out: &mut Vec<u8>, message: &mut impl FnMut(&[u8])) -> Result<(), Violation> {
        if unit.last().is_some_and(|last| last & 1 == 1) {
            self.stage = Stage::Revision;
            out.push(REVISION);
            return Ok(());
        }
        // No signature: 1.0, whose first frame is an identity. These bytes, if any, are its beginning.
        self.stage = Stage::Identity;
        self.framing = Framing::V1;
        self.feed(unit, out, message)
    }

    fn revision(&mut self, unit: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        match unit.first() {
            Some(1 | 2) => {
                self.stage = Stage::Kind;
                // Our kind, and an empty identity.
                out.extend_from_slice(&[self.role.number(), 0, 0]);
            }
            Some(3..) => {
                self.stage = Stage::Greeting;
                self.commands = true;
                let mut rest = [0; GREETING - SIGNATURE.len() - 1];
                // After the minor version, which is 0, the mechanism; we are not its server, the rest is blank.
                rest.iter_mut().skip(1).zip(b"NULL").for_each(|(place, byte)| *place = *byte);
                out.extend_from_slice(&rest);
            }
            _ => return Err(garbled("an unknown version of ZMTP")),
        }
        Ok(())
    }

    fn kind(&mut self, unit: &[u8]) -> Result<(), Violation> {
        if self.role.partners().iter().any(|(_, number)| unit == [*number]) {
            self.stage = Stage::Identity;
            return Ok(());
        }
        Err(self.stranger(&format!("{unit:?}")))
    }

    fn greeting(&mut self, unit: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let mechanism = unit.get(1..21).unwrap_or_default();
        let name = String::from_utf8_lossy(mechanism);
        let name = name.trim_end_matches('\0');
        if name != "NULL" {
            return Err(Violation::Garbled(format!("the security mechanism {name:?}, only NULL is spoken here")));
        }
        self.stage = Stage::Ready;
        let role = self.role.name();
        let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
        ready.extend([role.len() as u8]);
        ready.extend_from_slice(role.as_bytes());
        frame(out, IS_COMMAND, &ready);
        Ok(())
    }

    fn ready(&mut self, unit: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let Header { flags, start, end } = header(unit, self.framing);
        let body = unit.get(start..end).unwrap_or_default();
        if flags & IS_COMMAND == 0 {
            return Err(garbled("a message before the handshake was over"));
        }
        let Some(properties) = body.strip_prefix(b"\x05READY") else {
            let why =
                body.strip_prefix(b"\x05ERROR").map(|why| String::from_utf8_lossy(why.get(1..).unwrap_or_default()));
            return Err(garbled(&format!(
                "instead of READY: {:?}",
                why.unwrap_or_else(|| String::from_utf8_lossy(body))
            )));
        };
        let kind = property(properties, b"socket-type").ok_or_else(|| garbled("READY without a socket type"))?;
        if !self.role.partners().iter().any(|(name, _)| name.as_bytes() == kind) {
            let stranger = self.stranger(&String::from_utf8_lossy(kind));
            let why = b"wrong socket type";
            frame(out, IS_COMMAND, &[&b"\x05ERROR"[..], &[why.len() as u8], why].concat());
            return Err(stranger);
        }
        self.stage = Stage::Traffic;
        self.subscribe(out);
        Ok(())
    }

    fn stranger(&self, kind: &str) -> Violation {
        let [(partner, _), _] = self.role.partners();
        Violation::Garbled(format!("a socket of the type {kind}, where a {} expects {partner}", self.role.name()))
    }

    /// Publishers of 1.0 send everything and understand no subscription: there the prefixes are matched here.
    fn subscribe(&self, out: &mut Vec<u8>) {
        if let (Role::Sub(prefixes), Framing::V2) = (&self.role, self.framing) {
            for prefix in prefixes {
                frame(out, 0, &[&[1], prefix.as_slice()].concat());
            }
        }
    }

    fn frame(&mut self, unit: &[u8], out: &mut Vec<u8>, message: &mut impl FnMut(&[u8])) -> Result<(), Violation> {
        let Header { flags, start, end } = header(unit, self.framing);
        let body = unit.get(start..end).unwrap_or_default();
        if self.framing == Framing::V2 {
            if flags & !(MORE | LONG | IS_COMMAND) != 0 {
                return Err(garbled("flags that mean nothing"));
            }
            if flags & IS_COMMAND != 0 {
                return self.command(body, out);
            }
        }
        let is_last = flags & MORE == 0;
        match &self.role {
            Role::Rep => self.request(body, is_last, out)?,
            role => {
                if let (Role::Sub(prefixes), Framing::V1, false) = (role, self.framing, self.amid_message) {
                    self.wanted = prefixes.iter().any(|prefix| body.starts_with(prefix));
                }
                // Whatever comes before the last frame is a topic.
                if is_last && self.wanted {
                    message(body);
                }
            }
        }
        self.amid_message = !is_last;
        Ok(())
    }

    /// A peer asks whether we are there, says why it goes, or something that is none of our business.
    fn command(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        if !self.commands {
            return Err(garbled("a command, which its version does not know"));
        }
        if let Some(ping) = body.strip_prefix(b"\x04PING") {
            // Two bytes of time to live, then what is to be said back.
            let context = ping.get(2..).filter(|context| context.len() <= 16);
            let context = context.ok_or_else(|| garbled("a PING that is none"))?;
            frame(out, IS_COMMAND, &[&b"\x04PONG"[..], context].concat());
        } else if body.starts_with(b"\x05ERROR") {
            return Err(garbled("it gave up"));
        }
        Ok(())
    }

    /// A request is its way back, an empty frame, and a body that means nothing here.
    fn request(&mut self, body: &[u8], is_last: bool, out: &mut Vec<u8>) -> Result<(), Violation> {
        if !self.enveloped {
            if is_last {
                return Err(garbled("a request without an empty frame before it"));
            }
            if self.envelope.len() + body.len() > ENVELOPE {
                return Err(garbled("a request with an endless way back"));
            }
            match self.framing {
                Framing::V1 => frame_v1(&mut self.envelope, MORE, body),
                Framing::V2 => frame(&mut self.envelope, MORE, body),
            }
            self.enveloped = body.is_empty();
        }
        if is_last {
            out.append(&mut self.envelope);
            match self.framing {
                Framing::V1 => frame_v1(out, 0, &[]),
                Framing::V2 => frame(out, 0, &[]),
            }
            self.enveloped = false;
        }
        Ok(())
    }
}

fn garbled(why: &str) -> Violation {
    Violation::Garbled(why.to_owned())
}

/// A length of one byte or eight, if it is there.
fn length(input: &[u8], long: bool) -> Option<u64> {
    if long {
        return input.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    }
    input.first().map(|byte| u64::from(*byte))
}

/// Of a whole frame.
fn header(unit: &[u8], framing: Framing) -> Header {
    let first = unit.first().copied().unwrap_or(0);
    let (flags_at, start) = match framing {
        Framing::V1 if first == 0xff => (9, 10),
        Framing::V1 => (1, 2),
        Framing::V2 if first & LONG != 0 => (0, 9),
        Framing::V2 => (0, 2),
    };
    Header { flags: unit.get(flags_at).copied().unwrap_or(0), start, end: unit.len() }
}

/// Appends a frame.
fn frame(out: &mut Vec<u8>, flags: u8, body: &[u8]) {
    match u8::try_from(body.len()) {
        Ok(length) => out.extend_from_slice(&[flags, length]),
        Err(_) => {
            out.push(flags | LONG);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(body);
}

/// Appends a frame of 1.0.
fn frame_v1(out: &mut Vec<u8>, flags: u8, body: &[u8]) {
    let length = body.len() as u64 + 1;
    match u8::try_from(length) {
        Ok(length) if length < 0xff => out.push(length),
        _ => {
            out.push(0xff);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.push(flags);
    out.extend_from_slice(body);
}

/// A property of READY; names are the same in upper and lower case.
fn property<'a>(mut properties: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    while let Some((&length, rest)) = properties.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(length))?;
        let (length, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        properties = rest;
    }
    None
}

#[cfg(test)]
mod tests;
