//! Messages for people, and text that does nothing but stand there.

use crate::Message;
use crate::wire::write_value;

/// Writes a message as one line without its end: time, severity, logger, type, payload, fields. `before` and `after` stand
/// around the severity: a colour, or nothing.
pub fn line(out: &mut Vec<u8>, message: &Message, (before, after): (&str, &str)) {
    let (time, severity) = (message.timestamp, message.severity.name());
    out.extend_from_slice(format!("{time} {before}{severity:<13}{after} ").as_bytes());
    if !message.logger.is_empty() {
        visibly(out, &message.logger);
        out.extend_from_slice(b": ");
    }
    if message.kind != "oldstyle" {
        out.push(b'[');
        visibly(out, &message.kind);
        out.extend_from_slice(b"] ");
    }
    visibly(out, &message.payload.to_text());
    for (name, value) in message.fields.iter() {
        out.push(b' ');
        visibly(out, name);
        out.push(b'=');
        let bare = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "._-/:@".contains(c));
        match value.as_str().filter(bare) {
            Some(word) => visibly(out, word),
            None => {
                let mut json = Vec::new();
                write_value(&mut json, value);
                // JSON lets pass what a terminal obeys: the control characters from U+007F to U+009F.
                visibly(out, &String::from_utf8_lossy(&json));
            }
        }
    }
}

/// Writes text with its control characters spelled out, so that no content begins a line of its own, colours a screen or
/// moves the cursor of whoever looks at it.
pub fn visibly(out: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        let turns = matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            out.extend(character.escape_default().map(|escape| escape as u8));
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}
