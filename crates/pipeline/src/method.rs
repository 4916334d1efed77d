//! Contract: a method added to a client by configuration, which application code calls by name.

use metlog_message::{Fields, Message, Value};
use std::sync::Arc;

/// What a method, an extension trait or a bridge may do with a client.
pub trait Emit {
    /// A message of this type with the client's defaults for everything else.
    fn message(&self, kind: &str) -> Message;

    /// Sends a message.
    fn emit(&self, message: Message);

    /// The method of this name, if the configuration added one.
    fn method(&self, name: &str) -> Option<Arc<dyn Method>>;

    /// Calls a method by name.
    fn call(&self, name: &str, args: &Fields) -> Result<Value, MethodError>;
}

/// A method of a client. What operations configured wins over what the caller asks for, so that a feature can be
/// switched off without a new release of the application.
pub trait Method: Send + Sync {
    /// Runs it. The value is whatever the method documents as its result.
    fn call(&self, client: &dyn Emit, args: &Fields) -> Result<Value, MethodError>;

    /// A method that also wants to be called by the clock says how often; the client's thread then calls it without
    /// arguments.
    fn every(&self) -> Option<std::time::Duration> {
        None
    }
}

/// Why a method call did nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodError {
    /// No method of this name was configured.
    NotFound {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The arguments do not fit; the text says which, and what would be right.
    Arguments(String),
    /// It was tried and did not work.
    Failed(String),
}

impl std::fmt::Display for MethodError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MethodError::NotFound { name, known } if known.is_empty() => {
                write!(f, "no method `{name}`: the configuration of this client adds none")
            }
            MethodError::NotFound { name, known } => {
                write!(f, "no method `{name}`: this client has {}", known.join(", "))
            }
            MethodError::Arguments(why) | MethodError::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for MethodError {}
