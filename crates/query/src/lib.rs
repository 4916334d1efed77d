//! What can be asked of messages that are kept, in two languages, and the contract of whoever keeps them.
//!
//! ```text
//!  text of the query box ─► language ─┐                       ┌─► Store::scan, which narrows with its indexes
//!                                     ├─► Expr ─► Narrow ─────┘         │ rows, newest or oldest first
//!  selector, a JSON object ─► selector┘     └─────► Expr::holds ◄───────┘ decides; tally counts, page cuts
//! ```
//!
//! A store only narrows: it may give more rows than are wanted, never fewer. What a query means is decided here, in one
//! place, so every store gives the same answers.
//!
//! - [`expr`]: what both languages come down to, and whether it holds of a message
//! - [`language`]: the query box
//! - [`selector`]: the same as a JSON object with `$and`, `$gt` and their kin
//! - [`view`]: the document that a message is, looked into once at most
//! - [`words`]: how text is cut into words, for index and evaluation alike
//! - [`literal`]: what a query compares with
//! - [`path`]: where a value stands
//! - [`narrow`]: what an index can do for an expression
//! - [`facts`]: what a store writes beside a message so that it can be found
//! - [`store`]: the contract; [`asker`]: for whom a store is asked, and until when
//! - [`page`]: found messages, page by page
//! - [`tally`]: counts over time, facets, timers and counters; [`times`]: their percentiles
//! - [`change`]: archives, restores and deletes what is meant
//! - `memory` and `suite`, features: a store for tests, and the contract all stores pass

pub mod asker;
pub mod change;
pub mod expr;
pub mod facts;
pub mod language;
pub mod literal;
#[cfg(feature = "memory")]
pub mod memory;
pub mod narrow;
pub mod page;
pub mod path;
pub mod selector;
pub mod store;
#[cfg(feature = "suite")]
pub mod suite;
pub mod tally;
pub mod times;
pub mod view;
pub mod words;

pub use asker::{Asker, Deadline, Lent};
pub use expr::Expr;
pub use facts::Facts;
pub use page::{Page, find, visit};
pub use path::Path;
pub use store::{
    Backup, Change, Cursor, End, Exchange, Narrow, Order, Row, Scan, Shelf, Size, Store, StoreEntry, Trouble,
};
