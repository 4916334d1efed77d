//! The durable consumer that routers share, made or verified. The server gives each message to one of them, and to
//! another if that one does not acknowledge it in time.

use crate::link::{Fault, Link, of_jetstream, refused};
use crate::stream::Differences;
use async_nats::jetstream::consumer::{AckPolicy, Config, DeliverPolicy, pull};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::{ConsumerErrorKind, Stream};
use metlog_settings::Span;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub name: String,
    pub filter: Option<String>,
    pub ack_wait: Span,
    pub max_ack_pending: usize,
}

impl Wanted {
    fn config(&self) -> pull::Config {
        pull::Config {
            durable_name: Some(self.name.clone()),
            ack_policy: AckPolicy::Explicit,
            deliver_policy: DeliverPolicy::All,
            ack_wait: self.ack_wait.duration(),
            max_ack_pending: i64::try_from(self.max_ack_pending).unwrap_or(i64::MAX),
            filter_subject: self.filter.clone().unwrap_or_default(),
            ..pull::Config::default()
        }
    }

    fn verify(&self, there: &Config) -> Result<(), Fault> {
        let mut differences = Differences::new();
        let asked = self.config();
        let push = |subject: &Option<String>| match subject {
            None => "pulled from".to_owned(),
            Some(subject) => format!("pushing to `{subject}`"),
        };
        differences.compare("delivery", Some(None), there.deliver_subject.clone(), push);
        let word = |policy: &AckPolicy| format!("{policy:?}").to_ascii_lowercase();
        differences.compare("ack_policy", Some(asked.ack_policy), there.ack_policy, word);
        let from = |policy: &DeliverPolicy| format!("{policy:?}").to_ascii_lowercase();
        differences.compare("deliver_policy", Some(asked.deliver_policy), there.deliver_policy, from);
        differences.compare("ack_wait", Some(self.ack_wait), Span(there.ack_wait), Span::to_string);
        differences.compare("max_ack_pending", Some(asked.max_ack_pending), there.max_ack_pending, i64::to_string);
        let shown = |filter: &String| if filter.is_empty() { "none".to_owned() } else { format!("`{filter}`") };
        differences.compare("filter", Some(asked.filter_subject), there.filter_subject.clone(), shown);
        // A message that is not taken after so many times would never come again.
        let unlimited = there.max_deliver.max(-1);
        let times = |times: &i64| if *times < 0 { "unlimited".to_owned() } else { times.to_string() };
        differences.compare("max_deliver", Some(-1), if unlimited == 0 { -1 } else { unlimited }, times);
        let remedy =
            "change the settings here, or the consumer, with `nats consumer edit`, or give `consumer` another name";
        differences.or((), format_args!("the consumer `{}`", self.name), remedy)
    }
}

/// Finds the consumer as the settings want it, or makes it.
pub(crate) async fn ensure(link: &Link, stream: &Stream, asked: &Wanted) -> Result<(), Fault> {
    let doing = format!("looking for the consumer `{}`", asked.name);
    match link.answer(stream.consumer_info(&asked.name)).await? {
        Ok(info) => return asked.verify(&info.config),
        Err(error) => match error.kind() {
            ConsumerInfoErrorKind::NotFound => {}
            ConsumerInfoErrorKind::JetStream(said) => return Err(of_jetstream(&doing, &said)),
            _ => return Err(refused(&doing, &error)),
        },
    }
    let doing = format!("making the consumer `{}`", asked.name);
    let made = link.answer(stream.create_consumer(asked.config())).await?;
    let made = made.map_err(|error| match error.kind() {
        ConsumerErrorKind::JetStream(said) => of_jetstream(&doing, &said),
        _ => refused(&doing, &error),
    })?;
    // An old server leaves out without a word what it does not know.
    asked.verify(&made.cached_info().config)
}
