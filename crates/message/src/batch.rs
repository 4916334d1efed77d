//! Messages on their way through the router: their bytes, and beside each which endpoints want it.

use crate::Lines;

/// Which endpoints want a message: bit n stands for the endpoint in slot n. So a router has 64 endpoints at the most.
pub type Wants = u64;

/// Messages in one buffer and a column of [`Wants`], which [`crate::Lines`] alone would not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    lines: Lines,
    wants: Vec<Wants>,
    any: Wants,
}

impl Batch {
    /// An empty one.
    pub const fn new() -> Self {
        Batch { lines: Lines::new(), wants: Vec::new(), any: 0 }
    }

    /// One of these lines, if there are as many wants as lines.
    pub fn of(lines: Lines, wants: Vec<Wants>) -> Option<Self> {
        let any = wants.iter().fold(0, |any, one| any | one);
        (lines.len() == wants.len()).then_some(Batch { lines, wants, any })
    }

    /// Appends a message, which holds no newline, for those who want it.
    #[inline]
    pub fn push(&mut self, message: &[u8], wants: Wants) {
        self.lines.push(message);
        self.wants.push(wants);
        self.any |= wants;
    }

    /// Appends a message laid out over several lines. Outside of texts a newline is as good as a blank, and inside JSON
    /// has none.
    pub fn push_flat(&mut self, message: &[u8], wants: Wants) {
        self.lines.push_with(|text| {
            text.extend(message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        });
        self.wants.push(wants);
        self.any |= wants;
    }

    /// Appends, behind the last message, something the router wants to remember together with them. It is kept wherever
    /// they are and handed to nobody, so it may hold any bytes.
    pub fn note(&mut self, note: &[u8]) {
        self.lines.push(note);
        self.wants.push(0);
    }

    /// What is noted behind the messages.
    pub fn noted(&self) -> Option<&[u8]> {
        let last = self.wants.len().checked_sub(1)?;
        (*self.wants.get(last)? == 0).then(|| self.lines.get(last))?
    }

    /// How many messages, without what is noted behind them.
    pub fn messages(&self) -> usize {
        self.wants.len() - usize::from(self.wants.last() == Some(&0))
    }

    /// The messages, and the note behind them if there is one.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Who wants which.
    pub fn wants(&self) -> &[Wants] {
        &self.wants
    }

    /// Everyone who wants at least one.
    pub fn any(&self) -> Wants {
        self.any
    }

    /// How many of the messages from `from` on this slot wants.
    pub fn wanted(&self, slot: u32, from: usize) -> usize {
        let bit = bit(slot);
        self.wants.get(from..).unwrap_or_default().iter().filter(|wants| **wants & bit != 0).count()
    }

    /// Whether this slot wants all of them.
    pub fn wanted_whole(&self, slot: u32) -> bool {
        let bit = bit(slot);
        self.wants.iter().all(|wants| wants & bit != 0)
    }

    /// How many messages, a note among them.
    pub fn len(&self) -> usize {
        self.wants.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }

    /// Bytes of the messages, newlines included.
    pub fn bytes(&self) -> usize {
        self.lines.bytes().len()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.wants.clear();
        self.any = 0;
    }
}

/// The bit of a slot; none for a number beyond the last.
pub const fn bit(slot: u32) -> Wants {
    match 1_u64.checked_shl(slot) {
        Some(bit) => bit,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pick_counts_from_where_it_is_told() {
        let mut batch = Batch::new();
        for (message, wants) in [("a", 0b01), ("b", 0b10), ("c", 0b11)] {
            batch.push(message.as_bytes(), wants);
        }
        assert_eq!((batch.wanted(0, 0), batch.wanted(0, 1), batch.wanted(1, 0), batch.wanted(1, 9)), (2, 1, 2, 0));
        assert_eq!((batch.any(), batch.wanted_whole(0), batch.wanted(64, 0)), (0b11, false, 0));
        batch.push_flat(b"{\r\n\"a\": \"\\n\"\n}", 1);
        assert_eq!(batch.lines().get(3), Some(&b"{  \"a\": \"\\n\" }"[..]));
        batch.clear();
        assert!(batch.is_empty() && batch.any() == 0 && batch.wanted_whole(5));
    }

    #[test]
    fn a_note_is_no_message_and_for_nobody() {
        let mut batch = Batch::new();
        assert_eq!((batch.noted(), batch.messages()), (None, 0));
        batch.push(b"a", 1);
        assert_eq!((batch.noted(), batch.messages()), (None, 1));
        batch.note(b"\n\0");
        assert_eq!((batch.noted(), batch.messages(), batch.len(), batch.any()), (Some(&b"\n\0"[..]), 1, 2, 1));
        assert!(!batch.wanted_whole(0));
    }
}
