//! At which position a message stands. Its id counts within one router's spool, and many routers write to one table: a
//! position that meant two messages would let the second pass for the first.

use crate::config::Table;
use crate::link::{Fault, Link};
use std::time::Instant;
use tokio_postgres::types::{ToSql, Type};

/// Ids that share a range: more than a router takes in for months. Those beyond get a range of their own.
const BITS: u32 = 40;

/// Ranges there can be: what is left of a position that is no negative number.
const MOST: i64 = 1 << (63 - BITS);

/// One range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    spool: u64,
    block: u64,
    number: i64,
}

impl Positions {
    /// The position of this id, if it is in this range.
    pub fn of(&self, spool: u64, id: u64) -> Option<i64> {
        let here = self.spool == spool && self.block == id >> BITS;
        here.then(|| self.number << BITS | (id & ((1 << BITS) - 1)).cast_signed())
    }

    /// The range of this id, which is taken now if nobody has it.
    pub fn find(link: &Link, table: &Table, spool: u64, id: u64, until: Instant) -> Result<Self, Fault> {
        let block = id >> BITS;
        let (of, range) = (table.with("_spools"), (spool.cast_signed(), block.cast_signed()));
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&range.0, Type::INT8), (&range.1, Type::INT8)];
        let look = format!("SELECT number FROM {of} WHERE spool = $1 AND block = $2");
        let take = format!("INSERT INTO {of} (spool, block) VALUES ($1, $2) ON CONFLICT DO NOTHING");
        for last in [false, true] {
            let row = link.run(until, link.client().query_typed_opt(&look, &parameters))?;
            if let Some(number) = row.and_then(|row| row.try_get::<_, i32>(0).ok()) {
                let number = i64::from(number);
                let full = || Fault::Barred(format!("{of} says number {number}; positions end at {MOST} of them"));
                return if (0..MOST).contains(&number) { Ok(Positions { spool, block, number }) } else { Err(full()) };
            }
            if !last {
                link.run(until, link.client().execute_typed(&take, &parameters))?;
            }
        }
        Err(Fault::Away(format!("{of} does not keep what is written to it")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_different_ranges_are_different() {
        let range = |spool, block, number| Positions { spool, block, number };
        let first = range(7, 0, 0);
        assert_eq!((first.of(7, 42), first.of(8, 42), first.of(7, 1 << BITS)), (Some(42), None, None));
        let last = range(u64::MAX, u64::MAX >> BITS, MOST - 1);
        assert_eq!(last.of(u64::MAX, u64::MAX), Some(i64::MAX));
        assert_eq!(range(7, 1, 1).of(7, 1 << BITS), Some(1 << BITS));
        assert_ne!(range(7, 1, 1).of(7, (1 << BITS) + 5), range(8, 0, 2).of(8, 5));
    }
}
