//! Many messages in one buffer: the unit everything moves in.

/// Messages as JSON text, one per line, in one buffer: what a file or a socket takes in one system call.
///
/// Every message is followed by exactly one newline and holds none itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    text: Vec<u8>,
    /// Where each message's line ends, newline included.
    ends: Vec<usize>,
}

impl Lines {
    /// An empty buffer.
    pub const fn new() -> Self {
        Lines { text: Vec::new(), ends: Vec::new() }
    }

    /// One with room for this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Lines { text: Vec::with_capacity(bytes), ends: Vec::new() }
    }

    /// Appends one message. The caller vouches that it holds no newline, as [`crate::wire::write`] does.
    pub fn push(&mut self, message: &[u8]) {
        self.push_with(|text| text.extend_from_slice(message));
    }

    /// Appends one message written in place, so that it is never copied.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
        self.text.push(b'\n');
        self.ends.push(self.text.len());
    }

    /// Appends all of `other`.
    pub fn append(&mut self, other: &Lines) {
        let shift = self.text.len();
        self.text.extend_from_slice(&other.text);
        self.ends.extend(other.ends.iter().map(|end| end + shift));
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All of it, newlines included.
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// One message without its newline.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)?;
        let start = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        self.text.get(start..end.checked_sub(1)?)
    }

    /// Each message without its newline.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Takes the first `count` messages off the front.
    pub fn drop_first(&mut self, count: usize) {
        let Some(cut) = count.checked_sub(1).and_then(|last| self.ends.get(last.min(self.ends.len().wrapping_sub(1))))
        else {
            return;
        };
        let cut = *cut;
        self.text.drain(..cut);
        self.ends.drain(..count.min(self.ends.len()));
        for end in &mut self.ends {
            *end -= cut;
        }
    }

    /// Memory it holds on to.
    pub fn capacity(&self) -> usize {
        self.text.capacity()
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Lines {
    fn from_iter<I: IntoIterator<Item = T>>(messages: I) -> Self {
        let mut lines = Lines::new();
        for message in messages {
            lines.push(message.as_ref());
        }
        lines
    }
}
