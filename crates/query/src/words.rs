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
