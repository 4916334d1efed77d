//! Looking through what is there, whoever it was for and whoever has had it. No cursor moves, and nothing is kept for
//! whoever looks: what everybody is through with may be gone at the next look.

use crate::Spool;
use crate::frame::Frame;
use crate::fs::Fs;
use crate::segment::{Step, Walk, unpack};
use crate::view::Segment;
use metlog_message::Batch;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// A file to look through: how far it goes, and the id at which the next one begins.
struct Stretch {
    segment: Arc<Segment>,
    bytes: u64,
    below: u64,
}

impl<F: Fs> Spool<F> {
    /// The frames in memory with ids from here on, oldest first: so many bytes of messages, and the frame that goes beyond.
    /// If the first begins behind `from`, what lies between is not in memory any more.
    pub fn recent(&self, from: u64, bytes: usize) -> Vec<Arc<Frame>> {
        let view = self.core.view();
        let at = view.window.partition_point(|kept| kept.frame.end() <= from);
        let mut left = Some(bytes);
        let fits = |frame: &Arc<Frame>| {
            let fits = left.is_some();
            left = left.and_then(|left| left.checked_sub(frame.batch.bytes()));
            fits
        };
        view.window.range(at..).map(|kept| kept.frame.clone()).take_while(fits).collect()
    }

    /// Files with ids from here on stay, whoever is through with them; `u64::MAX`: none do. Nobody who holds for long has
    /// a claim to room: a full spool stays full.
    pub fn hold(&self, from: u64) {
        self.core.view().held = from;
    }

    /// The id from which on the files hold at most so many bytes, or else what the newest one holds.
    pub fn newest(&self, bytes: u64) -> u64 {
        let view = self.core.view();
        let mut left = bytes;
        let mut from = view.end;
        for placed in view.segments.iter().rev() {
            let fits = left.checked_sub(placed.bytes);
            if fits.is_none() && from < view.end {
                break;
            }
            from = placed.segment.first;
            left = fits.unwrap_or(0);
        }
        from
    }

    /// Gives every frame in the files that has one of these ids and came at this time or later, in nanoseconds since 1970:
    /// its first id, when it came, and what is in it. What is damaged is passed over.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn look_through(
        &self,
        ids: Range<u64>,
        since: Option<i64>,
        each: &mut dyn FnMut(u64, i64, &Batch) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let fs = &self.core.fs;
        let mut batch = Batch::new();
        for Stretch { segment, bytes, below } in self.stretches(&ids, since) {
            let file = match fs.open(&segment.name) {
                Ok(file) => Arc::new(file),
                // Everybody was through with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let mut walk = Walk::<F>::new(file, segment.start, bytes, segment.salt, segment.first);
            walk.below = below;
            loop {
                let head = match walk.step(fs)? {
                    Step::Frame(head) => head,
                    Step::Damage { next, .. } => {
                        walk.expected = next.unwrap_or(below).max(walk.expected);
                        continue;
                    }
                    Step::End => break,
                };
                let wanted =
                    head.end() > ids.start && head.first < ids.end && since.is_none_or(|at| head.received >= at);
                if wanted
                    && unpack(&head, walk.body(fs, &head)?, &mut batch)
                    && each(head.first, head.received, &batch).is_break()
                {
                    return Ok(());
                }
                walk.pass(&head, wanted);
            }
        }
        Ok(())
    }

    fn stretches(&self, ids: &Range<u64>, since: Option<i64>) -> Vec<Stretch> {
        let view = self.core.view();
        let next = |at: usize| view.segments.get(at + 1).map_or(view.end, |next| next.segment.follows);
        let inside = |(at, placed): (usize, &crate::view::Placed)| {
            let below = next(at);
            let meant = placed.segment.first < ids.end && below > ids.start;
            (meant && since.is_none_or(|since| placed.last >= since)).then(|| Stretch {
                segment: placed.segment.clone(),
                bytes: placed.bytes,
                below,
            })
        };
        view.segments.iter().enumerate().filter_map(inside).collect()
    }
}
