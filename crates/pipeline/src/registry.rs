//! Who implements what, by name.
//!
//! `inventory` collects what plugins submit beside their code. It keeps no order and does not notice two of one name,
//! so look-ups refuse doubles; and a plugin that nobody names in source is silently not linked, so every program has
//! one list of `use … as _;` lines and a test that compares it with this registry.

use crate::describe::{Shape, describe};
use crate::{Beacon, Endpoint, Filter, Input, Method, Sender};
use metlog_settings::{Node, Problem, Problems, suggest};
use serde::de::DeserializeOwned;

/// A sender, filter or method whose settings were read and found right, but which has not touched the world yet.
///
/// Two steps, so that a configuration with an error anywhere opens no file and no socket.
pub type Opener<T> = Box<dyn FnOnce() -> Result<T, String> + Send>;

/// Reads the settings of one section; the second step opens.
pub type Reader<T> = fn(&Node) -> Result<Opener<T>, Problems>;

/// A kind of thing that can be opened from settings of its own.
pub trait Configured: Sized + 'static {
    /// Its settings: a serde struct with `deny_unknown_fields`, each field with a doc comment.
    type Config: DeserializeOwned + Send + 'static;

    /// Whether it tells people. Then, unless the configuration says otherwise, it gets every message whose field `alert`
    /// is true, past all filters.
    const ALERTS: bool = false;

    /// What is wrong with settings that each for itself are right: an address that is none, two keys that exclude each
    /// other. Touches nothing, so that a configuration can be checked where it will not run. An error that begins with a
    /// key in backticks is shown where that key stands.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    fn check(config: &Self::Config) -> Result<(), String> {
        let _ = config;
        Ok(())
    }

    /// What is wrong with files that the settings name and that have to be right, such as certificates: read before a
    /// start and a reload, and by whoever asks whether a configuration is right on this machine. What is right and soon
    /// will not be is told as a remark.
    ///
    /// # Errors
    /// Which file, what is wrong with it, and what would be right; as for [`Configured::check`].
    fn examine(config: &Self::Config) -> Result<Vec<String>, String> {
        let _ = config;
        Ok(Vec::new())
    }

    /// Opens it. The error says what, where, and what would be right.
    fn open(config: Self::Config) -> Result<Self, String>;
}

/// A problem where the key stands that its text begins with, or else where the section does.
pub fn blame(section: &Node, why: String) -> Problem {
    let key = why.strip_prefix('`').and_then(|rest| rest.split_once(['`', ' '])).map(|(key, _)| key);
    let (mut place, mut node) = (&section.origin, Some(section));
    // `tls.cert_file` is a key in a table.
    for part in key.into_iter().flat_map(|key| key.split('.')) {
        let Some(found) = node.and_then(|node| node.as_table()?.key_origin(part)) else { break };
        (place, node) = (found, node.and_then(|node| node.get(part)));
    }
    Problem::at(place, why)
}

macro_rules! entry {
    ($(#[$doc:meta])* $entry:ident, $what:literal, $made:ty, $contract:path) => {
        $(#[$doc])*
        pub struct $entry {
            /// The name in configurations, in metrics, and of the plugin's folder.
            pub name: &'static str,
            /// Other spellings: Metlog's dotted class names.
            pub aliases: &'static [&'static str],
            /// The shortest useful configuration, commented; tests load it.
            pub example: &'static str,
            /// Reads settings.
            pub read: Reader<$made>,
            /// Reads the files that settings name; see [`Configured::examine`].
            pub examine: fn(&Node) -> Result<Vec<String>, Problems>,
            /// What the settings can look like.
            pub describe: fn() -> Shape,
            /// See [`Configured::ALERTS`].
            pub alerts: bool,
        }

        inventory::collect!($entry);

        impl $entry {
            /// The entry of `T`.
            pub const fn of<T: Configured + $contract>(
                name: &'static str,
                aliases: &'static [&'static str],
                example: &'static str,
            ) -> Self {
                $entry {
                    name,
                    aliases,
                    example,
                    read: |node| {
                        let config = metlog_settings::read::<T::Config>(node)?;
                        T::check(&config).map_err(|why| blame(node, why))?;
                        Ok(Box::new(move || {
                            let made: $made = Box::new(T::open(config)?);
                            Ok(made)
                        }))
                    },
                    examine: |node| {
                        let config = metlog_settings::read::<T::Config>(node)?;
                        T::examine(&config).map_err(|why| blame(node, why).into())
                    },
                    describe: describe::<T::Config>,
                    alerts: T::ALERTS,
                }
            }

            /// All of them, by name.
            pub fn all() -> Vec<&'static $entry> {
                let mut all: Vec<_> = inventory::iter::<$entry>.into_iter().collect();
                all.sort_by_key(|entry| entry.name);
                all
            }

            /// The one of this name or alias. Upper and lower case are the same, since Metlog's documentation and
            /// code disagree in just that.
            pub fn find(name: &str) -> Result<&'static $entry, Unknown> {
                let mut found = Self::all().into_iter().filter(|entry| {
                    entry.name.eq_ignore_ascii_case(name) || entry.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
                });
                match (found.next(), found.next()) {
                    (Some(entry), None) => Ok(entry),
                    (first, _) => {
                        let twice = first.is_some();
                        let unknown = Unknown { what: $what, name: name.to_owned(), twice, known: Vec::new(), suggestion: None };
                        Err(unknown.among(Self::all().into_iter().map(|entry| entry.name).collect()))
                    }
                }
            }
        }
    };
}

entry! {
    /// A sender of the client.
    SenderEntry, "sender", Box<dyn Sender>, Sender
}
entry! {
    /// A filter, of client or router.
    FilterEntry, "filter", Box<dyn Filter>, Filter
}
entry! {
    /// An input of the router.
    InputEntry, "input", Box<dyn Input>, Input
}
entry! {
    /// An endpoint of the router.
    EndpointEntry, "endpoint", Box<dyn Endpoint>, Endpoint
}
entry! {
    /// What makes routers a fleet.
    BeaconEntry, "fleet type", Box<dyn Beacon>, Beacon
}
entry! {
    /// A method of the client.
    MethodEntry, "plugin", Box<dyn Method>, Method
}

/// A name that means nothing here, or two things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    what: &'static str,
    name: String,
    twice: bool,
    /// What there is.
    pub known: Vec<&'static str>,
    /// The nearest of them.
    pub suggestion: Option<String>,
}

impl Unknown {
    /// What was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same where more can be meant than plugins of one kind.
    #[must_use]
    pub fn among(mut self, known: Vec<&'static str>) -> Self {
        let nearest = suggest::nearest(&self.name, known.iter().copied()).filter(|_| !self.twice);
        self.suggestion = nearest.map(str::to_owned);
        self.known = known;
        self
    }
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Unknown { what, name, twice, known, .. } = self;
        match (twice, known.as_slice()) {
            (true, _) => write!(f, "two plugins in this program call themselves {what} `{name}`"),
            (false, []) => write!(f, "unknown {what} `{name}`, this program has none"),
            (false, known) => write!(f, "unknown {what} `{name}`, this program has {}", known.join(", ")),
        }
    }
}

impl std::error::Error for Unknown {}
