//! What looks like a secret in a text, and what stands there instead.

use crate::field::Pattern;
use hmac::{Hmac, KeyInit, Mac};
use metlog_settings::Secret;
use regex::{Regex, RegexSet, RegexSetBuilder};
use serde::Deserialize;
use sha2::Sha256;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// What stands for a secret unless somebody wants something else there.
pub(super) const MASK: &str = "***";

/// What is left after one round may look like a secret in its turn: two halves that have come together. After so many
/// rounds the whole text goes.
const ROUNDS: usize = 4;

/// The most bytes all patterns together take, compiled for being asked at once.
const MAX_SET: usize = 16 * 1024 * 1024;

/// What many have to hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// `Bearer` and the token behind it.
    Bearer,
    /// JSON web tokens, signed, encrypted or neither.
    Jwt,
    /// Numbers of payment cards, also in groups; their check digit has to be right.
    CreditCard,
    /// Addresses of people.
    Email,
    /// Ids of keys of Amazon's, and secret keys that are called so.
    AwsKey,
    /// Private keys in PEM, to their end or that of the text.
    PrivateKey,
}

impl Preset {
    fn pattern(self) -> Option<&'static str> {
        Some(match self {
            Preset::Bearer => r"(?i)bearer\s+[a-z0-9._~+/-]{8,}=*",
            Preset::Jwt => r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,3}",
            Preset::Email => r"[\w.%+'-]+@[\w-]+(?:\.[\w-]+)+",
            Preset::AwsKey => {
                r#"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|APKA)[A-Z0-9]{16}|(?i:aws_?secret_?(?:access_?)?key)[\\"'\s:=]+[A-Za-z0-9/+=]{40}"#
            }
            Preset::PrivateKey => {
                r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)"
            }
            Preset::CreditCard => return None,
        })
    }
}

/// What stands there instead.
pub(super) enum Mark {
    /// This.
    Mask(String),
    /// Nothing.
    Drop,
    /// Something that is the same for equal values, under this key.
    Hash(Box<Hmac<Sha256>>),
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mark::Mask(_) => "Mask",
            Mark::Drop => "Drop",
            Mark::Hash(_) => "Hash",
        })
    }
}

impl Mark {
    pub(super) fn hash(key: &Secret) -> Result<Self, String> {
        let keyed = Hmac::new_from_slice(key.reveal().as_bytes());
        keyed.map(|keyed| Mark::Hash(Box::new(keyed))).map_err(|_| "`key` is no key".to_owned())
    }

    /// For this text, or number as it is written.
    pub(super) fn of(&self, secret: &[u8]) -> Cow<'_, str> {
        match self {
            Mark::Mask(with) => Cow::Borrowed(with),
            Mark::Drop => Cow::Borrowed(""),
            Mark::Hash(keyed) => {
                let mut hash = Hmac::clone(keyed);
                hash.update(secret);
                // Letters alone, which no pattern for numbers takes for one. 80 bits.
                let letter = |four: u8| char::from(b'a' + four);
                let letters = hash.finalize().into_bytes().into_iter().take(10);
                let text = letters.flat_map(|byte| [letter(byte >> 4), letter(byte & 15)]);
                Cow::Owned(std::iter::once('#').chain(text).collect())
            }
        }
    }

    /// When nothing else is safe.
    fn last(&self) -> &str {
        match self {
            Mark::Mask(with) => with,
            Mark::Drop => "",
            Mark::Hash(_) => MASK,
        }
    }
}

/// Patterns, and what stands for what they find.
#[derive(Debug)]
pub(super) struct Secrets {
    patterns: Vec<Regex>,
    /// All of them, asked at once; most texts hold nothing. `None`: too large together.
    any: Option<RegexSet>,
    cards: bool,
    /// Whether what is found may depend on where the text begins and ends.
    pub(super) anchored: bool,
    pub(super) mark: Mark,
}

impl Secrets {
    pub(super) fn new(patterns: &[Pattern], presets: &[Preset], mark: Mark) -> Self {
        let anchors =
            |pattern: &Pattern| ["^", "$", r"\A", r"\z"].iter().any(|at| pattern.regex().as_str().contains(at));
        let anchored = patterns.iter().any(anchors);
        // Those of presets are known to be right; a test opens each.
        let presets_of = presets.iter().filter_map(|preset| Regex::new(preset.pattern()?).ok());
        let patterns: Vec<Regex> = patterns.iter().map(|pattern| pattern.regex().clone()).chain(presets_of).collect();
        let any = RegexSetBuilder::new(patterns.iter().map(Regex::as_str));
        let any = { any }.size_limit(MAX_SET).dfa_size_limit(MAX_SET).build().ok();
        Secrets { patterns, any, cards: presets.contains(&Preset::CreditCard), anchored, mark }
    }

    pub(super) fn finds(&self, text: &str) -> bool {
        !self.places(text).is_empty()
    }

    /// The text without what must not be seen; `None` if there is nothing of that in it.
    pub(super) fn hide(&self, text: &str) -> Option<String> {
        let mut places = self.places(text);
        if places.is_empty() {
            return None;
        }
        let mut left = text.to_owned();
        for _ in 0..ROUNDS {
            left = self.without(&left, &places);
            places = self.places(&left);
            if places.is_empty() {
                return Some(left);
            }
        }
        Some(self.mark.last().to_owned())
    }

    /// The same for a number as it is written: no fraction is a card's.
    pub(super) fn hide_number(&self, number: &str) -> Option<String> {
        let cards_only = number.contains(['.', 'e', 'E']) && self.found(number).is_empty();
        if cards_only { None } else { self.hide(number) }
    }

    fn without(&self, text: &str, places: &[Range<usize>]) -> String {
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for place in places {
            out.push_str(text.get(copied..place.start).unwrap_or_default());
            out.push_str(&self.mark.of(text.get(place.clone()).unwrap_or_default().as_bytes()));
            copied = place.end;
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        out
    }

    /// Where patterns find something.
    fn found(&self, text: &str) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        if self.any.as_ref().is_none_or(|any| any.is_match(text)) {
            for pattern in &self.patterns {
                places.extend(pattern.find_iter(text).map(|found| found.range()).filter(|place| !place.is_empty()));
            }
        }
        places
    }

    /// Where something was found, in order and apart from each other.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut places = self.found(text);
        if self.cards {
            cards(text.as_bytes(), &mut places);
        }
        if places.len() > 1 {
            places.sort_by_key(|place| (place.start, place.end));
            places.dedup_by(|later, earlier| {
                let together = later.start <= earlier.end;
                if together {
                    earlier.end = earlier.end.max(later.end);
                }
                together
            });
        }
        places
    }
}

const SHORTEST: usize = 13;
const LONGEST: usize = 19;

/// Card numbers: whole runs of digits, or neighbouring groups that a blank or hyphen keeps apart.
fn cards(text: &[u8], places: &mut Vec<Range<usize>>) {
    if text.iter().filter(|byte| byte.is_ascii_digit()).take(SHORTEST).count() < SHORTEST {
        return;
    }
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(skipped) = rest.iter().position(u8::is_ascii_digit) else { break };
        let joined = skipped == 1 && matches!(rest.first(), Some(b' ' | b'-'));
        if !joined {
            runs(text, &groups, places);
            groups.clear();
        }
        let digits = rest.iter().skip(skipped).take_while(|byte| byte.is_ascii_digit()).count();
        groups.push(at + skipped..at + skipped + digits);
        at += skipped + digits;
    }
    runs(text, &groups, places);
}

fn runs(text: &[u8], groups: &[Range<usize>], places: &mut Vec<Range<usize>>) {
    let mut first = 0;
    while let Some(from) = groups.get(first) {
        let mut number = Number::default();
        let mut found = None;
        for (at, group) in groups.iter().enumerate().skip(first) {
            if number.count + group.len() > LONGEST {
                break;
            }
            text.get(group.clone()).unwrap_or_default().iter().for_each(|digit| number.push(*digit));
            if number.is_card() {
                found = Some((at, group.end));
            }
        }
        match found {
            Some((last, end)) => {
                places.push(from.start..end);
                first = last + 1;
            }
            None => first += 1,
        }
    }
}

#[derive(Default)]
struct Number {
    digits: [u8; LONGEST],
    count: usize,
}

impl Number {
    fn push(&mut self, digit: u8) {
        if let Some(place) = self.digits.get_mut(self.count) {
            *place = digit - b'0';
            self.count += 1;
        }
    }

    /// By issuer, length and check digit (Luhn).
    fn is_card(&self) -> bool {
        let digits = self.digits.get(..self.count).unwrap_or_default();
        let start = digits.iter().take(4).fold(0_u32, |start, digit| start * 10 + u32::from(*digit));
        let lengths = match start {
            4000..=4999 => SHORTEST..=LONGEST,
            5100..=5599 | 2221..=2720 => 16..=16,
            3400..=3499 | 3700..=3799 => 15..=15,
            3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => 14..=LONGEST,
            2200..=2204 | 3528..=3589 | 6000..=6999 | 8100..=8199 => 16..=LONGEST,
            5000..=5099 | 5600..=5999 => SHORTEST..=LONGEST,
            _ => return false,
        };
        lengths.contains(&self.count) && luhn(digits)
    }
}

fn luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let value = |(at, digit): (usize, &u8)| u32::from(if at % 2 == 1 { doubled(*digit) } else { *digit });
    digits.iter().rev().enumerate().map(value).sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(preset: Preset, text: &str) -> Option<String> {
        Secrets::new(&[], &[preset], Mark::Mask("<>".into())).hide(text)
    }

    #[test]
    fn presets_find_what_they_are_for_and_nothing_beside_it() {
        for (preset, text, expected) in [
            (Preset::Bearer, "authorization: Bearer abc.def-ghi_jkl== ok", Some("authorization: <> ok")),
            (Preset::Bearer, "the bearer of news", None),
            (Preset::Jwt, "t_eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln.", Some("t_<>")),
            (Preset::Jwt, "eyJ is no token", None),
            (Preset::Email, "to <anna.o'neil+x@mail.example.org>, b@c", Some("to <<>>, b@c")),
            (Preset::AwsKey, "id AKIAIOSFODNN7EXAMPLE", Some("id <>")),
            (Preset::AwsKey, "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY;", Some("<>;")),
            (
                Preset::PrivateKey,
                "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b",
                Some("a <> b"),
            ),
            (Preset::PrivateKey, "a -----BEGIN PRIVATE KEY-----\nMIIE cut", Some("a <>")),
            (Preset::PrivateKey, "-----BEGIN CERTIFICATE-----", None),
        ] {
            assert_eq!(hidden(preset, text).as_deref(), expected, "{preset:?}: {text}");
        }
    }

    #[test]
    fn cards_by_their_check_digit_in_groups_or_not() {
        for (text, expected) in [
            ("4111111111111111", Some("<>")),
            ("card_4111 1111-1111 1111x", Some("card_<>x")),
            ("2024-01-02 4111 1111 1111 1111 12", Some("2024-01-02 <> 12")),
            ("378282246310005, 6011111111111117", Some("<>, <>")),
            ("5555555555554444 3530111333300000", Some("<> <>")),
            ("4111111111111112", None),
            ("41111111111111110000", None),
            ("1700000000000000000", None),
            ("4111  1111 1111 1111", None),
            ("0000000000000000", None),
            ("", None),
        ] {
            assert_eq!(hidden(Preset::CreditCard, text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_comes_together_is_found_too() {
        let pattern = |text: &str| text.parse::<Pattern>().expect("a pattern");
        let secrets = Secrets::new(&[pattern("[a-z]+"), pattern(r"\d{4}")], &[], Mark::Drop);
        assert_eq!(secrets.hide("12ab34").as_deref(), Some(""));
        let mark = Mark::hash(&Secret::new("k")).expect("a key");
        let secrets = Secrets::new(&[pattern("[a-z]+")], &[], mark);
        assert_eq!(secrets.hide("x1").as_deref(), Some(MASK), "its own hash would be found");
    }

    #[test]
    fn hashes_are_equal_for_equal_values_and_keys() {
        let mark = |key: &str| Mark::hash(&Secret::new(key)).expect("a key");
        let (one, two) = (mark("one"), mark("two"));
        assert_eq!(one.of(b"a"), mark("one").of(b"a"));
        assert_ne!(one.of(b"a"), one.of(b"b"));
        assert_ne!(one.of(b"a"), two.of(b"a"));
        assert_eq!((one.of(b"a").len(), format!("{one:?}").as_str()), (21, "Hash"));
    }
}
