//! INI as Metlog read it (Python 2's `SafeConfigParser`), with a place for every value and every mistake.
//!
//! `config`'s own INI reader glues indented lists onto the next key, takes backslashes for escapes, and lets a
//! malformed line swallow the header below it. So this one is ours. Against the original it differs in three
//! ways: `[DEFAULT]` supplies `%(name)s` and stands as a section of its own for whoever wants it, in place of leaking
//! into every other, a mistake costs its own line only, and text after `[section]` must be a comment.

mod interpolate;
mod lines;

use crate::expand::{Expander, has_references};
use crate::{Environment, Kind, Lookup, Node, Origin, Problem, Problems, Table, layers, source};
use interpolate::Interpolator;
use lines::{Piece, Section};

/// The INI format: for [`read()`], for [`crate::Layers`], and for `config::File`.
#[derive(Debug, Clone, Default)]
pub struct Ini {
    /// Whether `[a.b]` is a section inside `a`. Metlog's section names are flat, so not unless asked for.
    pub nested: bool,
    /// Where `${VAR}` is looked up when `config` does the reading.
    pub environment: Environment,
}

/// Reads INI text; `file` is what problems call it.
///
/// # Errors
/// All problems of the text at once.
pub fn read(file: &str, text: &str, nested: bool, lookup: Lookup<'_>) -> Result<Node, Problems> {
    source::check(file, text)?;
    let (sections, defaults, mut problems) = lines::split(file, text);
    let mut expander = Expander::new(lookup);
    let mut root = Table::default();
    let own = (!defaults.options.is_empty()).then_some(&defaults);
    for (section, is_default) in
        sections.iter().map(|section| (section, false)).chain(own.map(|section| (section, true)))
    {
        let Some(table) = problems.note(place(&mut root, section, nested)) else { continue };
        for option in section.settings() {
            let interpolator = Interpolator { section, defaults: &defaults };
            let node = value(&option.pieces, &interpolator, &mut expander);
            // As in the original, a default counts where it is used: alone it may refer to what only a section has.
            let node = if is_default { node.ok() } else { problems.note(node) };
            if let Some(node) = node {
                match table.key_origin(&option.name) {
                    Some(first) => problems.push(Problem::at(
                        &option.origin,
                        format!("`{}` cannot have a value, it is a section since {first}", option.name),
                    )),
                    None => table.insert(option.name.clone(), option.origin.clone(), node),
                }
            }
        }
    }
    problems.sort();
    problems.or(Node::new(Origin::new(&file.into(), 1, 1), Kind::Table(root)))
}

fn place<'a>(root: &'a mut Table, section: &Section, nested: bool) -> Result<&'a mut Table, Problem> {
    if !nested {
        return root.section(&section.name, &section.origin);
    }
    let mut table = root;
    for (depth, part) in section.name.split('.').enumerate() {
        if part.is_empty() || depth >= crate::MAX_DEPTH {
            return Err(Problem::at(&section.origin, format!("[{}] is no path of section names", section.name)));
        }
        table = table.section(part, &section.origin)?;
    }
    Ok(table)
}

/// One option's value. A newline anywhere in it makes it a list; so a list of one begins on the line below its name.
fn value(pieces: &[Piece], with: &Interpolator<'_>, expander: &mut Expander<'_>) -> Result<Node, Problem> {
    let mut texts: Vec<(String, &Origin)> = Vec::new();
    for piece in pieces {
        let text = with.resolve(&piece.text, expander).map_err(|message| Problem::at(&piece.origin, message))?;
        texts.extend(text.split('\n').map(|line| (line.trim().to_owned(), &piece.origin)));
    }
    let Some((_, origin)) = texts.first() else {
        return Err(Problem::anywhere("an option without a value"));
    };
    let origin = (*origin).clone();
    if let [(text, _)] = texts.as_slice() {
        return element(text, &origin, expander);
    }
    let mut list = Vec::new();
    for (text, origin) in &texts {
        let node = element(text, origin, expander)?;
        if node.kind != Kind::Text(String::new()) {
            list.push(node);
        }
    }
    Ok(Node::new(origin, Kind::List(list)))
}

/// A value or list element: looked up if it has a reference, converted if not, never both. (Where a number is asked
/// for, [`crate::read()`] still takes it from looked-up text.)
fn element(text: &str, origin: &Origin, expander: &mut Expander<'_>) -> Result<Node, Problem> {
    let mut node = Node::new(origin.clone(), convert(text));
    if has_references(text) {
        node.kind = Kind::Text(expander.expand(text).map_err(|message| Problem::at(origin, message))?);
        node.written = Some(text.into());
    } else if !matches!(node.kind, Kind::Text(_)) {
        node.written = Some(text.into());
    }
    Ok(node)
}

/// Metlog's conversion of one value: whole numbers in base ten, eight words for true and false, all else is text.
/// There is no float: `1.5` is text until a number is asked for.
pub fn convert(text: &str) -> Kind {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // Beyond 128 bits the digits stay text, which loses nothing.
        return text.parse().map_or_else(|_| Kind::Text(text.to_owned()), Kind::Int);
    }
    truth(text).map_or_else(|| Kind::Text(text.to_owned()), Kind::Bool)
}

/// The words for true and false, in any case.
pub(crate) fn truth(text: &str) -> Option<bool> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "t", "on", "yes"]) {
        Some(true)
    } else if is(["false", "f", "off", "no"]) {
        Some(false)
    } else {
        None
    }
}

impl config::Format for Ini {
    fn parse(&self, uri: Option<&String>, text: &str) -> Result<config::Map<String, config::Value>, layers::Failure> {
        let file = uri.map_or("<text>", String::as_str);
        let node = read(file, text, self.nested, &|name| self.environment.get(name))?;
        Ok(layers::to_config(&node))
    }
}

impl config::FileStoredFormat for Ini {
    fn file_extensions(&self) -> &'static [&'static str] {
        &["ini", "cfg", "conf"]
    }
}
