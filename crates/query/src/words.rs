//! How text is cut into words: a store's index and the evaluation of a query must agree on it exactly, so both call this
//! and no database's own idea of a word is used.

use metlog_message::Value;

/// Longer words are cut here, in the index and in a question alike: nobody types more, and a megabyte without a blank
/// must not become a key.
pub const LONGEST: usize = 64;

/// Words of one message that are indexed. What is behind them is kept, and found by everything but its words.
pub const MOST: usize = 4096;

/// The words of a text in order: runs of letters and digits, in lower case.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|symbol: char| !symbol.is_alphanumeric()).filter(|word| !word.is_empty()).map(|word| {
        let mut lower = String::with_capacity(word.len());
        for symbol in word.chars().flat_map(char::to_lowercase) {
            if lower.len() + symbol.len_utf8() > LONGEST {
                break;
            }
            lower.push(symbol);
        }
        lower
    })
}

/// The first [`MOST`] words of a text joined by blanks, behind what is in `line`.
pub fn join(text: &str, line: &mut String) {
    if !text.is_ascii() {
        let mut gap = "";
        for word in words(text).take(MOST) {
            line.push_str(std::mem::replace(&mut gap, " "));
            line.push_str(&word);
        }
        return;
    }
    let start = line.len();
    let mut gap = "";
    let runs = text.split(|symbol: char| !symbol.is_ascii_alphanumeric()).filter(|run| !run.is_empty());
    for run in runs.take(MOST) {
        line.push_str(std::mem::replace(&mut gap, " "));
        line.push_str(run.get(..LONGEST).unwrap_or(run));
    }
    if let Some(added) = line.get_mut(start..) {
        added.make_ascii_lowercase();
    }
}

/// The words of a payload: of every text in it, names left out, in order.
pub fn of_payload(payload: &Value) -> Vec<String> {
    fn gather(value: &Value, found: &mut Vec<String>) {
        if found.len() >= MOST {
            return;
        }
        match value {
            Value::List(items) => items.iter().for_each(|item| gather(item, found)),
            Value::Map(fields) => fields.iter().for_each(|(_, value)| gather(value, found)),
            plain => found.extend(words(&plain.to_text()).take(MOST - found.len())),
        }
    }
    let mut found = Vec::new();
    gather(payload, &mut found);
    found
}

/// Words that have to come one after the other; the last one may be only how a word begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    words: Vec<String>,
    open: bool,
}

/// Words of one phrase: one bit each while a text is read.
pub const LONGEST_PHRASE: usize = 64;

impl Phrase {
    /// The words of a text. None if it has none, or too many.
    pub fn new(text: &str, open: bool) -> Option<Self> {
        let words: Vec<String> = words(text).take(LONGEST_PHRASE + 1).collect();
        (1..=LONGEST_PHRASE).contains(&words.len()).then_some(Phrase { words, open })
    }

    /// Its words, in lower case.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether its last word is only how a word begins.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether a payload says it. Only words that are indexed count, as [`of_payload`] gives them.
    pub fn is_in(&self, payload: &Value) -> bool {
        match payload {
            Value::Str(text) => self.is_in_text(text),
            nested => self.follows(of_payload(nested).iter().map(String::as_str)),
        }
    }

    /// The same of a payload that is text, without a list of its words.
    pub fn is_in_text(&self, text: &str) -> bool {
        let pieces = text.split(|symbol: char| !symbol.is_alphanumeric()).filter(|word| !word.is_empty());
        self.follows(pieces.take(MOST))
    }

    /// Goes through the words once: bit n of `seen` says that the first n + 1 words of the phrase end here.
    fn follows<'a>(&self, pieces: impl Iterator<Item = &'a str>) -> bool {
        let last = self.words.len() - 1;
        let mut seen = 0_u64;
        for piece in pieces {
            let may = seen << 1 | 1;
            seen = 0;
            for (at, word) in self.words.iter().enumerate() {
                if may >> at & 1 == 1 && is(piece, word, self.open && at == last) {
                    seen |= 1 << at;
                }
            }
            if seen >> last & 1 == 1 {
                return true;
            }
        }
        false
    }
}

/// Whether a run of letters and digits is this word, or begins so.
fn is(piece: &str, word: &str, open: bool) -> bool {
    // Other letters may become more or fewer bytes in lower case.
    if !piece.is_ascii() || piece.len() > LONGEST {
        return words(piece).next().is_some_and(|piece| if open { piece.starts_with(word) } else { piece == word });
    }
    let (piece, word) = (piece.as_bytes(), word.as_bytes());
    let begins = piece.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    begins && (open || piece.len() == word.len())
}
