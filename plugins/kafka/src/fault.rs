//! What librdkafka's errors mean for us.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::sync::{Mutex, PoisonError};

/// Of what a broker or librdkafka says in an error.
const WORDS: usize = 300;

/// What an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It may pass by itself.
    Passing,
    /// No broker can be reached.
    Away,
    /// Somebody has to change rights, passwords or certificates first.
    Barred,
    /// The topic is not there.
    NoTopic,
    /// The message, or those sent along with it, are too large.
    TooLarge,
    /// The brokers will never take this message.
    Refused,
}

/// What this error means.
pub(crate) fn meaning(code: Code) -> Meaning {
    match code {
        Code::AllBrokersDown => Meaning::Away,
        Code::Authentication
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::SecurityDisabled
        | Code::InvalidRequiredAcks
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::UnsupportedCompressionType => Meaning::Barred,
        Code::UnknownTopicOrPartition | Code::UnknownTopic => Meaning::NoTopic,
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => Meaning::TooLarge,
        Code::InvalidTopic | Code::InvalidRecord | Code::InvalidTimestamp | Code::PolicyViolation => Meaning::Refused,
        _ => Meaning::Passing,
    }
}

/// What went wrong last, in librdkafka's own words. It says them on the side, and to whoever waits only that time is up.
#[derive(Default)]
pub(crate) struct Trouble(Mutex<Option<(Meaning, String)>>);

impl Trouble {
    /// Notes an error. That nobody is let in says more than that then nobody is there.
    pub fn note(&self, error: &KafkaError, reason: &str) {
        let meaning = error.rdkafka_error_code().map_or(Meaning::Passing, meaning);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if meaning == Meaning::Barred || !matches!(*last, Some((Meaning::Barred, _))) {
            *last = Some((meaning, words(reason)));
        }
    }

    /// All is well again.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What went wrong last.
    pub fn last(&self) -> Option<(Meaning, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why nothing will go on until somebody changes something.
    pub fn barred(&self) -> Option<String> {
        self.last().filter(|(meaning, _)| *meaning == Meaning::Barred).map(|(_, why)| why)
    }
}

/// So much of a text from elsewhere, on one line. librdkafka begins many with the address of a broker, which stays.
pub(crate) fn words(text: &str) -> String {
    text.chars().take(WORDS).map(|sign| if sign.is_control() { ' ' } else { sign }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bars_is_not_forgotten_for_what_follows_from_it() {
        let trouble = Trouble::default();
        trouble.note(&KafkaError::Global(Code::BrokerTransportFailure), "connection refused");
        assert!(trouble.barred().is_none());
        trouble.note(&KafkaError::Global(Code::Authentication), "wrong\npassword");
        trouble.note(&KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(trouble.barred().as_deref(), Some("wrong password"));
        trouble.clear();
        assert_eq!(trouble.last(), None);
    }
}
