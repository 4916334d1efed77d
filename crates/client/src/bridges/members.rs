//! The map that carries fields whose names are only known at run time.

use crate::site::Site;
use metlog_message::wire;

/// An object's members as JSON. The first value of a name stays: whoever is nearest writes first.
#[derive(Default)]
pub struct Members {
    /// `{"name":value,` …
    json: Vec<u8>,
    /// Where the names stand in it, quotes included.
    names: Vec<(usize, usize)>,
    /// What the site takes beside the map. A member of that name would be lost, so it gets a `_`.
    reserved: &'static [&'static str],
}

impl Members {
    /// Empties it for a message of this site, and keeps its room.
    pub fn reset(&mut self, site: &'static Site) {
        self.json.clear();
        self.names.clear();
        self.reserved = site.meta.fields;
    }

    /// Bytes it holds on to.
    #[cfg(any(feature = "log", feature = "tracing"))]
    pub fn room(&self) -> usize {
        self.json.capacity()
    }

    /// Adds a member unless the name is taken. `value` must write one JSON value.
    pub fn put(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        let before = self.json.len();
        self.json.push(if before == 0 { b'{' } else { b',' });
        let start = self.json.len();
        wire::write_str(&mut self.json, name);
        if self.reserved.contains(&name) {
            self.json.pop();
            self.json.extend_from_slice(b"_\"");
        }
        let end = self.json.len();
        let own = self.json.get(start..end);
        if self.names.iter().any(|&(from, to)| self.json.get(from..to) == own) {
            self.json.truncate(before);
            return;
        }
        self.names.push((start, end));
        self.json.push(b':');
        value(&mut self.json);
    }

    /// Adds text.
    pub fn put_str(&mut self, name: &str, value: &str) {
        self.put(name, |out| wire::write_str(out, value));
    }

    /// The object.
    pub fn finish(&mut self) -> &str {
        if self.json.is_empty() {
            self.json.push(b'{');
        }
        self.json.push(b'}');
        // Everything in it was written by `wire`.
        std::str::from_utf8(&self.json).unwrap_or("{}")
    }
}
