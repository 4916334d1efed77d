//! `router`: to another metlog router, which takes every message once.

mod endpoint;

pub use endpoint::{Config, RouterEndpoint};
