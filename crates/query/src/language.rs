//! The query box.
//!
//! ```text
//! disk full            both words in the payload          "disk full"     one after the other     disk*   begins so
//! type:timer  logger:web*  severity<=4  severity:error    fields.user_id=42, or user_id=42 for short
//! since:1h  until:2026-11-20T10:00Z  has:user_id  id:…  trace:…  archived:yes|no|any  position:…
//! field>3  field:"x y"  field!=a  field~/reg.?ex/i  field:{"$size": 2}, any operators of a selector
//! a OR b   NOT a   -a   a AND b, or a b for short        (a OR b) c      * is everything
//! ```
//!
//! What names no key of the envelope is a field; `.name` is a key of the envelope that is none of ours. Archived messages
//! are left out unless a query speaks of them.

use crate::expr::{DEEPEST, Expr, MOST_TERMS, Op, PATTERN_COST, TOO_MANY_PATTERNS, Test};
use crate::literal::{Glob, Literal, Number, Pattern};
use crate::path::{ENVELOPE, Path};
use crate::selector;
use crate::words::{LONGEST_PHRASE, Phrase, words};
use metlog_message::{Severity, Timestamp, wire};
use metlog_settings::suggest;
use std::fmt;

mod moments;
mod print;

/// The most bytes a query may be.
pub const LONGEST: usize = 4096;

/// What is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// At which character, the first being 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.what)
    }
}

impl std::error::Error for Mistake {}

/// Reads a query; `since:1h` is an hour before `now`.
///
/// # Errors
/// If it is none, or beyond [`LONGEST`], [`DEEPEST`] or [`MOST_TERMS`].
pub fn parse(query: &str, now: Timestamp) -> Result<Expr, Mistake> {
    if query.len() > LONGEST {
        let what = format!("a query of {} bytes, at most {LONGEST} are allowed", query.len());
        return Err(Mistake { column: 1, what });
    }
    let text = query.chars().collect();
    let mut reader = Reader { text, at: 0, now, terms: MOST_TERMS, speaks_of_archived: false };
    reader.blanks();
    let expr = if reader.peek().is_none() { Expr::EVERYTHING } else { reader.either(DEEPEST)? };
    if reader.peek().is_some() {
        return reader.wrong(reader.at, "`)` without `(` before it; a parenthesis that is meant stands in quotes");
    }
    Ok(if reader.speaks_of_archived { expr } else { Expr::all_of([expr, Expr::Archived(false)]) })
}

struct Reader {
    text: Vec<char>,
    at: usize,
    now: Timestamp,
    terms: usize,
    speaks_of_archived: bool,
}

/// What stands behind an operator.
enum Given {
    Quoted(String),
    /// Cut where a star stood that was not escaped.
    Bare(Vec<String>),
}

impl Given {
    fn text(self) -> String {
        match self {
            Given::Quoted(text) => text,
            Given::Bare(pieces) => pieces.join("*"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// `:`, in which a star stands for anything.
    Is,
    /// `=`, in which it does not.
    Equal,
    NotEqual,
    Matches,
    MatchesNot,
    Order(Op),
}

const SPECIAL: [&str; 7] = ["since", "until", "has", "id", "trace", "archived", "position"];

type Read<T> = Result<T, Mistake>;

impl Reader {
    fn wrong<T>(&self, at: usize, what: impl Into<String>) -> Read<T> {
        Err(Mistake { column: at + 1, what: what.into() })
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn ahead(&self, by: usize) -> Option<char> {
        self.text.get(self.at + by).copied()
    }

    fn take(&mut self, symbol: char) -> bool {
        let there = self.peek() == Some(symbol);
        self.at += usize::from(there);
        there
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Whether what begins here ends after so many characters.
    fn ends(&self, after: usize) -> bool {
        self.ahead(after).is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')'))
    }

    fn keyword(&mut self, word: &str) -> bool {
        let there = word.chars().enumerate().all(|(at, symbol)| self.ahead(at) == Some(symbol));
        // One byte per letter: they are all ASCII.
        let there = there && self.ends(word.len());
        if there {
            self.at += word.len();
            self.blanks();
        }
        there
    }

    fn either(&mut self, depth: usize) -> Read<Expr> {
        let mut parts = vec![self.together(depth)?];
        while self.keyword("OR") {
            parts.push(self.together(depth)?);
        }
        Ok(Expr::any_of(parts))
    }

    fn together(&mut self, depth: usize) -> Read<Expr> {
        let mut parts = vec![self.one(depth)?];
        loop {
            let before = self.at;
            if self.keyword("AND") {
                parts.push(self.one(depth)?);
                continue;
            }
            if self.peek().is_none_or(|next| next == ')') || self.keyword("OR") {
                self.at = before;
                return Ok(Expr::all_of(parts));
            }
            parts.push(self.one(depth)?);
        }
    }

    /// One condition, with the blanks behind it.
    fn one(&mut self, depth: usize) -> Read<Expr> {
        let start = self.at;
        let Some(inner) = depth.checked_sub(1) else {
            return self.wrong(start, format!("nested too deep, at most {DEEPEST} levels are allowed"));
        };
        let minus = self.peek() == Some('-') && self.ahead(1).is_some_and(|next| !next.is_whitespace());
        if minus {
            self.at += 1;
            return Ok(self.one(inner)?.negated());
        }
        if self.keyword("NOT") {
            return Ok(self.one(inner)?.negated());
        }
        for word in ["AND", "OR"] {
            if self.keyword(word) {
                return self
                    .wrong(start, format!("`{word}` stands between two conditions; the word itself is \"{word}\""));
            }
        }
        let expr = match self.peek() {
            None => return self.wrong(start, "a condition is missing here, such as a word or `type:timer`"),
            Some(')') => return self.wrong(start, "a condition is missing before `)`"),
            Some('(') => {
                self.at += 1;
                self.blanks();
                let expr = self.either(inner)?;
                if !self.take(')') {
                    return self.wrong(start, "the `)` to this `(` is missing");
                }
                expr
            }
            Some(_) => self.term(start, depth)?,
        };
        self.blanks();
        Ok(expr)
    }

    fn term(&mut self, start: usize, depth: usize) -> Read<Expr> {
        match self.terms.checked_sub(1) {
            Some(left) => self.terms = left,
            None => return self.wrong(start, format!("too many conditions, at most {MOST_TERMS} are allowed")),
        }
        if self.peek() == Some('*') && self.ends(1) {
            self.at += 1;
            return Ok(Expr::EVERYTHING);
        }
        let quoted = self.peek() == Some('"');
        let name = if quoted { self.quoted()? } else { self.name() };
        let after_name = self.at;
        let Some(sign) = self.sign() else { return self.say(start, &name, quoted) };
        if name.is_empty() {
            return self.wrong(start, "a name is missing before the operator, such as `type` or `user_id`");
        }
        match name.as_str() {
            special if !quoted && SPECIAL.contains(&special) => {
                if !matches!(sign, Sign::Is | Sign::Equal) {
                    return self.wrong(
                        after_name,
                        format!("`{special}` takes `:`; a field of this name is `fields.{special}`"),
                    );
                }
                self.special(special)
            }
            _ => {
                let path = self.path(&name, start)?;
                self.test(&path, sign, depth)
            }
        }
    }

    /// Words without an operator.
    fn say(&mut self, start: usize, text: &str, quoted: bool) -> Read<Expr> {
        let (text, open) = if quoted {
            let star = self.take('*');
            self.after_quote()?;
            (text, star)
        } else {
            text.strip_suffix('*').map_or((text, false), |text| (text, true))
        };
        if !quoted && let Some(at) = text.chars().position(|symbol| symbol == '*') {
            return self
                .wrong(start + at, "a star ends a word; anywhere else it goes with a name, as in `logger:*api*`");
        }
        match Phrase::new(text, open) {
            Some(phrase) => Ok(Expr::Words(phrase)),
            None if words(text).next().is_none() => {
                self.wrong(start, "only letters and digits are looked for, and there are none here; other text of the payload is found by `payload~/…/`")
            }
            None => self.wrong(start, format!("too many words in one phrase, at most {LONGEST_PHRASE} are allowed")),
        }
    }

    /// Up to a blank, a parenthesis, a quote or an operator.
    fn name(&mut self) -> String {
        let start = self.at;
        while let Some(symbol) = self.peek() {
            // `metlog::client` and `https://example.org` are words that somebody pasted.
            let pasted = match (symbol, self.ahead(1), self.ahead(2)) {
                (':', Some(':'), _) => 2,
                (':', Some('/'), Some('/')) => 3,
                _ => 0,
            };
            let stops = symbol.is_whitespace() || matches!(symbol, '(' | ')' | '"' | ':' | '=' | '<' | '>' | '~');
            if pasted == 0 && (stops || symbol == '!' && matches!(self.ahead(1), Some('=' | '~'))) {
                break;
            }
            self.at += pasted.max(1);
        }
        self.text.get(start..self.at).unwrap_or_default().iter().collect()
    }

    fn sign(&mut self) -> Option<Sign> {
        let first = self.peek()?;
        let (sign, width) = match (first, self.ahead(1)) {
            ('=', Some('~')) => (Sign::Matches, 2),
            ('=', Some('=')) => (Sign::Equal, 2),
            ('=', _) => (Sign::Equal, 1),
            ('!', Some('=')) => (Sign::NotEqual, 2),
            ('!', Some('~')) => (Sign::MatchesNot, 2),
            ('~', _) => (Sign::Matches, 1),
            ('<', Some('=')) => (Sign::Order(Op::AtMost), 2),
            ('<', _) => (Sign::Order(Op::Less), 1),
            ('>', Some('=')) => (Sign::Order(Op::AtLeast), 2),
            ('>', _) => (Sign::Order(Op::More), 1),
            (':', Some('<' | '>')) => {
                self.at += 1;
                return self.sign();
            }
            (':', _) => (Sign::Is, 1),
            _ => return None,
        };
        self.at += width;
        Some(sign)
    }

    /// Text in quotes, in which `\"` and `\\` are escapes.
    fn quoted(&mut self) -> Read<String> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match (self.peek(), self.ahead(1)) {
                (None, _) => return self.wrong(start, "the closing quote to this one is missing"),
                (Some('"'), _) => break,
                (Some('\\'), Some(escaped @ ('"' | '\\'))) => {
                    text.push(escaped);
                    self.at += 1;
                }
                (Some(symbol), _) => text.push(symbol),
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(text)
    }

    fn after_quote(&self) -> Read<()> {
        if self.ends(0) { Ok(()) } else { self.wrong(self.at, "a blank is missing after the closing quote") }
    }

    /// What stands behind an operator, which ended just here.
    fn given(&mut self) -> Read<Given> {
        let start = self.at;
        if self.peek() == Some('"') {
            let text = self.quoted()?;
            self.after_quote()?;
            return Ok(Given::Quoted(text));
        }
        if self.peek() == Some('(') {
            return self.wrong(start, "one value goes with one operator: write `(a:1 OR a:2)` for `a:(1 OR 2)`");
        }
        let (mut pieces, mut piece) = (Vec::new(), String::new());
        while !self.ends(0) {
            match (self.peek(), self.ahead(1)) {
                (Some('\\'), Some(next)) if !next.is_alphanumeric() => {
                    piece.push(next);
                    self.at += 1;
                }
                (Some('*'), _) => pieces.push(std::mem::take(&mut piece)),
                (Some(symbol), _) => piece.push(symbol),
                (None, _) => break,
            }
            self.at += 1;
        }
        if self.at == start {
            return self.wrong(start, "a value is missing here; an empty one is \"\"");
        }
        pieces.push(piece);
        Ok(Given::Bare(pieces))
    }

    fn special(&mut self, name: &str) -> Read<Expr> {
        let at = self.at;
        let given = self.given()?.text();
        match name {
            "since" => self.moment(&given, at).map(Expr::Since),
            "until" => self.moment(&given, at).map(Expr::Until),
            "has" => self.path(&given, at).map(|path| Expr::Test(path, Test::Exists)),
            "id" => Ok(Expr::Id(given)),
            "trace" => Ok(Expr::Trace(given)),
            "position" => match given.parse() {
                Ok(position) => Ok(Expr::Position(position)),
                Err(_) => self.wrong(at, format!("`{given}` is no position, which is a whole number")),
            },
            _ => {
                self.speaks_of_archived = true;
                match given.as_str() {
                    "yes" | "true" => Ok(Expr::Archived(true)),
                    "no" | "false" => Ok(Expr::Archived(false)),
                    "any" => Ok(Expr::EVERYTHING),
                    other => {
                        let meant = suggest::nearest(other, ["yes", "no", "any"]);
                        let meant =
                            meant.map_or("it is yes, no or any".to_owned(), |meant| format!("did you mean `{meant}`?"));
                        self.wrong(at, format!("`archived:{other}`: {meant}"))
                    }
                }
            }
        }
    }

    /// Where a name leads.
    fn path(&self, name: &str, at: usize) -> Read<Path> {
        let not_a_path =
            || self.wrong(at, format!("`{name}` is not a path such as `logger`, `payload` or `fields.http.status`"));
        if let Some(name) = name.strip_prefix('.') {
            return Path::new(name).map_or_else(not_a_path, Ok);
        }
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        let known = first == "fields" || ENVELOPE.contains(&first);
        if known && !rest.is_empty() && first != "fields" && first != "payload" {
            return self.wrong(at, format!("`{first}` holds no other values; a field of this name is `fields.{name}`"));
        }
        let near = suggest::nearest(first, ["fields", "payload"]).filter(|_| !known && !rest.is_empty());
        if let Some(meant) = near {
            let what = format!("did you mean `{meant}.{rest}`? A field really of this name is `fields.{name}`");
            return self.wrong(at, what);
        }
        let path = if known { Path::new(name) } else { Path::new(&format!("fields.{name}")) };
        path.map_or_else(not_a_path, Ok)
    }

    fn test(&mut self, path: &Path, sign: Sign, depth: usize) -> Read<Expr> {
        let at = self.at;
        let is = |test| Expr::Test(path.clone(), test);
        match sign {
            Sign::Matches => return Ok(is(Test::Matches(self.pattern()?))),
            Sign::MatchesNot => return Ok(is(Test::Matches(self.pattern()?)).negated()),
            Sign::Is if self.peek() == Some('{') => return self.operators(path, depth),
            _ => {}
        }
        let given = self.given()?;
        if path.as_str() == "severity" {
            let text = given.text();
            let Some(severity) = Severity::parse(&text) else { return self.no_severity(&text, at) };
            let literal = Literal::typed(severity.number().to_string());
            return Ok(match sign {
                Sign::Order(op) => is(Test::Order(op, literal)),
                Sign::NotEqual => is(Test::Is(literal)).negated(),
                _ => is(Test::Is(literal)),
            });
        }
        Ok(match (sign, given) {
            (Sign::Is, Given::Bare(pieces)) if pieces.len() > 1 => {
                let any = pieces.iter().all(String::is_empty);
                match Glob::new(pieces).filter(|_| !any) {
                    Some(glob) => is(Test::Like(glob)),
                    None => is(Test::Exists),
                }
            }
            (Sign::Order(op), Given::Bare(pieces)) => {
                let text = pieces.join("*");
                let text = self.as_moment(path, &text).unwrap_or(text);
                is(Test::Order(op, Literal::typed(text)))
            }
            (Sign::Order(op), Given::Quoted(text)) => is(Test::Order(op, Literal::typed(text))),
            (Sign::NotEqual, given) => is(Test::Is(Literal::typed(given.text()))).negated(),
            (_, given) => is(Test::Is(Literal::typed(given.text()))),
        })
    }

    fn no_severity<T>(&self, text: &str, at: usize) -> Read<T> {
        let names = Severity::ALL.iter().map(|severity| severity.name());
        let meant = match suggest::nearest(text, names.chain(["warn", "info", "fatal"])) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "it is 0 to 7, or a name such as `warning`".to_owned(),
        };
        self.wrong(at, format!("`{text}` is no severity; {meant}"))
    }

    /// A regular expression between slashes, or quotes, with its flags behind it.
    fn pattern(&mut self) -> Read<Pattern> {
        let start = self.at;
        let source = match self.peek() {
            Some('"') => self.quoted()?,
            Some('/') => {
                self.at += 1;
                let mut source = String::new();
                loop {
                    match (self.peek(), self.ahead(1)) {
                        (None, _) => return self.wrong(start, "the closing `/` of the pattern is missing"),
                        (Some('/'), _) => break,
                        (Some('\\'), Some('/')) => {
                            source.push('/');
                            self.at += 1;
                        }
                        (Some('\\'), Some(next)) => {
                            source.extend(['\\', next]);
                            self.at += 1;
                        }
                        (Some(symbol), _) => source.push(symbol),
                    }
                    self.at += 1;
                }
                self.at += 1;
                source
            }
            _ => return self.wrong(start, "a pattern stands between slashes, as in `field~/^a.*b$/`"),
        };
        let mut flags = String::new();
        while let Some(flag) = self.peek().filter(|_| !self.ends(0)) {
            flags.push(flag);
            self.at += 1;
        }
        match self.terms.checked_sub(PATTERN_COST - 1) {
            Some(left) => self.terms = left,
            None => return self.wrong(start, TOO_MANY_PATTERNS),
        }
        Pattern::new(&source, &flags, false).or_else(|why| self.wrong(start, why))
    }

    /// `path:{"$size": 2}`.
    fn operators(&mut self, path: &Path, depth: usize) -> Read<Expr> {
        let start = self.at;
        let (mut level, mut in_text) = (0_usize, false);
        let mut json = String::new();
        while let Some(symbol) = self.peek() {
            self.at += 1;
            json.push(symbol);
            match (symbol, in_text) {
                ('\\', true) => {
                    json.extend(self.peek());
                    self.at += 1;
                }
                ('"', _) => in_text = !in_text,
                ('{', false) => level += 1,
                ('}', false) => level -= 1,
                _ => {}
            }
            if level == 0 {
                break;
            }
        }
        let value = match wire::read_value(json.as_bytes()) {
            Ok(value) => value,
            Err(why) => {
                return self.wrong(start, format!("operators stand in a JSON object such as {{\"$size\": 2}}; {why}"));
            }
        };
        if !self.ends(0) {
            return self.wrong(self.at, "a blank is missing after the closing `}`");
        }
        // Those of its conditions are counted one by one.
        self.terms += 1;
        selector::condition(path, &value, &mut self.terms, depth)
            .or_else(|mistake| self.wrong(start, mistake.to_string()))
    }

    /// A moment that is written shorter than a message has it.
    fn as_moment(&self, path: &Path, text: &str) -> Option<String> {
        if path.as_str() == "timestamp" {
            return moments::moment(text, self.now).map(moments::written);
        }
        if Number::parse(text).is_some() || Timestamp::parse(text).is_some() {
            return None;
        }
        moments::date(text).map(moments::written)
    }

    fn moment(&self, text: &str, at: usize) -> Read<Timestamp> {
        match moments::moment(text, self.now) {
            Some(moment) => Ok(moment),
            None => self.wrong(
                at,
                format!("`{text}` is no moment: `1h` and `2d` are before now, or write `now`, `today`, `yesterday`, `2026-11-20` or `2026-11-20T10:00Z`"),
            ),
        }
    }
}
