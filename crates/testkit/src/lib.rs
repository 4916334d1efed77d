//! What metlog's tests share. Not published.
//!
//! - [`book`]: the book under `docs/`, taken apart
//! - [`sample`]: messages that carry their number, and content that breaks careless code
//! - [`mod@contract`]: the clauses every sender passes against its real receiving end
//! - [`mod@drive`]: what the client does with a sender's answers
//! - [`inlet`]: the router's side of an input, which records
//! - [`mod@nats`]: a NATS server with JetStream, which can be killed
//! - [`peer`]: receiving ends on loopback that can be stopped, restarted and slowed down
//! - [`mod@postgres`]: PostgreSQL itself, which can be killed
//! - [`http`]: a web server that answers by script
//! - [`mod@python`]: a Python with packages, for clients and servers we must work with
//! - [`mod@settings`]: settings of plugins from text and from their examples
//! - [`service`]: a neighbour's web service, played for the contract
//! - [`smtp`]: a mail server that fails where a test says so
//! - [`stage`]: a stand-in for the client around one method
//! - [`victorialogs`]: VictoriaLogs, played with what it loses behind its 200
//! - [`mod@watch`]: where a test hangs that hangs
//! - [`eventually`]: waiting without sleeping too long

pub mod authority;
pub mod book;
pub mod contract;
pub mod drive;
pub mod http;
pub mod inlet;
pub mod nats;
pub mod peer;
pub mod postgres;
pub mod python;
pub mod sample;
pub mod service;
pub mod settings;
pub mod smtp;
pub mod stage;
pub mod victorialogs;
pub mod watch;

pub use authority::{Authority, Paper};
pub use contract::{Arrived, Delivery, Peer};
pub use drive::{Outcome, Policy, drive};
pub use inlet::Recorder;
pub use nats::Nats;
pub use postgres::Postgres;
pub use python::python;
pub use service::Service;
pub use settings::{ini_settings, of_example, open, settings};
pub use stage::Stage;
pub use watch::{Watch, watch};

use std::time::{Duration, Instant};

/// Waits until something is so; false when it does not come to be in time.
#[must_use = "a test that does not look whether it came to be cannot fail"]
pub fn eventually(within: Duration, mut so: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + within;
    loop {
        if so() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
