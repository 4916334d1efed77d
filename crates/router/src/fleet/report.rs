//! What a router says of itself, and how little of what others say is believed.

use super::sums::{Sums, Transport};
use serde::{Deserialize, Serialize};

/// The only form of reports there is.
pub const FORM: u32 = 1;

/// What is longer is no report.
pub const MOST_BYTES: usize = 32 * 1024;

/// Parts of one kind in a report.
pub const MOST_PARTS: usize = 64;

/// Ours leaves room for what a later version may add.
const OUR_MOST_BYTES: usize = 24 * 1024;

/// A greater count is no count: a million messages a second for three hundred years.
const MOST_COUNT: u64 = 1 << 53;

/// Bytes of an error's text.
const MOST_ERROR: usize = 200;

/// How often a router may say that it reports, in milliseconds.
pub const EVERY: std::ops::RangeInclusive<u64> = 200..=60_000;

/// A router's account, small enough to be said every second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORM`].
    pub form: u32,
    /// What it is called; no other router in the fleet is.
    pub name: String,
    /// Which life of it this is: chosen at its start, by chance.
    pub instance: String,
    /// Of the program.
    pub version: String,
    /// When it started, in Unix milliseconds.
    pub started: u64,
    /// How long it has been running, in milliseconds.
    pub uptime: u64,
    /// So often it reports, in milliseconds.
    pub every: u64,
    /// Counts its reports.
    pub number: u64,
    /// Whether it is the last, at an orderly end.
    pub ends: bool,
    /// The law's terms; always whole, also where the parts are cut.
    #[serde(flatten)]
    pub sums: Sums,
    /// Messages that were waiting when it started: the life before it counted them too.
    pub backlog: u64,
    /// How long the oldest message has been waiting, in milliseconds.
    pub oldest: u64,
    /// The sum of all its remainders' sizes, by its own account.
    pub unaccounted: u64,
    /// Its spool.
    pub spool: SpoolPart,
    /// Its inputs.
    pub input_parts: Vec<InputPart>,
    /// Its endpoints.
    pub endpoint_parts: Vec<EndpointPart>,
    /// Parts that were left out.
    pub cut: Cut,
}

/// How full a spool is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolPart {
    /// Disk it takes.
    pub bytes: u64,
    /// Disk it may take.
    pub max_bytes: u64,
}

/// An input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputPart {
    /// Its name.
    pub name: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// See [`super::sums::InputSums`].
    pub received: u64,
    /// See above.
    pub accepted: u64,
    /// See above.
    pub refused: u64,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPart {
    /// Its name.
    pub name: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// `running`, `retrying`, `held`, `paused` or `stopped`.
    pub state: String,
    /// See [`super::sums::EndpointSums`].
    pub delivered: u64,
    /// See above.
    pub buffered: u64,
    /// How long the oldest of these has been waiting, in milliseconds.
    pub oldest: u64,
    /// Why it retries or is held.
    pub error: Option<String>,
}

/// Parts that were left out for the report to be small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// So many inputs.
    pub inputs: u64,
    /// So many endpoints.
    pub endpoints: u64,
}

/// Why something that was heard counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Longer than any report.
    TooLarge,
    /// No report, or one with numbers or names that cannot be.
    Malformed,
    /// A report in a form of another version.
    Form,
    /// Not newer than what was heard of this router already.
    Stale,
    /// There are more routers than are followed.
    TooMany,
    /// More is said than is listened to.
    TooFast,
    /// Thrown away before it got here, for the same reason.
    Missed,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 7] = [
        Refusal::TooLarge,
        Refusal::Malformed,
        Refusal::Form,
        Refusal::Stale,
        Refusal::TooMany,
        Refusal::TooFast,
        Refusal::Missed,
    ];

    /// The label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::TooLarge => "too_large",
            Refusal::Malformed => "malformed",
            Refusal::Form => "form",
            Refusal::Stale => "stale",
            Refusal::TooMany => "too_many",
            Refusal::TooFast => "too_fast",
            Refusal::Missed => "missed",
        }
    }
}

/// Whether something can be the name of a router, or of a part of one.
pub fn is_name(text: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(of_name)
}

/// Of names that come from elsewhere, such as a host's.
pub fn to_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '-' };
    let name: String = text.trim().chars().map(plain).take(64).collect();
    if name.is_empty() { "router".to_owned() } else { name }
}

/// The inputs that are none have a name with a blank.
fn is_part(text: &str) -> bool {
    is_name(text) || text == crate::router::AGAIN
}

impl Report {
    /// What was heard, if it can be one.
    ///
    /// # Errors
    /// What is wrong with it, also in words.
    pub fn read(text: &[u8]) -> Result<Report, (Refusal, String)> {
        if text.len() > MOST_BYTES {
            return Err((Refusal::TooLarge, format!("{} bytes; a report has at most {MOST_BYTES}", text.len())));
        }
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        let malformed = |error: serde_json::Error| (Refusal::Malformed, format!("no report: {error}"));
        let Form { form } = serde_json::from_slice(text).map_err(malformed)?;
        if form != FORM {
            return Err((Refusal::Form, format!("a report of form {form}; this program knows form {FORM}")));
        }
        let report: Report = serde_json::from_slice(text).map_err(malformed)?;
        report.check().map_err(|why| (Refusal::Malformed, why.to_owned()))?;
        Ok(report)
    }

    fn check(&self) -> Result<(), &'static str> {
        let is_instance = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Transport { taken, given } = self.sums.transports.values().fold(Transport::default(), |most, one| {
            Transport { taken: most.taken.max(one.taken), given: most.given.max(one.given) }
        });
        let of_parts = self.input_parts.iter().flat_map(|part| [part.received, part.accepted, part.refused]);
        let of_parts =
            of_parts.chain(self.endpoint_parts.iter().flat_map(|part| [part.delivered, part.buffered, part.oldest]));
        let counts = [
            self.sums.inputs.most(),
            self.sums.endpoints.most(),
            taken,
            given,
            self.backlog,
            self.oldest,
            self.unaccounted,
            self.started,
            self.uptime,
            self.spool.bytes,
            self.cut.inputs,
            self.cut.endpoints,
            of_parts.max().unwrap_or_default(),
        ];
        let inputs = self.input_parts.iter().map(|part| [&part.name, &part.kind]);
        let endpoints = self.endpoint_parts.iter().map(|part| [&part.name, &part.kind]);
        let mut names = inputs.chain(endpoints).flatten().chain(self.sums.transports.keys());
        let is_error = |part: &EndpointPart| part.error.as_ref().is_none_or(|error| error.len() <= MOST_ERROR);
        match () {
            () if !is_name(&self.name) => Err("its `name` is none"),
            () if !is_instance(&self.instance) => Err("its `instance` is none"),
            () if !is_name(&self.version.replace('+', "-")) => Err("its `version` is none"),
            () if !EVERY.contains(&self.every) => Err("its `every` cannot be"),
            () if counts.iter().any(|count| *count > MOST_COUNT) => Err("a count of it cannot be"),
            () if self.input_parts.len() > MOST_PARTS || self.endpoint_parts.len() > MOST_PARTS => {
                Err("it has too many parts")
            }
            () if !names.all(|name| is_part(name)) => Err("a part's name is none"),
            () if !self.endpoint_parts.iter().all(|part| is_name(&part.state) && is_error(part)) => {
                Err("an endpoint's state is none")
            }
            () => Ok(()),
        }
    }

    /// As it is said. Where it is too long for that, parts are left out: inputs and endpoints from the end of their lists.
    pub fn write(mut self) -> Vec<u8> {
        for part in &mut self.endpoint_parts {
            if let Some(error) = &mut part.error {
                error.truncate(error.floor_char_boundary(MOST_ERROR));
            }
        }
        let mut most = MOST_PARTS;
        loop {
            self.cut.inputs += shorten(&mut self.input_parts, most);
            self.cut.endpoints += shorten(&mut self.endpoint_parts, most);
            let text = serde_json::to_vec(&self).unwrap_or_default();
            if text.len() <= OUR_MOST_BYTES || most == 0 {
                return text;
            }
            most /= 2;
        }
    }

    /// What is wrong there, for people: endpoints that do not take what is meant for them.
    pub fn troubles(&self) -> impl Iterator<Item = String> + '_ {
        let stuck = self.endpoint_parts.iter().filter(|part| !["running", "stopped"].contains(&part.state.as_str()));
        stuck.map(|part| match &part.error {
            Some(error) => format!("{} is {}: {error}", part.name, part.state),
            None => format!("{} is {}", part.name, part.state),
        })
    }
}

fn shorten<T>(parts: &mut Vec<T>, most: usize) -> u64 {
    let over = parts.len().saturating_sub(most);
    parts.truncate(most);
    over as u64
}
