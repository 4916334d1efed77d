//! What settings can look like, found out by asking serde: a deserializer that answers with nothing but notes what it is
//! asked for. So a schema for editors cannot disagree with what is read.
//!
//! Each question is one run over the whole type along a way to one value, since serde lets go of a visitor with its first
//! answer. What a type checks after it was read, a range or an address, remains unseen.

mod probe;

use probe::{Answer, Asked, Halt, Notes, Outcome, Probe, Step};
use serde::de::DeserializeOwned;
use std::cell::RefCell;

/// Types within types are followed so far; what refers to itself ends there.
const DEEPEST: usize = 8;

/// What no setting is called, and no text says.
const STRANGE: &str = "\u{1}";

/// What a value can be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// One of these; none: anything.
    pub forms: Vec<Form>,
    /// What the type says it wants, where that is more than its form.
    pub expected: Option<String>,
}

/// One thing a value can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `true` or `false`.
    Truth,
    /// A whole number, and its bounds as far as they are known.
    Whole {
        /// The smallest.
        least: Option<i64>,
        /// The largest.
        most: Option<i64>,
    },
    /// A number.
    Number,
    /// Text.
    Text,
    /// One of these words.
    Choice(Vec<String>),
    /// A list of such values.
    List(Box<Shape>),
    /// A table of such values, under any keys.
    Map(Box<Shape>),
    /// A table with these keys, other names of the same thing included.
    Table {
        /// Key and value.
        fields: Vec<(String, Shape)>,
        /// Whether any other key is an error.
        closed: bool,
    },
}

/// What a settings type can be read from.
pub fn describe<T: DeserializeOwned>() -> Shape {
    Explorer { run: |probe| T::deserialize(probe).map(drop), way: Vec::new() }.shape()
}

type Run = fn(Probe<'_>) -> Result<(), Halt>;

/// A type, and the way to the value in question.
struct Explorer {
    run: Run,
    way: Vec<Step>,
}

impl Explorer {
    fn ask(&self, answer: Option<&Answer>) -> Notes {
        let notes = RefCell::new(Notes::default());
        // How the run ends does not matter: nothing but questions can come of it.
        let _ = (self.run)(Probe { way: &self.way, answer, notes: &notes });
        notes.into_inner()
    }

    fn outcome(&self, answer: &Answer) -> Outcome {
        self.ask(Some(answer)).outcome.unwrap_or(Outcome::Alien)
    }

    fn takes(&self, answer: &Answer) -> bool {
        self.outcome(answer) != Outcome::Alien
    }

    fn below(&mut self, step: Step) -> Shape {
        self.way.push(step);
        let shape = self.shape();
        self.way.pop();
        shape
    }

    /// What is at the end of the way.
    fn shape(&mut self) -> Shape {
        if self.way.len() > DEEPEST {
            return Shape::default();
        }
        let Some((asked, expected)) = self.ask(None).asked else { return Shape::default() };
        let expected = beyond_the_usual(expected);
        let forms = match asked {
            Asked::Option => return self.below(Step::Some),
            Asked::Newtype => return self.below(Step::Inside),
            Asked::Nothing => Vec::new(),
            Asked::Truth => vec![Form::Truth],
            Asked::Whole { least, most } => vec![Form::Whole { least: self.least(least), most }],
            Asked::Number => vec![Form::Number],
            Asked::Text => {
                // A text that is looked at afterwards: what is said of a wrong one tells what a right one is.
                let said = self.ask(Some(&Answer::Text)).said.filter(|said| !said.contains(STRANGE));
                let said = said.map(|said| said.strip_prefix("expected ").unwrap_or(&said).to_owned());
                let mut forms = self.scalars();
                if !forms.contains(&Form::Text) {
                    forms.push(Form::Text);
                }
                return Shape { forms, expected: expected.or(said) };
            }
            Asked::List => vec![Form::List(Box::new(self.below(Step::Element)))],
            Asked::Map => vec![self.table(None)],
            Asked::Struct(names) => vec![self.table(Some(names))],
            Asked::Enum(names) => self.words(names),
            Asked::Anything => {
                let mut forms = self.scalars();
                let (list, map) = (self.takes(&Answer::List), self.takes(&Answer::Map));
                if list && map && forms.len() == 4 {
                    return Shape { forms: Vec::new(), expected };
                }
                if list {
                    forms.push(Form::List(Box::new(self.below(Step::Element))));
                }
                if map {
                    forms.push(self.table(None));
                }
                forms
            }
        };
        Shape { forms, expected }
    }

    fn scalars(&self) -> Vec<Form> {
        let forms = [
            self.takes(&Answer::Truth).then_some(Form::Truth),
            self.takes(&Answer::Whole(1)).then(|| Form::Whole { least: self.least(None), most: None }),
            self.takes(&Answer::Number).then_some(Form::Number),
            self.takes(&Answer::Text).then_some(Form::Text),
        ];
        forms.into_iter().flatten().collect()
    }

    /// The smallest whole number that is taken, if that is 0 or 1, or else what its type allows.
    fn least(&self, otherwise: Option<i64>) -> Option<i64> {
        match [-1, 0, 1].map(|number| self.outcome(&Answer::Whole(number)) == Outcome::Taken) {
            [_, _, false] | [true, _, _] => otherwise,
            [_, true, _] => Some(0),
            _ => Some(1),
        }
    }

    /// A table: which keys it has it says when it meets a strange one, or has said already.
    fn table(&mut self, names: Option<&[&'static str]>) -> Form {
        let known = self.ask(Some(&Answer::Stranger)).known;
        let closed = known.is_some();
        let Some(names) = known.as_deref().filter(|known| !known.is_empty()).or(names) else {
            return Form::Map(Box::new(self.below(Step::Key("key"))));
        };
        let fields = names.iter().map(|name| ((*name).to_owned(), self.below(Step::Key(name))));
        Form::Table { fields: fields.collect(), closed }
    }

    /// Words, and tables with one of those words as their key.
    fn words(&self, names: &[&'static str]) -> Vec<Form> {
        let plain = |name: &&&'static str| self.outcome(&Answer::Word(name)) == Outcome::Taken;
        let (plain, with_content): (Vec<&&str>, Vec<&&str>) = names.iter().partition(plain);
        let mut forms = Vec::new();
        if !plain.is_empty() {
            forms.push(Form::Choice(plain.into_iter().map(|name| (*name).to_owned()).collect()));
        }
        if !with_content.is_empty() {
            let fields = with_content.into_iter().map(|name| ((*name).to_owned(), Shape::default()));
            forms.push(Form::Table { fields: fields.collect(), closed: true });
        }
        forms
    }
}

/// Not what serde's own visitors say, which the form says already.
fn beyond_the_usual(expected: String) -> Option<String> {
    let usual = [
        "struct ",
        "enum ",
        "tuple ",
        "a nonzero ",
        "a string",
        "a boolean",
        "a sequence",
        "a map",
        "option",
        "a char",
        "path string",
    ];
    let numbers =
        ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize", "u128", "i128", "f32", "f64"];
    let known = usual.iter().any(|start| expected.starts_with(start)) || numbers.contains(&expected.as_str());
    (!known && !expected.is_empty() && expected != "text").then_some(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::{Severity, Value};
    use metlog_settings::{Secret, Size, Span};
    use serde::Deserialize;
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::num::NonZeroU16;

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[allow(dead_code)]
    enum Mode {
        #[serde(alias = "quick")]
        Fast,
        Slow,
        Every(u8),
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        level: Severity,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct All {
        truth: bool,
        byte: u8,
        positive: Option<NonZeroU16>,
        signed: i64,
        part: f32,
        #[serde(alias = "label")]
        name: String,
        key: Secret,
        at: SocketAddr,
        wait: Span,
        room: Size,
        mode: Mode,
        list: Vec<Inner>,
        map: BTreeMap<String, u16>,
        anything: Value,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Open {
        more: Option<Box<Open>>,
    }

    fn form(form: Form) -> Shape {
        Shape { forms: vec![form], expected: None }
    }

    #[test]
    fn each_type_is_what_it_can_be_read_from() {
        let Form::Table { fields, closed } = describe::<All>().forms.remove(0) else { panic!("a table") };
        assert!(closed);
        let fields: BTreeMap<String, Shape> = fields.into_iter().collect();
        let whole = |least, most| form(Form::Whole { least: Some(least), most: Some(most) });
        assert_eq!(fields["truth"], form(Form::Truth));
        assert_eq!(fields["byte"], whole(0, 255));
        assert_eq!(fields["positive"], whole(1, 65535));
        assert_eq!(fields["signed"], form(Form::Whole { least: None, most: None }));
        assert_eq!(fields["part"], form(Form::Number));
        assert_eq!(
            (&fields["name"], &fields["label"], &fields["key"]),
            (&form(Form::Text), &form(Form::Text), &form(Form::Text))
        );
        assert_eq!(fields["at"].expected.as_deref(), Some("socket address"));
        let from_zero = Form::Whole { least: Some(0), most: None };
        assert_eq!(fields["wait"].forms, [from_zero.clone(), Form::Number, Form::Text]);
        assert_eq!(fields["room"].forms, [from_zero.clone(), Form::Text]);
        assert!(fields["room"].expected.as_deref().is_some_and(|text| text.contains("10 MiB")));
        let words = ["fast", "quick", "slow"].map(str::to_owned).to_vec();
        let every = Form::Table { fields: vec![("every".to_owned(), Shape::default())], closed: true };
        assert_eq!(fields["mode"].forms, [Form::Choice(words), every]);
        let level = Shape {
            forms: vec![from_zero, Form::Text],
            expected: Some("a severity: 0 to 7, or a name such as `warning`".into()),
        };
        let inner = form(Form::Table { fields: vec![("level".to_owned(), level)], closed: true });
        assert_eq!(fields["list"], form(Form::List(Box::new(inner))));
        assert_eq!(fields["map"], form(Form::Map(Box::new(whole(0, 65535)))));
        assert!(fields["anything"].forms.is_empty());
        assert_eq!(fields.len(), 15);
    }

    #[test]
    fn what_refers_to_itself_comes_to_an_end() {
        let mut shape = describe::<Open>();
        let mut depth = 0;
        while let Some(Form::Table { mut fields, closed }) = shape.forms.pop() {
            assert!(!closed);
            shape = fields.remove(0).1;
            depth += 1;
        }
        assert!(depth > 1 && depth <= DEEPEST, "{depth}");
    }
}
