//! Strictly right JSON, taken apart in one pass and without a copy: what was once found right can be passed on as it stands.

use super::{Limits, in_range, unescaped};
use crate::swar::{is_ascii, until_special};
use std::borrow::Cow;

/// It is not strictly right; the reader may still make something of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotStrict;

/// The members of a strictly valid object, in order: each name and each value as they stand, a name with its quotes. Of
/// several of the same name each is given.
///
/// # Errors
/// If it is not strictly valid JSON in UTF-8, is beyond the limits, or is no object. Some members may have been given.
pub fn members<'a>(text: &'a [u8], limits: &Limits, mut each: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), NotStrict> {
    if text.len() > limits.bytes {
        return Err(NotStrict);
    }
    let mut scanner = Scanner::over(text, limits);
    scanner.blanks();
    let whole = scanner.nested(1, 1, &mut |_, name, value| each(name, value)).and_then(|()| scanner.end());
    whole.ok_or(NotStrict)
}

/// The same for the object that a text begins with, and for those inside it down to a level, the outermost being the
/// first; what is inside a value is given before it. Says how long the object is.
///
/// # Errors
/// As [`members`], except for what follows the object.
pub fn nested<'a>(
    text: &'a [u8],
    limits: &Limits,
    deepest: usize,
    mut each: impl FnMut(usize, &'a [u8], &'a [u8]),
) -> Result<usize, NotStrict> {
    let mut scanner = Scanner::over(text, limits);
    scanner.nested(1, deepest, &mut each).and_then(|()| scanner.utf8()).ok_or(NotStrict)?;
    if scanner.at > limits.bytes { Err(NotStrict) } else { Ok(scanner.at) }
}

/// What a text says that stands in quotes, as [`members`] gives names and values; nothing if it is none.
pub fn text(quoted: &[u8]) -> Option<Cow<'_, str>> {
    let inner = inside(quoted)?;
    if inner.contains(&b'\\') {
        return unescaped(quoted).map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

#[inline(always)]
pub(crate) fn inside(quoted: &[u8]) -> Option<&[u8]> {
    quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Goes over JSON, and stops at whatever is not strictly right.
pub(crate) struct Scanner<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    /// Of all texts, for [`is_ascii`]. What is between them is.
    seen: u64,
    pub values: usize,
    pub depth: usize,
    /// In one object.
    pub names: usize,
    /// With its quotes.
    name: usize,
}

impl<'a> Scanner<'a> {
    pub fn over(bytes: &'a [u8], limits: &Limits) -> Self {
        Scanner {
            bytes,
            at: 0,
            seen: 0,
            values: limits.values,
            depth: limits.safe_depth(),
            names: limits.names,
            name: limits.name.saturating_add(2),
        }
    }

    /// Whether what was looked at so far is UTF-8.
    #[inline(always)]
    fn utf8(&self) -> Option<()> {
        (is_ascii(self.seen) || std::str::from_utf8(self.bytes.get(..self.at)?).is_ok()).then_some(())
    }

    /// Whether that was all, and UTF-8.
    #[inline(always)]
    pub fn end(&mut self) -> Option<()> {
        self.blanks();
        (self.at == self.bytes.len()).then_some(())?;
        self.utf8()
    }

    /// The members of the object that begins here, down to a level; those inside a value come before it.
    fn nested(&mut self, level: usize, deepest: usize, each: &mut impl FnMut(usize, &'a [u8], &'a [u8])) -> Option<()> {
        self.values = self.values.checked_sub(1)?;
        self.walk(|scanner, name| {
            let start = scanner.at;
            if level < deepest && scanner.peek()? == b'{' {
                scanner.nested(level + 1, deepest, each)?;
            } else {
                scanner.value()?;
            }
            each(level, name, scanner.bytes.get(start..scanner.at)?);
            Some(())
        })
    }

    /// An object, whose values somebody else takes.
    #[inline(always)]
    fn walk(&mut self, mut value: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        (self.peek()? == b'{').then_some(())?;
        self.open()?;
        if self.take(b'}').is_none() {
            let mut names = self.names;
            loop {
                let start = self.at;
                self.string()?;
                self.name(self.at - start, &mut names)?;
                let name = self.bytes.get(start..self.at)?;
                self.colon()?;
                value(self, name)?;
                if !self.more(b'}')? {
                    break;
                }
            }
        }
        self.depth += 1;
        Some(())
    }

    /// A value as it stands.
    #[inline(always)]
    pub fn raw(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.value()?;
        self.bytes.get(start..self.at)
    }

    /// A whole number of this size. Minus nought is a float.
    #[inline(always)]
    pub fn integer<T: TryFrom<u64> + std::str::FromStr>(&mut self) -> Option<T> {
        let start = self.at;
        self.value()?;
        let digits = self.bytes.get(start..self.at)?;
        if digits.len() < 19 && digits.iter().all(u8::is_ascii_digit) {
            let number = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            return T::try_from(number).ok();
        }
        std::str::from_utf8(digits).ok().filter(|digits| *digits != "-0")?.parse().ok()
    }

    #[inline(always)]
    pub fn text_value(&mut self) -> Option<Cow<'a, str>> {
        self.values = self.values.checked_sub(1)?;
        self.text()
    }

    /// A text without its quotes, unescaped where it has to be.
    #[inline(always)]
    fn text(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        let escaped = self.string()?;
        let quoted = self.bytes.get(start..self.at)?;
        if escaped {
            return unescaped(quoted).map(Cow::Owned);
        }
        std::str::from_utf8(inside(quoted)?).ok().map(Cow::Borrowed)
    }

    #[inline(always)]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    pub fn blanks(&mut self) {
        // One comparison where nothing is blank, as our clients write it.
        while let Some(byte) = self.peek().filter(|byte| *byte <= b' ')
            && matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
        {
            self.at += 1;
        }
    }

    #[inline(always)]
    pub fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline(always)]
    pub fn colon(&mut self) -> Option<()> {
        self.blanks();
        self.take(b':')?;
        self.blanks();
        Some(())
    }

    /// After a value: whether another one follows.
    #[inline(always)]
    pub fn more(&mut self, close: u8) -> Option<bool> {
        self.blanks();
        let byte = self.peek()?;
        self.at += 1;
        if byte == b',' {
            self.blanks();
            return Some(true);
        }
        (byte == close).then_some(false)
    }

    #[inline(always)]
    pub fn value(&mut self) -> Option<()> {
        self.values = self.values.checked_sub(1)?;
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.object(),
            b'[' => self.list(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => None,
        }
    }

    /// Whether a name may be so long, and be there at all.
    #[inline(always)]
    pub fn name(&self, length: usize, left: &mut usize) -> Option<()> {
        *left = left.checked_sub(1)?;
        (length <= self.name).then_some(())
    }

    fn object(&mut self) -> Option<()> {
        self.walk(|scanner, _| scanner.value())
    }

    fn list(&mut self) -> Option<()> {
        self.open()?;
        if self.take(b']').is_none() {
            loop {
                self.value()?;
                if !self.more(b']')? {
                    break;
                }
            }
        }
        self.depth += 1;
        Some(())
    }

    #[inline(always)]
    pub fn open(&mut self) -> Option<()> {
        self.depth = self.depth.checked_sub(1)?;
        self.at += 1;
        self.blanks();
        Some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// Whether the text holds escapes.
    #[inline]
    pub fn string(&mut self) -> Option<bool> {
        self.take(b'"')?;
        let (length, seen) = until_special(self.bytes.get(self.at..)?);
        let at = self.at + length;
        self.seen |= seen;
        self.at = at + 1;
        if *self.bytes.get(at)? == b'"' { Some(false) } else { self.escapes(at) }
    }

    /// The rest of a text, from its first escape on.
    #[cold]
    #[inline(never)]
    fn escapes(&mut self, at: usize) -> Option<bool> {
        self.at = at;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(true);
                }
                b'\\' => self.escape()?,
                _ => return None,
            }
            let (length, seen) = until_special(self.bytes.get(self.at..)?);
            self.seen |= seen;
            self.at += length;
        }
    }

    fn escape(&mut self) -> Option<()> {
        let letter = *self.bytes.get(self.at + 1)?;
        self.at += 2;
        match letter {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.hex()? {
                // The first half of a pair needs the second, and the second cannot come first.
                0xd800..=0xdbff => {
                    self.take(b'\\')?;
                    self.take(b'u')?;
                    matches!(self.hex()?, 0xdc00..=0xdfff).then_some(())
                }
                0xdc00..=0xdfff => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + (*digit as char).to_digit(16)?))
    }

    #[inline]
    fn number(&mut self) -> Option<()> {
        let start = self.at;
        let _minus = self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        let fraction = self.take(b'.').is_some();
        if fraction {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        } else if !fraction || self.at - start < 300 {
            // Without an exponent it takes so many digits to leave the range.
            return Some(());
        }
        std::str::from_utf8(self.bytes.get(start..self.at)?).is_ok_and(in_range).then_some(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}
