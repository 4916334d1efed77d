//! The editors: filters that may change a message or turn it down, before anybody is asked whether it wants it and before
//! it is kept anywhere. What they take out of a message stands in no file of ours.

use metlog_message::{Head, head, wire};
use metlog_pipeline::{Edit, Event, Filter, Reason};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who floods us must not flood what we say.
const BETWEEN_WORDS: Duration = Duration::from_secs(60);

/// The editors of a configuration, in the order in which they are asked.
pub struct Edits(Vec<Arc<Editor>>);

/// One of them.
pub struct Editor {
    name: String,
    /// Its section: with the same one it goes on as it is.
    section: String,
    filter: Mutex<Box<dyn Filter>>,
    /// Whether every connection may have its own.
    divides: bool,
    said: Mutex<Option<Instant>>,
}

/// A message that was turned down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// By this one.
    pub editor: String,
    /// What it is counted under.
    pub reason: Reason,
    /// For people.
    pub why: String,
}

impl Edits {
    /// Of names, sections and filters. One that remembers something, such as what a client has sent, is taken over from
    /// `before` if its section is the same.
    pub fn new(editors: Vec<(String, String, Box<dyn Filter>)>, before: Option<&Edits>) -> Option<Arc<Edits>> {
        let editors = editors.into_iter().map(|(name, section, filter)| {
            let divides = filter.another().is_some();
            let same = |old: &&Arc<Editor>| !old.divides && !divides && old.name == name && old.section == section;
            before.and_then(|before| before.0.iter().find(same)).cloned().unwrap_or_else(|| {
                Arc::new(Editor { name, section, filter: Mutex::new(filter), divides, said: Mutex::default() })
            })
        });
        let editors: Vec<_> = editors.collect();
        (!editors.is_empty()).then(|| Arc::new(Edits(editors)))
    }

    /// For one connection.
    pub fn hand(&self) -> Hand {
        let seat = |editor: &Arc<Editor>| Seat {
            own: if editor.divides { editor.ask(|filter| filter.another()) } else { None },
            editor: editor.clone(),
        };
        Hand { seats: self.0.iter().map(seat).collect(), spare: Vec::new() }
    }
}

impl Editor {
    fn ask<T>(&self, ask: impl FnOnce(&mut dyn Filter) -> T) -> T {
        ask(&mut **self.filter.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says once in a while what it turns down.
    fn say(&self, from: &str, why: &str) {
        let now = Instant::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| now.duration_since(said) >= BETWEEN_WORDS) {
            *said = Some(now);
            drop(said);
            crate::say!("{from}: {why}; further ones of the next minute are only counted");
        }
    }
}

/// One connection's way past the editors.
pub struct Hand {
    seats: Vec<Seat>,
    spare: Vec<u8>,
}

/// An editor, as one connection asks it.
struct Seat {
    editor: Arc<Editor>,
    /// One for this connection alone.
    own: Option<Box<dyn Filter>>,
}

impl Seat {
    fn ask<T>(&mut self, ask: impl FnOnce(&mut dyn Filter) -> T) -> T {
        match &mut self.own {
            Some(own) => ask(&mut **own),
            None => self.editor.ask(ask),
        }
    }

    fn name(&self) -> &str {
        &self.editor.name
    }
}

/// What an editor did to a message, for `explain`.
pub struct Step<'a> {
    /// Its name.
    pub editor: &'a str,
    /// Whether there is another message now.
    pub changed: bool,
}

impl Hand {
    /// Whether the message that goes on is the one in `out`, instead of `message`.
    ///
    /// # Errors
    /// If none goes on.
    pub fn edit(
        &mut self,
        message: &[u8],
        head: &Head<'_>,
        limits: &wire::Limits,
        out: &mut Vec<u8>,
        mut each: impl FnMut(Step<'_>),
    ) -> Result<bool, Dropped> {
        out.clear();
        let mut changed = false;
        for seat in &mut self.seats {
            self.spare.clear();
            let edit = if changed {
                // Scanned when it was made.
                let Ok(head) = head::scan(out, limits) else { return Err(beyond(seat.name())) };
                seat.ask(|filter| filter.edit(&Event { head: &head, raw: out }, &mut self.spare))
            } else {
                seat.ask(|filter| filter.edit(&Event { head, raw: message }, &mut self.spare))
            };
            let changes = match edit {
                Edit::Keep => false,
                Edit::Changed => {
                    std::mem::swap(out, &mut self.spare);
                    // What is not strictly right, or larger than a message may be, cannot go on; the old one must not.
                    if head::scan(out, limits).is_err() {
                        return Err(beyond(seat.name()));
                    }
                    changed = true;
                    true
                }
                Edit::Drop { reason, why } => {
                    let editor = seat.name().to_owned();
                    return Err(Dropped { why: format!("{why} (`{editor}`)"), editor, reason });
                }
            };
            each(Step { editor: seat.name(), changed: changes });
        }
        Ok(changed)
    }

    /// Bytes that are no message, without what must not be kept; `None` if there is nothing of that in them.
    pub fn blot(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut left: Option<Vec<u8>> = None;
        for seat in &mut self.seats {
            let mut out = Vec::new();
            let found = seat.ask(|filter| filter.blot(left.as_deref().unwrap_or(bytes), &mut out));
            if found {
                left = Some(out);
            }
        }
        left
    }

    /// Says what was turned down, the first time in a minute.
    pub fn say(&self, from: &str, dropped: &Dropped) {
        if let Some(seat) = self.seats.iter().find(|seat| seat.name() == dropped.editor) {
            seat.editor.say(from, &dropped.why);
        }
    }

    /// An idle connection holds little memory.
    pub fn rest(&mut self) {
        self.spare = Vec::new();
    }
}

fn beyond(editor: &str) -> Dropped {
    let why = format!("beyond the limits once it is edited (`{editor}`)");
    Dropped { editor: editor.to_owned(), reason: Reason::TooLarge, why }
}
