//! The keys of a section that say when somebody is told, and what they mean together.

use metlog_settings::Span;
use serde::Deserialize;
use std::time::Duration;

/// What is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Every message that gets here.
    #[default]
    Each,
    /// Too many of them.
    Rate,
    /// None of them.
    Absence,
}

/// The keys as they stand in a section; [`with_keys!`](crate::with_keys) puts them into a settings struct.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// `when`
    pub when: When,
    /// `more_than`
    pub more_than: Option<u64>,
    /// `within`
    pub within: Option<Span>,
    /// `absent_for`
    pub absent_for: Option<Span>,
    /// `per`
    pub per: Option<Vec<String>>,
    /// `throttle`
    pub throttle: Option<Span>,
    /// `digest`
    pub digest: Option<Span>,
    /// `per_minute`
    pub per_minute: Option<u32>,
}

/// A settings struct with the keys of [`Keys`] beside its own, and a method `keys`. serde's `flatten` would lose the
/// place of a mistake in the file, and which keys there are.
#[macro_export]
macro_rules! with_keys {
    ($(#[$about:meta])* pub struct $name:ident { $($(#[$said:meta])* pub $key:ident: $kind:ty,)* }) => {
        $(#[$about])*
        pub struct $name {
            $($(#[$said])* pub $key: $kind,)*
            /// `each`, the default: every message that gets here is told. `rate`: too many are. `absence`: that none comes
            /// is told, and when one comes again.
            #[serde(default)]
            pub when: $crate::When,
            /// With `rate`: so many are not yet too many.
            #[serde(default)]
            pub more_than: Option<u64>,
            /// With `rate`: the time in which they are counted. `1m` by default.
            #[serde(default)]
            pub within: Option<$crate::Span>,
            /// With `absence`: how long none may come.
            #[serde(default)]
            pub absent_for: Option<$crate::Span>,
            /// What is counted, and held back, apart: `type`, `logger`, `severity`, `metlog_hostname` or names of fields.
            /// `["type", "logger"]` by default; `[]`: everything together.
            #[serde(default)]
            pub per: Option<Vec<String>>,
            /// After a notice, more of the same is only counted for so long, and then told in one. `5m` by default.
            #[serde(default)]
            pub throttle: Option<$crate::Span>,
            /// Notices are collected for so long and told in one; an hour at the most. `0s`, the default: at once.
            #[serde(default)]
            pub digest: Option<$crate::Span>,
            /// Notices in a minute at the most, and once more as many for messages that say `alert = true`. The rest is
            /// counted and told in the next. `20` by default.
            #[serde(default)]
            pub per_minute: Option<u32>,
        }

        impl $name {
            /// Those of them that are rules.
            pub fn keys(&self) -> $crate::Keys {
                $crate::Keys {
                    when: self.when,
                    more_than: self.more_than,
                    within: self.within,
                    absent_for: self.absent_for,
                    per: self.per.clone(),
                    throttle: self.throttle,
                    digest: self.digest,
                    per_minute: self.per_minute,
                }
            }
        }
    };
}

/// What the keys mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What is worth telling.
    pub trigger: Trigger,
    /// What is told apart.
    pub per: Vec<String>,
    /// The pause of a group after its notice.
    pub throttle: Duration,
    /// How long notices are collected; zero: not at all.
    pub digest: Duration,
    /// Notices in a minute at the most.
    pub per_minute: u32,
}

/// What is worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// Every message.
    Each,
    /// More than so many within a time.
    Rate {
        /// So many are not yet too many.
        more_than: u64,
        /// The time.
        within: Duration,
    },
    /// None for so long.
    Absence {
        /// How long.
        absent_for: Duration,
    },
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Names in `per`.
const NAMES: usize = 8;

impl Keys {
    /// What they mean.
    ///
    /// # Errors
    /// The key that is wrong, and what would be right.
    pub fn rules(&self) -> Result<Rules, String> {
        let trigger = match self.when {
            When::Each => Trigger::Each,
            When::Rate => Trigger::Rate {
                more_than: match self.more_than {
                    Some(0) => return Err("`more_than` is 0; `when = \"each\"` tells every message".into()),
                    Some(number) => number,
                    None => {
                        return Err(
                            "`when` is `rate`, which needs `more_than`, the number that is not yet too many".into()
                        );
                    }
                },
                within: between("within", self.within, MINUTE, SECOND..=DAY)?,
            },
            When::Absence => Trigger::Absence {
                absent_for: match self.absent_for {
                    Some(_) => between("absent_for", self.absent_for, MINUTE, SECOND..=30 * DAY)?,
                    None => {
                        return Err("`when` is `absence`, which needs `absent_for`, the time without a message".into());
                    }
                },
            },
        };
        let absence = self.when == When::Absence;
        for (key, given, idle, of) in [
            ("more_than", self.more_than.is_some(), self.when != When::Rate, "rate"),
            ("within", self.within.is_some(), self.when != When::Rate, "rate"),
            ("absent_for", self.absent_for.is_some(), !absence, "absence"),
            ("per", self.per.is_some(), absence, "each` or `rate"),
            ("throttle", self.throttle.is_some(), absence, "each` or `rate"),
            ("digest", self.digest.is_some(), absence, "each` or `rate"),
        ] {
            if given && idle {
                return Err(format!("`{key}` means something only when `when` is `{of}`; leave it away"));
            }
        }
        let per = self.per.clone().unwrap_or_else(|| ["type", "logger"].map(str::to_owned).into());
        if per.len() > NAMES || per.iter().any(String::is_empty) {
            return Err(format!("`per` takes names, {NAMES} at the most, such as `type`, `logger` or a field's"));
        }
        let per_minute = match self.per_minute {
            None => 20,
            Some(number @ 1..=1000) => number,
            Some(number) => return Err(format!("`per_minute` is {number}; 1 to 1000 are possible, 20 is usual")),
        };
        Ok(Rules {
            trigger,
            per,
            throttle: between("throttle", self.throttle, 5 * MINUTE, Duration::ZERO..=DAY)?,
            digest: between("digest", self.digest, Duration::ZERO, Duration::ZERO..=HOUR)?,
            per_minute,
        })
    }
}

fn between(
    key: &str,
    given: Option<Span>,
    usual: Duration,
    range: std::ops::RangeInclusive<Duration>,
) -> Result<Duration, String> {
    let time = given.map_or(usual, Span::duration);
    if range.contains(&time) {
        return Ok(time);
    }
    let (least, most) = (crate::text::span(*range.start()), crate::text::span(*range.end()));
    Err(format!("`{key}` is {}; {least} to {most} are possible", crate::text::span(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_wrong_together_are_told() {
        let seconds = |number| Some(Span(Duration::from_secs(number)));
        let rate = Keys { when: When::Rate, more_than: Some(10), ..Keys::default() };
        let absence = Keys { when: When::Absence, absent_for: seconds(300), ..Keys::default() };
        for (keys, words) in [
            (Keys { when: When::Rate, ..Keys::default() }, "`when` is `rate`, which needs `more_than`"),
            (Keys { when: When::Absence, ..Keys::default() }, "needs `absent_for`"),
            (Keys { more_than: Some(0), ..rate.clone() }, "`more_than` is 0"),
            (Keys { within: seconds(0), ..rate.clone() }, "`within` is 0ms; 1s to 1d are possible"),
            (Keys { more_than: Some(1), ..Keys::default() }, "`more_than` means something only when `when` is `rate`"),
            (Keys { digest: seconds(60), ..absence.clone() }, "`digest` means something only when `when` is `each` or"),
            (Keys { digest: seconds(3601), ..Keys::default() }, "`digest` is 1h 1s"),
            (Keys { per_minute: Some(0), ..Keys::default() }, "`per_minute` is 0"),
            (Keys { per: Some(vec![String::new()]), ..Keys::default() }, "`per` takes names"),
        ] {
            let why = keys.rules().unwrap_err();
            assert!(why.starts_with('`') && why.contains(words), "{why}");
        }
        for keys in [Keys::default(), rate, absence] {
            assert_eq!(keys.rules().map(|rules| rules.per_minute), Ok(20));
        }
    }
}
