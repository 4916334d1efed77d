//! Secrets in what is no message: bytes that were refused, and JSON inside a text. Nothing can be relied on there, so
//! whatever could be one of the values goes, and sometimes more than that.

use super::Rules;
use super::secrets::Secrets;
use metlog_message::wire;
use std::borrow::Cow;

/// So often what was escaped is unescaped, and searched again.
const LAYERS: usize = 3;

/// A text of a message, without what must not be seen; `None` if there is nothing of that in it.
pub(super) fn text(rules: &Rules, text: &str) -> Option<String> {
    let json = !rules.names.is_empty() && text.trim_start().starts_with(['{', '[']);
    let named = if json { without_named(rules, text, |name| rules.is_named(name)) } else { None };
    let hidden = rules.secrets.hide(named.as_deref().unwrap_or(text));
    hidden.or(named)
}

/// Bytes that are no message, or not allowed to be one. `None` if there is nothing to hide in them.
pub(super) fn blot(rules: &Rules, text: &str) -> Option<String> {
    let mut blotted = layer(rules, text);
    // What is only found behind its escapes is kept without them: this is for people to read.
    let mut plain = Cow::Borrowed(blotted.as_deref().unwrap_or(text));
    let mut deeper = None;
    for _ in 0..LAYERS {
        if !plain.contains('\\') {
            break;
        }
        let open = unescaped(&plain);
        let found = layer(rules, &open);
        plain = Cow::Owned(found.clone().unwrap_or(open));
        deeper = found.map(|_| plain.clone().into_owned()).or(deeper);
    }
    if deeper.is_some() {
        blotted = deeper;
    }
    blotted
}

fn layer(rules: &Rules, text: &str) -> Option<String> {
    let mut left = without_named(rules, text, |name| rules.is_named(name) || rules.is_at_an_end(name));
    let secrets = &rules.secrets;
    // A pattern may say where a text ends; what the texts are nobody knows here.
    let passes: [fn(&Secrets, &str) -> Option<String>; 3] = [
        Secrets::hide,
        |secrets, text| piecewise(secrets, text, &['"']),
        |secrets, text| piecewise(secrets, text, &['"', ':', ',', '{', '}', '[', ']', ' ', '\t', '\r', '\n', '\\']),
    ];
    for pass in passes.iter().take(if secrets.anchored { passes.len() } else { 1 }) {
        left = pass(secrets, left.as_deref().unwrap_or(text)).or(left);
    }
    left
}

fn piecewise(secrets: &Secrets, text: &str, between: &[char]) -> Option<String> {
    let mut found = false;
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(between) {
        let inner = piece.strip_suffix(between).unwrap_or(piece);
        let hidden = secrets.hide(inner);
        found |= hidden.is_some();
        out.push_str(hidden.as_deref().unwrap_or(inner));
        out.push_str(piece.get(inner.len()..).unwrap_or_default());
    }
    found.then_some(out)
}

/// Without the values of these names: what stands in quotes with a colon behind it. Any quote may be the first one of a
/// name, since the text may begin or end anywhere.
fn without_named(rules: &Rules, text: &str, named: impl Fn(&str) -> bool) -> Option<String> {
    if rules.names.is_empty() && rules.paths.is_empty() {
        return None;
    }
    let quote = |from: usize| Some(from + text.get(from..)?.find('"')?);
    let (mut out, mut copied) = (Vec::new(), 0);
    let mut next = quote(0);
    while let Some(start) = next {
        let Some(end) = quote(start + 1) else { break };
        next = Some(end);
        let Some(value) = text.get(end + 1..).and_then(|rest| rest.trim_start().strip_prefix(':')) else { continue };
        let value = value.trim_start();
        let raw = text.get(start + 1..end).unwrap_or_default().trim_end_matches('\\');
        if value.is_empty() || !(named(raw) || raw.contains('\\') && named(&unescaped(raw))) {
            continue;
        }
        let from = text.len() - value.len();
        let length = length(value);
        let content = value.get(..length).unwrap_or_default();
        let plain = content.trim_matches(['\\', '"']);
        let mark = rules.secrets.mark.of(plain.as_bytes());
        if plain == mark {
            continue;
        }
        out.extend_from_slice(text.get(copied..from).unwrap_or_default().as_bytes());
        let slashes = content.get(..slashes(content)).unwrap_or_default();
        out.extend_from_slice(slashes.as_bytes());
        out.push(b'"');
        wire::write_str_inside(&mut out, &mark);
        out.extend_from_slice(slashes.as_bytes());
        out.push(b'"');
        copied = from + length;
        next = quote(copied);
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default().as_bytes());
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// How many backslashes it begins with, if a quote follows.
fn slashes(text: &str) -> usize {
    let rest = text.trim_start_matches('\\');
    if rest.starts_with('"') { text.len() - rest.len() } else { 0 }
}

/// How long the value is that this begins with; without an end it goes on to that of the text.
fn length(text: &str) -> usize {
    let level = slashes(text);
    if text.get(level..).is_some_and(|rest| rest.starts_with('"')) {
        return closing(text, level + 1, level).map_or(text.len(), |at| at + 1);
    }
    if !text.starts_with(['{', '[']) {
        return text.find([',', '}', ']', '"', '\n', '\r']).unwrap_or(text.len());
    }
    let first = text.find('"').unwrap_or(text.len());
    let before = text.get(..first).unwrap_or_default();
    let level = before.len() - before.trim_end_matches('\\').len();
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        let Some(skipped) = text.get(at..).and_then(|rest| rest.find(['"', '{', '[', '}', ']'])) else {
            return text.len();
        };
        at += skipped;
        match text.as_bytes().get(at) {
            Some(b'"') => match closing(text, at + 1, level) {
                Some(end) => at = end,
                None => return text.len(),
            },
            Some(b'{' | b'[') => depth += 1,
            _ => depth = depth.saturating_sub(1),
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
}

/// The quote that ends a text whose first one had so many backslashes before it.
fn closing(text: &str, from: usize, level: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = text.get(at..)?;
        let skipped = rest.find('"')?;
        let before = rest.get(..skipped)?;
        let count = skipped - before.trim_end_matches('\\').len();
        if if level == 0 { count % 2 == 0 } else { count <= level } {
            return Some(at + skipped);
        }
        at += skipped + 1;
    }
}

/// What escapes stand for; what is none stays.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let unit = |text: &str| u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok();
        let known = match after.chars().next() {
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('r') => Some('\r'),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some(plain @ ('"' | '\\' | '/')) => Some(plain),
            _ => None,
        };
        (rest, _) = match (known, unit(after)) {
            (Some(known), _) => (after.get(1..).unwrap_or_default(), out.push(known)),
            (None, Some(first)) => {
                let after = after.get(5..).unwrap_or_default();
                let second = after.strip_prefix('\\').and_then(unit);
                let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
                match pair.filter(|pair| pair.len_utf16() == 2) {
                    Some(pair) => (after.get(6..).unwrap_or_default(), out.push(pair)),
                    None => (after, out.push(char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER))),
                }
            }
            (None, None) => (after, out.push('\\')),
        };
    }
    out.push_str(rest);
    out
}
