//! Once through a message, and around what has to go: everything else stays byte for byte.

use super::secrets::Mark;
use super::{Rules, blot};
use metlog_message::wire::{self, strict};
use std::borrow::Cow;
use std::ops::Range;

/// Values inside each other. What the head scan lets through is less deep.
const DEEPEST: usize = 130;

/// A message, and what was written of another one. Nothing is written as long as nothing is found.
pub(super) struct Walk<'r, 'a, 'o> {
    rules: &'r Rules,
    text: &'a [u8],
    at: usize,
    /// So much of the message has its counterpart in `out`.
    copied: usize,
    out: &'o mut Vec<u8>,
    /// What is left of the paths that lead through the objects we are in.
    ways: Vec<&'r str>,
    depth: usize,
}

/// What a key of the envelope may be turned into.
enum Key {
    /// Nothing else.
    Fixed,
    /// Another number.
    Number,
    /// Another text.
    Text,
    /// Anything.
    Open,
    /// Not ours: what is inside the fields could stand here, too.
    Foreign,
}

impl Key {
    fn of(name: &str) -> Key {
        match name {
            "type" | "timestamp" | "severity" | "metlog_client" | "metlog_seq" => Key::Fixed,
            "metlog_pid" => Key::Number,
            "logger" | "metlog_hostname" | "payload" => Key::Text,
            "fields" | "env_version" => Key::Open,
            _ => Key::Foreign,
        }
    }
}

impl<'r, 'a, 'o> Walk<'r, 'a, 'o> {
    pub(super) fn over(rules: &'r Rules, text: &'a [u8], out: &'o mut Vec<u8>) -> Self {
        Walk { rules, text, at: 0, copied: 0, out, ways: Vec::new(), depth: 0 }
    }

    /// Whether there is another message now; `None` if this was none.
    pub(super) fn message(mut self) -> Option<bool> {
        self.ways.extend(self.rules.paths.iter().map(String::as_str));
        let all = 0..self.ways.len();
        self.blanks();
        self.object(all, true)?;
        self.blanks();
        if self.at != self.text.len() {
            return None;
        }
        let changed = self.copied > 0;
        if changed {
            self.out.extend_from_slice(self.text.get(self.copied..)?);
        }
        Some(changed)
    }

    /// From here to there something else stands.
    fn put(&mut self, place: Range<usize>, with: impl FnOnce(&mut Vec<u8>)) -> Option<()> {
        self.out.extend_from_slice(self.text.get(self.copied..place.start)?);
        with(self.out);
        self.copied = place.end;
        Some(())
    }

    fn put_text(&mut self, place: Range<usize>, text: &str) -> Option<()> {
        self.put(place, |out| wire::write_str(out, text))
    }

    /// Members of an object through which these ways lead.
    fn object(&mut self, ways: Range<usize>, top: bool) -> Option<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        self.take(b'{')?;
        self.blanks();
        let mut kept = false;
        let mut last = self.at;
        while self.take(b'}').is_none() {
            let start = self.at;
            let stays = self.member(&ways, top)?;
            self.ways.truncate(ways.end);
            let end = self.at;
            self.blanks();
            let more = self.take(b',').is_some();
            if more {
                self.blanks();
            } else if self.peek()? != b'}' {
                return None;
            }
            match (stays, kept) {
                (true, _) => kept = true,
                (false, true) => self.put(last..end, |_| {})?,
                // The comma behind it goes with it, or else there is none.
                (false, false) => self.put(start..if more { self.at } else { end }, |_| {})?,
            }
            last = end;
        }
        self.depth -= 1;
        Some(())
    }

    /// Whether it stays, changed or not.
    fn member(&mut self, ways: &Range<usize>, top: bool) -> Option<bool> {
        let place = self.spanned(Self::string)?;
        let quoted = self.text.get(place.clone())?;
        let name = strict::text(quoted)?;
        self.blanks();
        self.take(b':')?;
        self.blanks();
        let key = if top { Key::of(&name) } else { Key::Foreign };
        let mark = self.ways.len();
        let mut hit = self.follow(ways.clone(), &name);
        let inner = mark..self.ways.len();
        match key {
            Key::Fixed => self.spanned(Self::skip).map(drop)?,
            Key::Number => {
                let value = self.spanned(Self::skip)?;
                let number = std::str::from_utf8(self.text.get(value.clone())?).ok()?;
                if self.rules.secrets.finds(number) {
                    self.put(value, |out| out.push(b'0'))?;
                }
            }
            Key::Text if hit => self.replace()?,
            Key::Text | Key::Open => self.value(inner)?,
            Key::Foreign => {
                hit |= self.rules.is_named(&name);
                if hit && matches!(self.rules.secrets.mark, Mark::Drop) {
                    self.skip()?;
                    return Some(false);
                }
                if let Some(other) = self.rules.secrets.hide(&name) {
                    self.put_text(place, &other)?;
                }
                if hit { self.replace()? } else { self.value(inner)? }
            }
        }
        Some(true)
    }

    /// Whether one of the ways ends at this name. What is left of the others is appended to them. A name may hold dots.
    fn follow(&mut self, ways: Range<usize>, name: &str) -> bool {
        let mut ends = false;
        for at in ways {
            let Some(rest) = self.ways.get(at).and_then(|way| way.strip_prefix(name)) else { continue };
            match rest.strip_prefix('.') {
                Some(rest) => self.ways.push(rest),
                None => ends |= rest.is_empty(),
            }
        }
        ends
    }

    /// A value that must not be seen at all.
    fn replace(&mut self) -> Option<()> {
        let place = self.spanned(Self::skip)?;
        let json = self.text.get(place.clone())?;
        let plain = if json.first() == Some(&b'"') {
            strict::text(json)?
        } else {
            Cow::Borrowed(std::str::from_utf8(json).ok()?)
        };
        let rules = self.rules;
        self.put_text(place, &rules.secrets.mark.of(plain.as_bytes()))
    }

    /// A value in which there may be something.
    fn value(&mut self, ways: Range<usize>) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(ways, false),
            b'[' => self.list(&ways),
            b'"' => {
                let place = self.spanned(Self::string)?;
                let text = strict::text(self.text.get(place.clone())?)?;
                match blot::text(self.rules, &text) {
                    Some(other) => self.put_text(place, &other),
                    None => Some(()),
                }
            }
            b'-' | b'0'..=b'9' => {
                let place = self.spanned(Self::skip)?;
                let number = std::str::from_utf8(self.text.get(place.clone())?).ok()?;
                match self.rules.secrets.hide_number(number) {
                    Some(other) => self.put_text(place, &other),
                    None => Some(()),
                }
            }
            _ => self.skip(),
        }
    }

    fn list(&mut self, ways: &Range<usize>) -> Option<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        self.take(b'[')?;
        self.blanks();
        while self.take(b']').is_none() {
            self.value(ways.clone())?;
            self.blanks();
            if self.take(b',').is_some() {
                self.blanks();
            } else if self.peek()? != b']' {
                return None;
            }
        }
        self.depth -= 1;
        Some(())
    }

    fn spanned(&mut self, pass: impl FnOnce(&mut Self) -> Option<()>) -> Option<Range<usize>> {
        let start = self.at;
        pass(self)?;
        Some(start..self.at)
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        self.at += self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
    }

    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            let skipped = self.rest().iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            self.at += skipped + 1;
            if self.text.get(self.at - 1) == Some(&b'"') {
                return Some(());
            }
            self.at += 1;
        }
    }

    /// Past a value. Without recursion.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b' ' | b'\n' | b'\r' | b'\t' | b',' | b':' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                    let rest = self.rest();
                    self.at += rest.iter().position(ends).unwrap_or(rest.len()).max(1);
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}
