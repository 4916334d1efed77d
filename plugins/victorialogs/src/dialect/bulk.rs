//! Elasticsearch's bulk: lines in pairs, what to do and a document; and an answer with one item for each.

use super::desk::Desk;
use metlog_http::axum::body::Body;
use metlog_http::axum::http::{Response, StatusCode};
use metlog_http::server::{json, quote};
use metlog_message::{Value, wire};
use metlog_pipeline::{Reason, Receipt};
use std::collections::HashMap;

/// Refused documents that an answer says the reason of. All are among the dead letters, with theirs.
const NAMED: usize = 100;

/// What an item is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Create,
    Index,
    Update,
    Delete,
}

impl Action {
    const ALL: [Action; 4] = [Action::Create, Action::Index, Action::Update, Action::Delete];

    fn name(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Index => "index",
            Action::Update => "update",
            Action::Delete => "delete",
        }
    }
}

/// Reads a body. `index` is that of the path. What comes back has an item for each that went to the desk.
pub fn bulk(body: &[u8], index: Option<&str>, desk: &mut Desk<'_>) -> Vec<Action> {
    let mut items = Vec::new();
    let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let Some((action, mut beside)) = action(line) else {
            items.push(Action::Index);
            desk.refuse(line, Reason::Malformed, "expected an action: an object with `create` or `index`");
            continue;
        };
        items.push(action);
        if action == Action::Delete {
            desk.refuse(line, Reason::Malformed, "nothing is deleted here");
            continue;
        }
        let Some(document) = lines.next().filter(|document| !document.is_empty()) else {
            desk.refuse(line, Reason::Truncated, "no document follows the action");
            continue;
        };
        if action == Action::Update {
            desk.refuse(document, Reason::Malformed, "nothing is updated here");
            continue;
        }
        if let Some(index) = index.filter(|_| !beside.iter().any(|(name, _)| name == "_index")) {
            beside.push(("_index".to_owned(), index.into()));
        }
        desk.object(document, beside);
    }
    items
}

/// What to do, and what that says of the document.
fn action(line: &[u8]) -> Option<(Action, Vec<(String, Value)>)> {
    // Longer than any index and id may be.
    let Value::Map(line) = wire::read_value(line.get(..line.len().min(4096))?).ok()? else { return None };
    let mut members = line.into_iter();
    let (name, value) = members.next().filter(|_| members.len() == 0)?;
    let action = Action::ALL.into_iter().find(|action| action.name() == name)?;
    let mut beside = Vec::new();
    match value {
        Value::Map(of) => {
            for (name, value) in of {
                match name.as_str() {
                    "_index" => beside.push((name, value)),
                    // The name by which messages are found again.
                    "_id" if value != Value::Null => beside.push(("id".to_owned(), value)),
                    _ => {}
                }
            }
        }
        Value::Null => {}
        _ => return None,
    }
    Some((action, beside))
}

/// An item for each, in their order, as Elasticsearch has it: what was refused has its reason.
pub fn answer(items: &[Action], receipt: &Receipt) -> Response<Body> {
    let refused: HashMap<usize, &str> = receipt.rejected.iter().map(|one| (one.index, one.why.as_str())).collect();
    let mut body = Vec::with_capacity(64 + 32 * items.len());
    body.extend_from_slice(b"{\"took\":0,\"errors\":");
    body.extend_from_slice(if refused.is_empty() { b"false" } else { b"true" });
    body.extend_from_slice(b",\"items\":[");
    let mut named = 0;
    for (at, item) in items.iter().enumerate() {
        body.extend_from_slice(if at == 0 { b"{\"" } else { b",{\"" });
        body.extend_from_slice(item.name().as_bytes());
        match refused.get(&at) {
            None => body.extend_from_slice(b"\":{\"status\":201}}"),
            Some(why) => {
                named += 1;
                body.extend_from_slice(
                    b"\":{\"status\":400,\"error\":{\"type\":\"document_parsing_exception\",\"reason\":",
                );
                quote(&mut body, if named > NAMED { "see the dead letters" } else { why });
                body.extend_from_slice(b"}}}");
            }
        }
    }
    body.extend_from_slice(b"]}");
    json(StatusCode::OK, body)
}

/// The answer to a body that holds nothing, in the form in which Elasticsearch says such.
pub fn nothing(why: &str) -> Response<Body> {
    let mut body = b"{\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":".to_vec();
    quote(&mut body, why);
    body.extend_from_slice(b"},\"status\":400}");
    json(StatusCode::BAD_REQUEST, body)
}
