//! Where a value stands: in a tree, or in a message's bytes without reading the rest of them.

use metlog_message::{Value, wire};
use std::fmt;

/// Keys of the envelope that a query names without more ado. Any other name is a field's.
pub(crate) const ENVELOPE: [&str; 11] = [
    "type",
    "severity",
    "logger",
    "timestamp",
    "payload",
    "env_version",
    "metlog_pid",
    "metlog_hostname",
    "metlog_client",
    "metlog_seq",
    "via",
];

/// Where a value stands in a document, from its top: `fields.http.status`, `payload`, `type`. A message is a document.
///
/// A name that itself holds dots wins over the path, and of two equal names the last one counts. A path that meets a
/// list goes on in each object in it, and where it says a number, in the item of that place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    text: Box<str>,
    root: Root,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Root {
    Kind,
    Severity,
    Logger,
    Timestamp,
    Archived,
    Payload,
    Fields,
    Other,
    /// The document itself, of which a list is not looked into.
    Itself,
}

impl Path {
    /// Of its dotted form. None if a name in it is empty.
    pub fn new(text: &str) -> Option<Self> {
        if text.split('.').any(str::is_empty) {
            return None;
        }
        let root = match text {
            "type" => Root::Kind,
            "severity" => Root::Severity,
            "logger" => Root::Logger,
            "timestamp" => Root::Timestamp,
            "archived" => Root::Archived,
            _ => match text.split('.').next() {
                Some("payload") => Root::Payload,
                Some("fields") => Root::Fields,
                _ => Root::Other,
            },
        };
        Some(Path { text: text.into(), root })
    }

    /// The document itself.
    pub(crate) fn itself() -> Self {
        Path { text: "".into(), root: Root::Itself }
    }

    /// Its dotted form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn root(&self) -> Root {
        self.root
    }

    /// What is behind the first name, if that is `fields` or `payload`.
    pub(crate) fn rest(&self) -> &str {
        self.text.split_once('.').map_or("", |(_, rest)| rest)
    }

    /// Gives every value there is at this path of a document, and nothing where it is missing, until one is right.
    pub(crate) fn any(&self, document: &Value, right: &mut dyn FnMut(Option<&Value>) -> bool) -> bool {
        match self.root {
            Root::Itself => right(Some(document)),
            Root::Fields | Root::Payload => {
                let name = if self.root == Root::Fields { "fields" } else { "payload" };
                match document.as_map().and_then(|map| map.get(name)) {
                    Some(value) => descend(value, self.rest(), right),
                    None => right(None),
                }
            }
            _ => descend(document, &self.text, right),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As [`Path::any`], below a value.
pub(crate) fn descend(value: &Value, path: &str, right: &mut dyn FnMut(Option<&Value>) -> bool) -> bool {
    if path.is_empty() {
        return right(Some(value));
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match value {
        Value::Map(map) => match (map.get(path), map.get(first)) {
            (Some(whole), _) => right(Some(whole)),
            (None, Some(part)) if !rest.is_empty() => descend(part, rest, right),
            _ => right(None),
        },
        Value::List(items) => {
            let place = first.parse::<usize>().ok().and_then(|place| items.get(place));
            place.is_some_and(|item| descend(item, rest, right))
                || items.iter().any(|item| matches!(item, Value::Map(_)) && descend(item, path, right))
        }
        _ => right(None),
    }
}

/// What stands at a path in the JSON of a value.
pub(crate) enum Spot<'a, 'p> {
    Missing,
    /// This JSON.
    At(&'a [u8]),
    /// A list on the way, and what is left of the path.
    List(&'a [u8], &'p str),
}

/// Looks along a path. The bytes are known to be right; what is not as it should be is missing. Each level is passed
/// over once, to its end, since the last of equal names counts.
pub(crate) fn locate<'a, 'p>(mut json: &'a [u8], mut path: &'p str) -> Spot<'a, 'p> {
    loop {
        if path.is_empty() {
            return Spot::At(json);
        }
        if json.first() == Some(&b'[') {
            return Spot::List(json, path);
        }
        let Some(mut names) = Names::of(json) else { return Spot::Missing };
        let step = path.split_once('.');
        let (mut whole, mut part) = (None, None);
        while let Some((name, value)) = names.next() {
            if is(name, path) {
                whole = Some(value);
            } else if step.is_some_and(|(first, _)| is(name, first)) {
                part = Some(value);
            }
        }
        if let Some(whole) = whole {
            return Spot::At(whole);
        }
        let Some((part, (_, rest))) = part.zip(step) else { return Spot::Missing };
        (json, path) = (part, rest);
    }
}

/// Whether a name, in its quotes, is this one.
fn is(quoted: &[u8], name: &str) -> bool {
    let Some((b'"', text)) = quoted.split_first() else { return false };
    let Some((b'"', text)) = text.split_last() else { return false };
    // Escapes only lengthen.
    if text.len() <= name.len() || !text.contains(&b'\\') {
        return text == name.as_bytes();
    }
    wire::read_value_within(quoted, &wire::Limits::NONE).is_ok_and(|read| read.as_str() == Some(name))
}

/// Names and values of an object. Without recursion: depth costs nothing.
struct Names<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Names<'a> {
    fn of(json: &'a [u8]) -> Option<Self> {
        let mut names = Names { text: json, at: 0 };
        names.blanks();
        names.take(b'{').map(|()| names)
    }

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        self.blanks();
        if self.take(b',').is_some() {
            self.blanks();
        }
        let name = self.spanned(Self::string)?;
        self.blanks();
        self.take(b':')?;
        self.blanks();
        Some((name, self.spanned(Self::value)?))
    }

    fn spanned(&mut self, skip: impl FnOnce(&mut Self) -> Option<()>) -> Option<&'a [u8]> {
        let start = self.at;
        skip(self)?;
        self.text.get(start..self.at)
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (*self.rest().first()? == byte).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        self.at += self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
    }

    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            let rest = self.rest();
            let at = memchr::memchr2(b'"', b'\\', rest)?;
            if rest.get(at) == Some(&b'"') {
                self.at += at + 1;
                return Some(());
            }
            self.at += at + 2;
        }
    }

    fn value(&mut self) -> Option<()> {
        match self.rest().first()? {
            b'"' => self.string(),
            b'{' | b'[' => self.nested(),
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                let rest = self.rest();
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
                Some(())
            }
        }
    }

    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let at = self.rest().iter().position(|byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']'))?;
            self.at += at;
            match self.rest().first()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                _ => depth = depth.checked_sub(1)?,
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}
