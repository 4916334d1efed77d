//! Endpoint and store against PostgreSQL itself.

mod doors;
mod outage;
mod reading;
mod support;
mod tables;
mod writing;
