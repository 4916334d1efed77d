//! The record: what a call leaves in its thread's ring.
//!
//! ```text
//! ticks u64 · client u32 · flags u8 · values u8 · 2 unused
//! [context length u32 · context]      when the caller stood in a context
//! values                              first those of the text or the payload, then the fields
//! ```
//!
//! The site's number is the ring's tag. Number 0 is a message that came ready made: its JSON follows the head.

use crate::arg::Arg;

/// Bytes before the first value.
pub const HEAD: usize = 16;
/// The record has a context.
pub const CONTEXT: u8 = 1;

/// Writes a record into `place`, which [`size`] measured.
#[inline(always)]
pub fn put(place: &mut [u8], ticks: u64, client: u32, context: &[u8], args: &[Arg<'_>]) {
    let flags = if context.is_empty() { 0 } else { CONTEXT };
    let mut rest = put_head(place, ticks, client, flags, args.len() as u8);
    if flags != 0 {
        rest = put_context(rest, context);
    }
    for arg in args {
        rest = arg.put(rest);
    }
}

fn put_context<'p>(place: &'p mut [u8], context: &[u8]) -> &'p mut [u8] {
    let Some((len, rest)) = place.split_first_chunk_mut::<4>() else { return &mut [] };
    *len = (context.len() as u32).to_le_bytes();
    match rest.split_at_mut_checked(context.len()) {
        Some((body, rest)) => {
            body.copy_from_slice(context);
            rest
        }
        None => &mut [],
    }
}

/// Writes a record of a ready message.
pub fn put_ready(place: &mut [u8], ticks: u64, client: u32, json: &[u8]) {
    let rest = put_head(place, ticks, client, 0, 0);
    if let Some(body) = rest.get_mut(..json.len()) {
        body.copy_from_slice(json);
    }
}

#[inline(always)]
fn put_head(place: &mut [u8], ticks: u64, client: u32, flags: u8, values: u8) -> &mut [u8] {
    match place.split_first_chunk_mut::<HEAD>() {
        Some((head, rest)) => {
            let [c0, c1, c2, c3] = client.to_le_bytes();
            let second = u64::from_le_bytes([c0, c1, c2, c3, flags, values, 0, 0]);
            let both = u128::from(second) << 64 | u128::from(ticks);
            *head = both.to_le_bytes();
            rest
        }
        None => &mut [],
    }
}

/// How long a record will be.
#[inline(always)]
pub fn size(context: &[u8], args: &[Arg<'_>]) -> usize {
    let context = if context.is_empty() { 0 } else { 4 + context.len() };
    HEAD + context + args.iter().map(Arg::size).sum::<usize>()
}

/// A record, read.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// When.
    pub ticks: u64,
    /// Whose.
    pub client: u32,
    /// The context's entries; see [`crate::context`].
    pub context: &'a [u8],
    /// The values, or the ready message.
    pub body: &'a [u8],
}

/// When the record was made, without reading the rest.
#[inline]
pub fn ticks_of(record: &[u8]) -> u64 {
    record.first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word))
}

impl<'a> Record<'a> {
    /// Reads a record. `None` if it is not one, which only a bug of ours could cause.
    #[inline]
    pub fn read(record: &'a [u8]) -> Option<Self> {
        let (ticks, rest) = record.split_first_chunk::<8>()?;
        let (client, rest) = rest.split_first_chunk::<4>()?;
        let (flags, mut body) = rest.split_first_chunk::<4>()?;
        let mut context: &[u8] = &[];
        if flags[0] & CONTEXT != 0 {
            let (len, rest) = body.split_first_chunk::<4>()?;
            (context, body) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        }
        Some(Record { ticks: u64::from_le_bytes(*ticks), client: u32::from_le_bytes(*client), context, body })
    }

    /// The values in order.
    #[inline]
    pub fn values(&self) -> Values<'a> {
        Values(self.body)
    }
}

/// Walks the values of a record.
#[derive(Debug, Clone)]
pub struct Values<'a>(&'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = Arg<'a>;
    #[inline(always)]
    fn next(&mut self) -> Option<Arg<'a>> {
        let (arg, rest) = Arg::take(self.0)?;
        self.0 = rest;
        Some(arg)
    }
}
