//! Message to JSON text and back; the only place that knows JSON. Strict out, lenient in.

mod write;

pub use write::{
    float_word, indented, write, write_f64, write_i64, write_str, write_str_inside, write_str_lossy, write_u64, write_value,
};
use crate::{Message, Value};

/// What a message may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of its text.
    pub bytes: usize,
    /// How deep lists and objects may be inside each other.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 1024 * 1024, depth: 64 }
    }
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The message.
    pub message: Message,
    /// What was not as it should be, and what was made of it.
    pub notes: Vec<String>,
}

/// Why bytes are no message.
pub type Refusal = String;

/// Reads a message.
///
/// # Errors
/// If the bytes are no message.
pub fn read(text: &[u8], _limits: &Limits) -> Result<Read, Refusal> {
    let Value::Map(mut map) = read_value(text)? else { return Err("not an object".into()) };
    let mut message = Message::new(map.remove("type").map(|v| v.to_text().into_owned()).unwrap_or_default());
    if let Some(time) = map.remove("timestamp").and_then(|v| crate::Timestamp::parse(v.as_str()?)) {
        message.timestamp = time;
    }
    message.logger = map.remove("logger").map(|v| v.to_text().into_owned()).unwrap_or_default();
    message.severity = map.remove("severity").and_then(|v| crate::Severity::from_number(v.as_i64()?)).unwrap_or_default();
    message.payload = map.remove("payload").unwrap_or(Value::from(""));
    if let Some(Value::Map(fields)) = map.remove("fields") {
        message.fields = fields;
    }
    map.remove("env_version");
    message.pid = map.remove("metlog_pid").and_then(|v| v.as_i64());
    message.hostname = map.remove("metlog_hostname").map(|v| v.to_text().into_owned());
    if let (Some(client), Some(seq)) = (map.remove("metlog_client"), map.remove("metlog_seq")) {
        let seq = seq.as_i64().unwrap_or_default() as u64;
        message.origin = Some(crate::message::Origin { client: client.to_text().into_owned(), seq });
    }
    message.extra = map;
    Ok(Read { message, notes: Vec::new() })
}

/// Reads any JSON value.
///
/// # Errors
/// If it is not JSON.
pub fn read_value(text: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}
