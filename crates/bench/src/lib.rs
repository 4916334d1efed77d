//! What `cargo bench -p metlog-bench` is made of: a clock, the ways of timing a call, the machine, and the table.
//!
//! The benchmark itself, with metlog's calls and everyone else's, is `benches/calls`. Three ways of timing, because
//! one would be wrong for some of the calls:
//!
//! - [`measure::spread`]: single calls at a steady pace, for percentiles of calls that hand something to a thread.
//!   The pace is one that every library's thread can follow; what would happen beyond it is dropping or waiting, and
//!   that is a question of policy, not of speed.
//! - [`measure::repeated`]: many calls divided by their number, for calls shorter than the clock's own resolution.
//! - [`measure::flow`]: as many as the thread behind takes, for what it does with them.
//!
//! Every case runs in a process of its own, so that no library's threads or global state disturb another's.

pub mod machine;
pub mod measure;
pub mod table;
