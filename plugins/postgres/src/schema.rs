//! The table's versions. Each is one file that turns the version before it into itself; they are applied in one
//! transaction, by one router at a time.

use crate::config::Table;
use crate::link::{Fault, Link};
use std::time::Instant;
use tokio_postgres::types::Type;

/// From nothing to version 1, from there to version 2, and so on.
const VERSIONS: [&str; 3] =
    [include_str!("schema/1-table.sql"), include_str!("schema/2-view.sql"), include_str!("schema/3-spools.sql")];

/// Who changes tables or partitions holds this lock, in each database its own: "metlog" in ASCII.
pub const LOCK: i64 = 0x6d65_746c_6f67;

/// Makes the table, or brings it to our version.
pub fn ensure(link: &Link, table: &Table, until: Instant) -> Result<(), Fault> {
    if version(link, table, until)? == VERSIONS.len() {
        return Ok(());
    }
    let row = link.run(until, link.client().query_typed_one("SHOW server_encoding", &[]))?;
    let encoding: String = row.try_get(0).unwrap_or_default();
    if encoding != "UTF8" {
        return Err(Fault::Barred(format!("the database's encoding is {encoding}; messages need one in UTF8")));
    }
    // Whatever fails, the connection is given up, and with it the transaction.
    link.batch(until, &format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})"))?;
    let log = table.with("_schema");
    link.batch(
        until,
        &format!(
            "SET LOCAL client_min_messages = warning; \
             CREATE TABLE IF NOT EXISTS {log} (version integer PRIMARY KEY, made timestamptz NOT NULL DEFAULT now())"
        ),
    )?;
    // Another router may have been first.
    for number in version(link, table, until)? + 1..=VERSIONS.len() {
        let Some(sql) = VERSIONS.get(number - 1) else { break };
        let sql = sql.replace("{table}", table.name()).replace("{view}", &table.view());
        link.batch(until, &sql)?;
        link.batch(until, &format!("INSERT INTO {log} (version) VALUES ({number})"))?;
    }
    link.batch(until, "COMMIT")
}

/// The version it has, 0 for none.
fn version(link: &Link, table: &Table, until: Instant) -> Result<usize, Fault> {
    let log = table.with("_schema");
    let there = link.run(
        until,
        link.client().query_typed_one("SELECT to_regclass($1) IS NOT NULL", &[(&log.as_str(), Type::TEXT)]),
    )?;
    if !there.try_get::<_, bool>(0).unwrap_or_default() {
        return Ok(0);
    }
    let sql = format!("SELECT coalesce(max(version), 0) FROM {log}");
    let row = link.run(until, link.client().query_typed_one(&sql, &[]))?;
    let version = usize::try_from(row.try_get::<_, i32>(0).unwrap_or_default()).unwrap_or_default();
    if version > VERSIONS.len() {
        let ours = VERSIONS.len();
        return Err(Fault::Barred(format!(
            "the table {} has version {version}, and this program knows {ours}: a newer metlog made it; update this one, \
             or name another `table`",
            table.quoted()
        )));
    }
    Ok(version)
}
