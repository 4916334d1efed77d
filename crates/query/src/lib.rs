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
//! - [`words`]: how text is cut into words, for index and evaluation alike
//! - [`facts`]: what a store writes beside a message so that it can be found
//! - [`store`]: the contract
//! - [`page`]: found messages, page by page
//! - [`tally`]: counts over time, facets, timers and counters

pub mod facts;
pub mod store;
pub mod words;

pub use facts::Facts;
pub use store::{Backup, Change, Cursor, End, Narrow, Order, Row, Scan, Shelf, Size, Store, StoreEntry, Trouble};
