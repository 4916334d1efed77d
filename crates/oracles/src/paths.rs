//! The endpoint `file` with a path that messages fill, writing to a real folder.
//!
//! The first line of an input is what stands in the path behind the folder, the second a type, the rest a logger.

use crate::place::Place;
use metlog_file::{EndpointConfig, FileEndpoint, Format, Sync};
use metlog_message::{Fields, Lines, Message, Severity, Timestamp, Value, wire};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, Picked};
use std::path::Path;

/// Whatever type and logger say, the file is as deep in its folder as the path is, and nothing stands beside the folder.
pub fn file_path(data: &[u8]) {
    thread_local! {
        static PLACE: Place = Place::new("file-path");
    }
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let [behind, kind, logger] = [(); 3].map(|()| lines.next().unwrap_or_default());
    PLACE.with(|place| {
        let folder = place.path().join("within");
        // What stands before the first placeholder is the operator's folder, so a placeholder has to come first.
        let path = format!("{}/{{severity}}{behind}", folder.display());
        let config = EndpointConfig {
            path,
            format: Format::default(),
            mode: "0640".to_owned(),
            sync: Sync::Never,
            rotate_bytes: None,
            rotate_every: None,
            keep_files: 1,
            compress: Default::default(),
        };
        if FileEndpoint::check(&config).is_err() {
            return;
        }
        let mut endpoint = FileEndpoint::open(config).expect("checked");
        let written = endpoint.write(&Picked::new(&line(kind, logger), &[1]));
        drop(endpoint);
        let beside: Vec<_> = std::fs::read_dir(place.path()).expect("a folder").flatten().collect();
        assert!(beside.iter().all(|entry| entry.file_name() == "within"), "outside its folder: {beside:?}");
        let found = files(&folder, 0);
        match written {
            Ok(()) => assert_eq!(found, [behind.matches('/').count()], "how deep the files are"),
            // A name the system does not take, such as one with a NUL.
            Err(_) => assert!(found.is_empty(), "an error and a file"),
        }
        std::fs::remove_dir_all(folder).expect("ours");
    });
}

fn line(kind: &str, logger: &str) -> Lines {
    let message = Message {
        kind: kind.to_owned(),
        timestamp: Timestamp::from_nanos(1_763_676_050_000_000_000),
        logger: logger.to_owned(),
        severity: Severity::Error,
        payload: Value::from("x"),
        fields: Fields::new(),
        pid: None,
        hostname: None,
        origin: None,
        extra: Fields::new(),
    };
    let mut lines = Lines::new();
    lines.push_with(|text| wire::write(text, &message));
    lines
}

/// How many folders down each file is. No link is followed.
fn files(folder: &Path, depth: usize) -> Vec<usize> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path(), depth + 1)),
            _ => found.push(depth),
        }
    }
    found
}
