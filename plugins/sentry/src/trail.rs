//! What clients said before something went wrong.

use crate::{cut, event};
use metlog_message::{Message, Value};
use sentry_types::protocol::v7::Breadcrumb;
use std::collections::{BTreeMap, HashMap, VecDeque};
use uuid::Uuid;

/// Breadcrumbs of one client at the most, which is what Sentry shows.
pub const LONGEST: usize = 100;
const CLIENTS: usize = 1000;
/// Of all clients together.
const BYTES: usize = 16 * 1024 * 1024;
/// Characters of a breadcrumb's text.
const TEXT: usize = 512;
/// Fields a breadcrumb shows, and characters of each.
const FIELDS: usize = 8;
const FIELD: usize = 64;

/// The latest messages of the clients heard last. In memory alone: what a client said before the router started is
/// in no trail.
pub struct Trails {
    /// Of one client.
    longest: usize,
    clients: HashMap<Uuid, Trail>,
    /// Which client was heard when: the first one goes first.
    heard: BTreeMap<u64, Uuid>,
    clock: u64,
    bytes: usize,
}

#[derive(Default)]
struct Trail {
    crumbs: VecDeque<Crumb>,
    heard: u64,
}

struct Crumb {
    id: u64,
    bytes: usize,
    crumb: Breadcrumb,
}

impl Trails {
    /// None yet; `longest` of each client.
    pub fn new(longest: usize) -> Self {
        Trails { longest, clients: HashMap::new(), heard: BTreeMap::new(), clock: 0, bytes: 0 }
    }

    /// Remembers a message. One that was remembered before, because its batch comes again, is not remembered twice.
    pub fn add(&mut self, id: u64, message: &Message) {
        let Some(client) = client(message).filter(|_| self.longest > 0) else { return };
        self.clock += 1;
        let trail = self.clients.entry(client).or_default();
        self.heard.remove(&trail.heard);
        trail.heard = self.clock;
        self.heard.insert(self.clock, client);
        if trail.crumbs.back().is_none_or(|last| last.id < id) {
            let crumb = crumb(message);
            let bytes = size(&crumb);
            trail.crumbs.push_back(Crumb { id, bytes, crumb });
            self.bytes += bytes;
            if trail.crumbs.len() > self.longest
                && let Some(first) = trail.crumbs.pop_front()
            {
                self.bytes -= first.bytes;
            }
        }
        while (self.clients.len() > CLIENTS || self.bytes > BYTES)
            && let Some((_, silent)) = self.heard.pop_first()
        {
            let trail = self.clients.remove(&silent).unwrap_or_default();
            self.bytes -= trail.crumbs.iter().map(|crumb| crumb.bytes).sum::<usize>();
        }
    }

    /// What the client of this message said before it, oldest first.
    pub fn before(&self, id: u64, message: &Message) -> Vec<Breadcrumb> {
        let trail = client(message).and_then(|client| self.clients.get(&client));
        let crumbs = trail.into_iter().flat_map(|trail| &trail.crumbs);
        crumbs.filter(|crumb| crumb.id < id).map(|crumb| crumb.crumb.clone()).collect()
    }
}

/// Whose message it is: by its random id, or for those that have none the process. Hashed, since a name may be long.
fn client(message: &Message) -> Option<Uuid> {
    let name = match (&message.origin, &message.hostname, message.pid) {
        (Some(origin), _, _) => format!("client {}", origin.client),
        (None, Some(host), Some(pid)) => format!("process {pid} {host}"),
        _ => return None,
    };
    Some(event::hash(&[name.as_bytes()]))
}

fn crumb(message: &Message) -> Breadcrumb {
    let category = if message.logger.is_empty() { &message.kind } else { &message.logger };
    let said = cut::text(&message.payload.to_text(), TEXT);
    let simple = message.fields.iter().filter(|(_, value)| !matches!(value, Value::Map(_) | Value::List(_)));
    Breadcrumb {
        timestamp: event::moment(message.timestamp),
        category: Some(cut::line(category, FIELD)).filter(|category| !category.is_empty()),
        level: event::level(message.severity),
        message: Some(said).filter(|said| !said.is_empty()),
        data: simple
            .filter(|(name, _)| !event::is_secret(name))
            .take(FIELDS)
            .map(|(name, value)| (cut::line(name, FIELD), cut::text(&value.to_text(), FIELD).into()))
            .collect(),
        ..Breadcrumb::default()
    }
}

/// About what it takes in memory.
fn size(crumb: &Breadcrumb) -> usize {
    let texts = crumb.category.iter().chain(&crumb.message).map(String::len).sum::<usize>();
    let data = crumb.data.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len) + 100);
    200 + texts + data.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::message::Origin;

    fn of(client: &str, payload: impl ToString) -> Message {
        let mut message = Message::new("oldstyle").payload(payload.to_string());
        message.origin = Some(Origin { client: client.into(), seq: 1 });
        message
    }

    fn texts(trails: &Trails, id: u64, client: &str) -> Vec<String> {
        trails.before(id, &of(client, "")).into_iter().filter_map(|crumb| crumb.message).collect()
    }

    #[test]
    fn each_client_has_its_own_and_only_what_came_before() {
        let mut trails = Trails::new(3);
        for id in 1..=5 {
            trails.add(id, &of("a", id));
        }
        trails.add(6, &of("b", 6));
        trails.add(5, &of("a", "again"));
        assert_eq!(texts(&trails, 9, "a"), ["3", "4", "5"]);
        assert_eq!(texts(&trails, 5, "a"), ["3", "4"]);
        assert_eq!(texts(&trails, 9, "b"), ["6"]);
        let mut nobody = Message::new("oldstyle");
        trails.add(7, &nobody);
        assert!(trails.before(9, &nobody).is_empty(), "nobody knows whose they are");
        (nobody.hostname, nobody.pid) = (Some("h".into()), Some(1));
        trails.add(8, &nobody);
        assert_eq!(trails.before(9, &nobody).len(), 1);
    }

    #[test]
    fn clients_and_bytes_are_bounded_and_the_silent_go_first() {
        let mut trails = Trails::new(100);
        for id in 0..3000 {
            trails.add(id, &of(&format!("c{id}"), id));
            trails.add(id, &of("talks", id));
        }
        assert_eq!((trails.clients.len(), trails.heard.len()), (CLIENTS, CLIENTS));
        assert!(texts(&trails, 5000, "c2000").is_empty());
        assert_eq!((texts(&trails, 5000, "c2999").len(), texts(&trails, 5000, "talks").len()), (1, 100));
        for id in 5000..5100 {
            for client in 0..200 {
                trails.add(id, &of(&format!("d{client}"), "日".repeat(10_000)));
            }
        }
        assert!(trails.bytes <= BYTES);
        let held: usize = trails.clients.values().flat_map(|trail| &trail.crumbs).map(|crumb| crumb.bytes).sum();
        assert_eq!((held, trails.clients.len()), (trails.bytes, trails.heard.len()));
    }
}
