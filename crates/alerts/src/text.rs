//! Foreign text, made harmless.
//!
//! What a message says ends up in a header, a mail reader or a chat window. Nothing of it may end a line that is not
//! its own, move a cursor, or turn the direction of what stands beside it.

/// What is left away behind a cut is said by this.
const CUT: char = '…';

/// Whether a character does something else than stand there.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// One line of at most so many characters: whatever acts becomes a blank, and blanks in a row one.
pub fn line(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    let mut blank = false;
    for c in text.chars() {
        if acts(c) || c.is_whitespace() {
            blank = count > 0;
            continue;
        }
        if count + usize::from(blank) + 1 > most {
            // The mark takes the place of the last character.
            if count >= most {
                out.pop();
            }
            out.push(CUT);
            return out;
        }
        if std::mem::take(&mut blank) {
            out.push(' ');
            count += 1;
        }
        out.push(c);
        count += 1;
    }
    out
}

/// Lines of at most so many characters together: line ends become `\n`, tabs stay, and whatever else acts is shown by
/// its number.
pub fn page(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let mut count = 0;
    while let Some(c) = chars.next() {
        if count == most {
            out.push(CUT);
            return out;
        }
        count += 1;
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\t' => out.push('\t'),
            c if acts(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// The first so many bytes or less, at a character's end, and whether something is missing.
pub fn start(text: &str, bytes: usize) -> (&str, bool) {
    let cut = text.floor_char_boundary(bytes);
    (text.get(..cut).unwrap_or_default(), cut < text.len())
}

/// The first line that says something.
pub fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default()
}

/// A length of time for people: `90s`, `5m`, `1h 30m`.
pub fn span(time: std::time::Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 1 {
        return format!("{}ms", time.as_millis());
    }
    if seconds < 120 && !seconds.is_multiple_of(60) {
        return format!("{seconds}s");
    }
    let mut parts = Vec::new();
    let mut rest = seconds;
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    // Nobody needs the seconds of a day.
    parts.truncate(2);
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_is_one_and_not_longer() {
        for (text, most, expected) in [
            ("plain", 10, "plain"),
            ("  a\r\nBcc: x@y\t\tb  ", 50, "a Bcc: x@y b"),
            ("\u{1b}[31mred\u{202e}x\u{2028}y\0", 50, "[31mred x y"),
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abcde…"),
            ("abcde f", 6, "abcde…"),
            ("日本語日本語", 4, "日本語…"),
            ("", 4, ""),
        ] {
            assert_eq!(line(text, most), expected, "{text:?}");
        }
    }

    #[test]
    fn a_page_keeps_its_lines_and_shows_what_acts() {
        assert_eq!(page("a\r\nb\rc\n\td\u{2028}e", 50), "a\nb\nc\n\td\ne");
        assert_eq!(page("\u{1b}[2J\u{202e}", 50), "\\u{1b}[2J\\u{202e}");
        assert_eq!(page("abcdef", 3), "abc…");
    }

    #[test]
    fn times_are_short() {
        let said: Vec<String> = [0, 45, 60, 90, 300, 5400, 90_061].map(|s| span(Duration::from_secs(s))).into();
        assert_eq!(said, ["0ms", "45s", "1m", "90s", "5m", "1h 30m", "1d 1h"]);
    }
}
