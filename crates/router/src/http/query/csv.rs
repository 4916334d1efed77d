//! Messages as CSV: for spreadsheets, which take what begins with `=` for a formula unless something stands before it.

use metlog_message::Value;
use metlog_query::Path;
use metlog_query::store::Row;
use metlog_query::view::document;

/// The columns if none are asked for.
pub(crate) const USUAL: [&str; 6] = ["timestamp", "severity", "type", "logger", "payload", "fields"];

/// Columns of one file.
pub(super) const MOST: usize = 256;

/// What a spreadsheet may calculate, in the wide forms of some languages too.
const FORMULAS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// The first line.
pub(crate) fn head(columns: &[Path], out: &mut Vec<u8>) {
    line(columns.iter().map(|column| column.as_str().to_owned()), out);
}

/// One message.
pub(crate) fn row(columns: &[Path], row: &Row<'_>, out: &mut Vec<u8>) {
    let document = document(row);
    let cell = |column: &Path| match column.as_str() {
        "position" => row.position.to_string(),
        // As it was understood, whatever the message wrote.
        "timestamp" => row.timestamp.to_string(),
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

/// RFC 4180, with an apostrophe before what a spreadsheet would calculate. Numbers stay numbers. Semicolons stand in
/// quotes as well, since some spreadsheets cut there.
fn quoted(cell: &str, out: &mut Vec<u8>) {
    let formula = cell.starts_with(FORMULAS) && !cell.parse::<f64>().is_ok_and(f64::is_finite);
    let special = cell.contains([',', ';', '"', '\n', '\r', '\t']);
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
            ("\t=1", "\"'\t=1\""),
            ("\n=1", "\"'\n=1\""),
            ("＝1+1", "'＝1+1"),
            ("a;=1+1", "\"a;=1+1\""),
            ("-inf", "'-inf"),
            ("-5.5", "-5.5"),
            ("+1e3", "+1e3"),
            ("a \"word\", and\nmore", "\"a \"\"word\"\", and\nmore\""),
            ("plain", "plain"),
        ] {
            let mut out = Vec::new();
            quoted(cell, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), written);
        }
    }
}
