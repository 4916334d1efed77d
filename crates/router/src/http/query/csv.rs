//! Messages as CSV: for spreadsheets, which take what begins with `=` for a formula unless something stands before it.

use metlog_message::Value;
use metlog_message::wire::{self, Limits};
use metlog_query::store::Row;

/// The columns if none are asked for.
const USUAL: &str = "timestamp,severity,type,logger,payload,fields";

/// Names such as `timestamp`, `fields.user` and `position`, which is the message's place in the store.
pub(super) fn columns(names: &str) -> Result<Vec<String>, String> {
    let names = if names.trim().is_empty() { USUAL } else { names };
    let column = |name: &str| {
        let right = name.split('.').all(|part| !part.is_empty());
        right.then(|| name.to_owned()).ok_or_else(|| format!("`columns`: `{name}` is no path such as `fields.user`"))
    };
    names.split(',').map(str::trim).map(column).collect()
}

/// The first line.
pub(super) fn head(columns: &[String], out: &mut Vec<u8>) {
    line(columns.iter().cloned(), out);
}

/// One message.
pub(super) fn row(columns: &[String], row: &Row<'_>, out: &mut Vec<u8>) {
    let document = wire::read_value_within(row.raw, &Limits::NONE).unwrap_or(Value::Null);
    let cell = |column: &String| match column.as_str() {
        "position" => row.position.to_string(),
        // As it was understood, whatever the message wrote.
        "timestamp" => row.timestamp.to_string(),
        "severity" => row.severity.to_string(),
        path => text(document.as_map().and_then(|document| document.at(path))),
    };
    line(columns.iter().map(cell), out);
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(value) => value.to_text().into_owned(),
    }
}

fn line(cells: impl Iterator<Item = String>, out: &mut Vec<u8>) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        quoted(&cell, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// RFC 4180, with an apostrophe before what a spreadsheet would calculate. Numbers stay numbers.
fn quoted(cell: &str, out: &mut Vec<u8>) {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    let special = cell.contains([',', '"', '\n', '\r']);
    if special {
        out.push(b'"');
    }
    if formula {
        out.push(b'\'');
    }
    for byte in cell.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    if special {
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_disarmed_and_numbers_are_not() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("@SUM(A1,A2)", "\"'@SUM(A1,A2)\""),
            ("-5.5", "-5.5"),
            ("a \"word\", and\nmore", "\"a \"\"word\"\", and\nmore\""),
            ("plain", "plain"),
        ] {
            let mut out = Vec::new();
            quoted(cell, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), written);
        }
    }
}
