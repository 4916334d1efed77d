use crate::dsn::{Cover, Target};
use crate::event::{self, Shape};
use crate::place::Part;
use crate::trail::{self, Trails};
use crate::{envelope, quota};
use metlog_http::{Blocking, Codec, Compress, Connection, Delivery, Options, Post, Taken, Trouble};
use metlog_message::Severity;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, Pacing, Picked, SendError, inventory};
use metlog_settings::{Secret, Span};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Each event is a request of its own, so a hand-over of more would hold up a stop.
const PER_WRITE: usize = 256;
/// Tags of one event at the most.
const TAGS: usize = 32;
/// Tags that are ours, or that Sentry takes away because the event has a place of its own for them.
const RESERVED: [&str; 7] = ["type", "release", "dist", "environment", "user", "filename", "function"];
const AUTH: &str = "X-Sentry-Auth";

/// Settings of the endpoint `sentry`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Sentry's address with the project and its key, as the project's settings show it. Never shown by us.
    pub dsn: Option<Secret>,
    /// File that holds it.
    pub dsn_file: Option<PathBuf>,
    /// Messages at least this severe become events; others become breadcrumbs of the same client's events. `3`, error,
    /// by default.
    #[serde(default = "event_severity")]
    pub event_severity: Severity,
    /// The release of events whose message has no field `release`.
    pub release: Option<String>,
    /// The environment of events whose message has no field `environment`.
    pub environment: Option<String>,
    /// Fields that become tags, which Sentry can search. None by default; `type` always is one.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What events are grouped by: `type`, `place`, `logger`, `field:NAME`, and `default`, what Sentry groups by.
    /// `["type", "place"]` by default.
    #[serde(default = "fingerprint")]
    pub fingerprint: Vec<String>,
    /// Breadcrumbs of an event at the most; 0 for none. `100` by default, and the most.
    #[serde(default = "breadcrumbs")]
    pub breadcrumbs: usize,
    /// `gzip` by default; `none`, `zstd` or `auto`.
    #[serde(default = "compress")]
    pub compress: Codec,
    /// For one request and its answer. `10s` by default.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// TLS, time to connect, further headers.
    #[serde(default)]
    pub connection: Connection,
}

fn event_severity() -> Severity {
    Severity::Error
}

fn fingerprint() -> Vec<String> {
    ["type", "place"].map(str::to_owned).into()
}

fn breadcrumbs() -> usize {
    trail::LONGEST
}

fn compress() -> Codec {
    Codec::Gzip
}

fn timeout() -> Span {
    Span(Duration::from_secs(10))
}

/// Posts an envelope for each error.
pub struct Sentry {
    client: Blocking,
    cover: Cover,
    delivery: Delivery,
    compress: Compress,
    event_severity: Severity,
    shape: Shape,
    trails: Trails,
    /// Sentry wants no errors before.
    quiet: Option<Instant>,
}

impl Sentry {
    /// Takes the next message in order: remembers it, or posts it.
    fn take(&mut self, line: &[u8], id: u64) -> Result<Taken, Trouble> {
        // Nobody was asked, so there is no status.
        let refuse = |why| Trouble::Refuse { why, status: 0 };
        let message = metlog_http::event::message(line).map_err(refuse)?;
        if message.severity > self.event_severity {
            self.trails.add(id, &message);
            return Ok(Taken::default());
        }
        self.wait()?;
        let crumbs = self.trails.before(id, &message);
        let event = event::of(&message, event::id(&message, id, line), &self.shape, crumbs);
        let body = envelope::of(event).map_err(refuse)?;
        let content_type = "application/x-sentry-envelope";
        let result = self.client.post(Post { content_type, body, compress: self.compress });
        let limit = self.client.heard().and_then(quota::for_errors);
        let mut result = result.map(|_| Taken::default());
        // Be it taken, the next one would not be.
        let mut wait = limit;
        if let Err(Trouble::Retry { after, .. }) = &mut result {
            wait = limit.or(*after);
            *after = wait;
        }
        self.quiet = wait.and_then(|wait| Instant::now().checked_add(wait));
        result.map_err(|trouble| trouble.reworded(|why| self.cover.over(why)))
    }

    /// Whether Sentry may be asked.
    fn wait(&mut self) -> Result<(), Trouble> {
        let left = self.quiet.map(|until| until.saturating_duration_since(Instant::now()));
        match left.filter(|left| !left.is_zero()) {
            None => Ok(()),
            Some(left) => Err(Trouble::Retry {
                why: format!("Sentry takes no errors for another {} s", left.as_secs() + 1),
                after: Some(left),
            }),
        }
    }
}

impl Endpoint for Sentry {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        let mut delivery = std::mem::replace(&mut self.delivery, Delivery::new(1));
        let with_id = |at: usize, line| Ok((line, *batch.ids().get(at).ok_or("it has no id")?));
        let result = delivery.deliver_placed(batch.lines(), with_id, |part: &[(&[u8], u64)]| {
            part.iter().try_fold(Taken::default(), |_, (line, id)| self.take(line, *id))
        });
        self.delivery = delivery;
        result
    }

    fn pacing(&self) -> Pacing {
        Pacing { messages: PER_WRITE, ..Pacing::default() }
    }
}

/// What of the settings makes events.
fn shape(config: &Config) -> Result<Shape, String> {
    if config.release.as_deref().is_some_and(|text| !event::is_release(text)) {
        return Err("`release` is a word of 200 characters at the most, without slashes and line breaks".into());
    }
    if config.environment.as_deref().is_some_and(|text| !event::is_environment(text)) {
        return Err("`environment` is a word of 64 characters at the most, without slashes and blanks".into());
    }
    let is_tag = |tag: &str| {
        let plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '_' | '.' | ':' | '-');
        (1..=200).contains(&tag.len()) && tag.chars().all(plain)
    };
    match config.tags.iter().find(|tag| !is_tag(tag) || RESERVED.contains(&tag.as_str())) {
        Some(tag) if RESERVED.contains(&tag.as_str()) => {
            return Err(format!("`tags` names {tag:?}, which every event has without it or Sentry would take away"));
        }
        Some(tag) => return Err(format!("`tags` names {tag:?}; Sentry takes letters, digits and any of `_.:-`")),
        None if config.tags.len() > TAGS => return Err(format!("`tags` names more than {TAGS} fields")),
        None => {}
    }
    Ok(Shape {
        release: config.release.clone(),
        environment: config.environment.clone(),
        tags: config.tags.clone(),
        fingerprint: Part::all(&config.fingerprint)?,
    })
}

impl Configured for Sentry {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        match (&config.dsn, &config.dsn_file) {
            (Some(dsn), None) => Target::of("dsn", dsn).map(drop)?,
            (None, Some(_)) => {}
            (Some(_), Some(_)) => return Err("`dsn` and `dsn_file` are both set; which should win? Keep one".into()),
            (None, None) => return Err("`dsn` is missing, or `dsn_file`, the file that holds it".into()),
        }
        if config.breadcrumbs > trail::LONGEST {
            return Err(format!("`breadcrumbs` is more than {}, which is all that Sentry shows", trail::LONGEST));
        }
        if config.timeout.duration().is_zero() {
            return Err("`timeout` is zero: nothing is ever that fast".into());
        }
        if config.connection.headers.keys().any(|name| name.eq_ignore_ascii_case(AUTH)) {
            return Err(format!("`connection.headers` sets {AUTH}, which is made of the DSN"));
        }
        config.connection.check()?;
        shape(config).map(drop)
    }

    fn examine(config: &Config) -> Result<Vec<String>, String> {
        config.connection.examine()
    }

    fn open(config: Config) -> Result<Self, String> {
        let shape = shape(&config)?;
        let target = match (&config.dsn, &config.dsn_file) {
            (Some(dsn), _) => Target::of("dsn", dsn)?,
            (None, file) => {
                let file = file.clone().unwrap_or_default();
                Target::of("dsn_file", &Secret::from_file(&file).map_err(|why| format!("`dsn_file` {why}"))?)?
            }
        };
        let Target { address, auth, cover } = target;
        let mut connection = config.connection;
        connection.headers.insert(AUTH.to_owned(), auth);
        let options = Options {
            connection,
            timeout: config.timeout.duration(),
            hear: Some("x-sentry-rate-limits"),
            ..Options::default()
        };
        let client = Blocking::new(address, options).map_err(|why| cover.over(&why))?;
        Ok(Sentry {
            client,
            cover,
            delivery: Delivery::new(1),
            compress: Compress::always(config.compress),
            event_severity: config.event_severity,
            shape,
            trails: Trails::new(config.breadcrumbs),
            quiet: None,
        })
    }
}

inventory::submit! {
    EndpointEntry::of::<Sentry>("sentry", &[], include_str!("../example.endpoint.toml"))
}
