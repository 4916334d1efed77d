//! `${VAR}` and `${VAR:-default}` in values.
//!
//! Metlog looked up only a reference at the very beginning, dropped what followed, and took `${A}${B}` for one name.
//! Here they work anywhere and several times. Expansion comes after parsing, so a variable with a newline or a
//! bracket in it is still one value; and what was looked up is never looked into again.

use crate::Lookup;

/// References inside a default inside a default …
const MAX_NESTING: usize = 8;

/// What all values of one file may grow to: a small file must not become a large one by mentioning `$PATH` often.
const MAX_EXPANDED: usize = 8 * crate::MAX_BYTES;

/// Replaces every reference in `text`; `$${` stands for a literal `${`.
///
/// # Errors
/// What is wrong: a variable that is not set, a reference that is none.
pub fn expand(text: &str, lookup: Lookup<'_>) -> Result<String, String> {
    Expander::new(lookup).expand(text)
}

/// Whether there is anything to replace.
pub(crate) fn has_references(text: &str) -> bool {
    text.contains("${")
}

/// Expansion with one allowance for a whole file.
pub(crate) struct Expander<'a> {
    lookup: Lookup<'a>,
    left: usize,
}

impl<'a> Expander<'a> {
    pub(crate) fn new(lookup: Lookup<'a>) -> Self {
        Expander { lookup, left: MAX_EXPANDED }
    }

    /// Takes from the allowance; INI's own interpolation draws on it as well.
    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.left = self.left.checked_sub(bytes).ok_or("the values of this file expand to too much text")?;
        Ok(())
    }

    pub(crate) fn expand(&mut self, text: &str) -> Result<String, String> {
        self.level(text, 0)
    }

    fn level(&mut self, text: &str, depth: usize) -> Result<String, String> {
        if depth > MAX_NESTING {
            return Err("defaults of `${…}` are nested too deeply".into());
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            self.spend(before.len() + 16)?;
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = after;
                continue;
            }
            out.push_str(before);
            let (inside, following) = close(after).ok_or("`${` is never closed; write `$${` for a literal `${`")?;
            let value = self.reference(inside, depth)?;
            self.spend(value.len())?;
            out.push_str(&value);
            rest = following;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// `NAME` or `NAME:-default`. As in a shell, an empty variable takes the default too.
    fn reference(&mut self, inside: &str, depth: usize) -> Result<String, String> {
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let named = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.is_empty();
        if !named {
            return Err(format!(
                "`${{{name}}}` names no variable; write `${{NAME}}` or `${{NAME:-default}}`, or `$${{` for a literal `${{`"
            ));
        }
        match ((self.lookup)(name), default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => self.level(default, depth + 1),
            (None, None) => Err(format!(
                "environment variable `{name}` is not set; set it, or give a default: `${{{name}:-default}}`"
            )),
        }
    }
}

/// Splits at the brace that closes the reference; braces inside a default must pair up.
fn close(text: &str) -> Option<(&str, &str)> {
    let mut open = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Some((text.get(..at)?, text.get(at + 1..)?)),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}
