//! The title of an event that was given none.

/// The server's own clients cut a title made from the body at this many characters.
const TITLE: usize = 120;

/// What ends a line in Python.
const LINE_ENDS: &[char] =
    &['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];

/// The body's first line, cut as the published client cuts it: the same body has one title, whoever sends it. Else the
/// message's type.
pub(crate) fn title_of(body: &str, kind: &str) -> String {
    match trim(body).split(LINE_ENDS).next() {
        Some(line) if !line.is_empty() => line.chars().take(TITLE).collect(),
        _ => kind.to_owned(),
    }
}

/// Without what Python takes for blanks at both ends: Unicode's, and four separators of ASCII.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}
