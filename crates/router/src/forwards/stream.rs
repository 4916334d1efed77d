//! What one endpoint of another router has forwarded.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Instant;

/// Messages in one page.
const PAGE: usize = 4096;

/// Ids and checksums, in pages in the order in which they came, each sorted by id. Usually every page is behind the one
/// before; a repetition, or several workers, bring others.
#[derive(Default)]
pub struct Stream {
    pages: VecDeque<Vec<(u64, u32)>>,
    count: usize,
    /// Grows with whatever is added.
    pub version: u64,
    /// When it was last asked for.
    pub used: Option<Instant>,
}

impl Stream {
    /// Remembers these, whose ids grow, and no more than so many altogether. How many it has forgotten.
    pub fn add(&mut self, entries: &[(u64, u32)], most: usize) -> u64 {
        self.version += 1;
        for part in entries.chunk_by(|one, next| one.0 < next.0).flat_map(|part| part.chunks(PAGE)) {
            let first = part.first().map_or(0, |(id, _)| *id);
            match self.pages.back_mut() {
                Some(page)
                    if page.len() + part.len() <= PAGE.min(most / 4)
                        && page.last().is_some_and(|(id, _)| *id < first) =>
                {
                    page.extend_from_slice(part);
                }
                _ => self.pages.push_back(part.to_vec()),
            }
            self.count += part.len();
        }
        let mut forgotten = 0;
        // Never the newest, however large it is.
        while self.count > most && self.pages.len() > 1 {
            let Some(page) = self.pages.pop_front() else { break };
            self.count -= page.len();
            forgotten += page.len() as u64;
        }
        forgotten
    }

    /// What is known of ids in this range, sorted.
    pub fn known(&self, ids: &RangeInclusive<u64>) -> Vec<(u64, u32)> {
        let mut known = Vec::new();
        for page in &self.pages {
            let from = page.partition_point(|(id, _)| id < ids.start());
            let to = page.partition_point(|(id, _)| id <= ids.end());
            known.extend_from_slice(page.get(from..to).unwrap_or_default());
        }
        known.sort_unstable();
        known
    }

    /// How many it remembers.
    pub fn len(&self) -> usize {
        self.count
    }

    /// All of it, page by page.
    pub fn entries(&self) -> impl Iterator<Item = &[(u64, u32)]> + Clone {
        self.pages.iter().map(Vec::as_slice)
    }
}
