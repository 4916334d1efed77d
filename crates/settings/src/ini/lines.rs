//! INI text to sections and options, line by line. A mistake is noted and costs nothing but its own line.

use crate::{Origin, Problem, Problems};
use std::collections::HashMap;
use std::sync::Arc;

/// A section and its options in the order of the file.
pub(super) struct Section {
    pub name: String,
    pub origin: Origin,
    pub options: Vec<Setting>,
    index: HashMap<String, usize>,
}

/// An option: its name in lower case and the lines of its value.
pub(super) struct Setting {
    pub name: String,
    pub origin: Origin,
    pub pieces: Vec<Piece>,
}

/// One line of a value.
pub(super) struct Piece {
    pub text: String,
    pub origin: Origin,
}

impl Section {
    fn new(name: &str, origin: Origin) -> Self {
        Section { name: name.to_owned(), origin, options: Vec::new(), index: HashMap::new() }
    }

    /// Those that count: of two with one name the last one, as in the original, since files live on it.
    pub fn settings(&self) -> impl Iterator<Item = &Setting> {
        let counts = |at: &usize, setting: &Setting| self.index.get(&setting.name) == Some(at);
        self.options.iter().enumerate().filter(move |(at, setting)| counts(at, setting)).map(|(_, setting)| setting)
    }

    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.index.get(name).and_then(|at| self.options.get(*at))
    }
}

/// What an indented line would continue.
#[derive(PartialEq)]
enum Open {
    Nothing,
    Setting,
    /// A line already reported: what hangs on it needs no report of its own.
    Mistake,
}

/// The sections, `[DEFAULT]` apart, and every mistake.
pub(super) fn split(file: &str, text: &str) -> (Vec<Section>, Section, Problems) {
    let file: Arc<str> = file.into();
    let indent = common_indent(text);
    let mut reader = Reader {
        defaults: Section::new("DEFAULT", Origin::new(&file, 1, 1)),
        sections: Vec::new(),
        index: HashMap::new(),
        current: None,
        open: Open::Nothing,
        problems: Problems::new(),
    };
    for (number, line) in (1..).zip(text.split('\n')) {
        let here = Line { file: &file, number, text: line, indent };
        reader.line(&here);
    }
    (reader.sections, reader.defaults, reader.problems)
}

/// Metlog took indented text blocks too, as in a program's source. All lines indented means none is.
fn common_indent(text: &str) -> usize {
    let lines = text.split('\n').filter(|line| !line.trim().is_empty());
    let indents = lines.map(|line| line.len() - line.trim_start_matches(space).len());
    indents.min().unwrap_or(0)
}

fn space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

struct Line<'a> {
    file: &'a Arc<str>,
    number: u32,
    text: &'a str,
    indent: usize,
}

impl Line<'_> {
    /// The place of a byte of this line.
    fn at(&self, byte: usize) -> Origin {
        let before = self.text.get(..byte).map_or(0, |before| before.chars().count());
        Origin::new(self.file, self.number, u32::try_from(before).map_or(u32::MAX, |before| before.saturating_add(1)))
    }

    /// The place of `part`, which was cut from this line.
    fn place(&self, part: &str) -> Origin {
        self.at((part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize))
    }
}

struct Reader {
    sections: Vec<Section>,
    index: HashMap<String, usize>,
    defaults: Section,
    /// Index into `sections`; `None` at the beginning and inside `[DEFAULT]`.
    current: Option<Target>,
    open: Open,
    problems: Problems,
}

#[derive(Clone, Copy)]
enum Target {
    Defaults,
    Section(usize),
}

impl Reader {
    fn line(&mut self, line: &Line<'_>) {
        let text = line.text.get(line.indent..).unwrap_or_default().trim_end_matches(space);
        let word = text.split(space).next().unwrap_or_default();
        if text.is_empty() || text.starts_with(['#', ';']) || word.eq_ignore_ascii_case("rem") {
            // Neither blank lines nor comments end a value.
        } else if text.starts_with(space) {
            self.continuation(line, text.trim_start_matches(space));
        } else if text.starts_with('[') {
            self.header(line, text);
        } else {
            self.option(line, text);
        }
    }

    fn mistake(&mut self, origin: &Origin, message: impl Into<String>) {
        self.problems.push(Problem::at(origin, message));
        self.open = Open::Mistake;
    }

    fn target(&mut self) -> Option<&mut Section> {
        match self.current? {
            Target::Defaults => Some(&mut self.defaults),
            Target::Section(at) => self.sections.get_mut(at),
        }
    }

    /// Taken whole: an indented `#` or `;` is one more element of the list, as it always was.
    fn continuation(&mut self, line: &Line<'_>, text: &str) {
        let piece = Piece { text: text.to_owned(), origin: line.place(text) };
        match self.open {
            Open::Setting => {
                if let Some(setting) = self.target().and_then(|section| section.options.last_mut()) {
                    setting.pieces.push(piece);
                }
            }
            Open::Nothing => self.mistake(&piece.origin, "an indented line continues a value, but none is above it"),
            Open::Mistake => {}
        }
    }

    fn header(&mut self, line: &Line<'_>, text: &str) {
        let Some((name, after)) = text.get(1..).and_then(|rest| rest.split_once(']')) else {
            self.current = None;
            return self.mistake(&line.place(text), "a section is written `[name]`; the `]` is missing");
        };
        let (name, after) = (name.trim(), after.trim_start_matches(space));
        if name.is_empty() {
            self.current = None;
            return self.mistake(&line.place(text), "a section needs a name: `[name]`");
        }
        self.open = Open::Nothing;
        self.current = Some(if name == "DEFAULT" {
            Target::Defaults
        } else {
            let origin = line.place(text);
            let sections = &mut self.sections;
            Target::Section(*self.index.entry(name.to_owned()).or_insert_with(|| {
                sections.push(Section::new(name, origin));
                sections.len() - 1
            }))
        });
        if !after.is_empty() && !after.starts_with(['#', ';']) {
            self.mistake(&line.place(after), format!("only a comment may follow `[{name}]`"));
        }
    }

    fn option(&mut self, line: &Line<'_>, text: &str) {
        let origin = line.place(text);
        let Some((name, value)) = text.split_once(['=', ':']) else {
            return self.mistake(&origin, "expected `name = value`, `[section]` or a comment");
        };
        let name = name.trim_end_matches(space).to_lowercase();
        if name.is_empty() {
            return self.mistake(&origin, "a value needs a name: `name = value`");
        }
        let Some(section) = self.target() else {
            // After a broken header this would be one report per option, all for the same mistake.
            return match self.open {
                Open::Mistake => {}
                _ => self.mistake(&origin, format!("`{name}` stands in no section; write `[name]` above it")),
            };
        };
        let value = without_comment(value).trim_end_matches(space);
        let value = value.trim_start_matches(space);
        let place = line.place(value);
        // As the original has it: two quotes are the way to write an empty value that is seen.
        let value = if value == "\"\"" { "" } else { value };
        section.index.insert(name.clone(), section.options.len());
        section.options.push(Setting { name, origin, pieces: vec![Piece { text: value.to_owned(), origin: place }] });
        self.open = Open::Setting;
    }
}

/// Up to a `;` with white space before it. `#` inside a value is part of it.
fn without_comment(value: &str) -> &str {
    let mut before = 'x';
    for (at, c) in value.char_indices() {
        if c == ';' && space(before) {
            return value.get(..at).unwrap_or(value);
        }
        before = c;
    }
    value
}
