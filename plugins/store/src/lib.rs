//! `store`: keeps messages in one SQLite file and finds them again.
//!
//! - `endpoint`: writes, one transaction a batch
//! - `place`: which position a message of some spool has
//! - `again`: what came before, at another position
//! - `keep`: how long: age, size, and what messages say of themselves
//! - `reading`: the same file as a [`metlog_query::Store`]; `find` and `walk` turn bounds into SQL
//! - `index`: of words, by generations
//! - [`copies`]: backups, and back from them
//! - `base`: the file itself, whose it is and in which form

#[cfg(feature = "endpoint")]
mod again;
#[cfg(feature = "endpoint")]
mod base;
#[cfg(feature = "endpoint")]
mod config;
#[cfg(feature = "endpoint")]
pub mod copies;
#[cfg(feature = "endpoint")]
mod endpoint;
#[cfg(feature = "endpoint")]
mod find;
#[cfg(feature = "endpoint")]
mod index;
#[cfg(feature = "endpoint")]
mod keep;
#[cfg(feature = "endpoint")]
mod place;
#[cfg(feature = "endpoint")]
mod reading;
#[cfg(feature = "endpoint")]
mod walk;

#[cfg(feature = "endpoint")]
pub use config::Config;
#[cfg(feature = "endpoint")]
pub use endpoint::StoreEndpoint;
#[cfg(feature = "endpoint")]
pub use reading::Messages;
