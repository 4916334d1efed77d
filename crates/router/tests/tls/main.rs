//! TLS: who is let in, whom our endpoints write to, and what happens when a certificate is renewed.

mod foreign;
mod incoming;
mod outgoing;
mod renewal;
#[path = "../stage/mod.rs"]
mod stage;
mod support;
