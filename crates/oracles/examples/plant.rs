//! Writes the stored inputs of the oracle `spool` anew, for when the journal's files have changed: real ones, whole, as
//! a closed spool and as a killed process leave them, and in parts.

use metlog_message::Batch;
use metlog_spool::simulated::Simulated;
use metlog_spool::{Options, Spool};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/spool");
    std::fs::create_dir_all(&folder)?;
    let write = |name: &str, flags: u8, files: &[(u8, Vec<u8>)]| {
        let mut out = vec![flags];
        for (which, content) in files {
            out.push(*which);
            out.extend((content.len() as u16).to_le_bytes());
            out.extend_from_slice(content);
        }
        std::fs::write(folder.join(name), out)
    };
    let closed = planted(true)?;
    let killed = planted(false)?;
    write("closed", 0, &closed)?;
    write("killed", 0, &killed)?;
    write("closed-resealed", 1, &closed)?;
    write("killed-resealed", 1, &killed)?;
    write("other-names-resealed", 3, &killed)?;
    write("nothing", 0, &[])?;
    let without = |out: u8| closed.iter().filter(|(which, _)| *which != out).cloned().collect::<Vec<_>>();
    write("without-state", 1, &without(0))?;
    write("without-first", 1, &without(1))?;
    write("state-alone", 1, closed.get(..1).unwrap_or_default())?;
    let mut mixed = closed.clone();
    mixed.iter_mut().filter(|(which, _)| *which > 0).for_each(|(which, _)| *which = 3 - *which);
    write("mixed-up", 1, &mixed)?;
    write("zeros", 0, &[(0, vec![0; 40]), (1, vec![0; 700])])?;
    Ok(())
}

/// A file: which one, and what is in it.
type File = (u8, Vec<u8>);

/// The state and two segments, numbered as in the inputs.
fn planted(close: bool) -> Result<Vec<File>, Box<dyn Error>> {
    let fs = Simulated::new();
    let options = Options { segment_bytes: 1100, window_bytes: 600, free_floor: 0, ..Options::default() };
    let (spool, _) = Spool::open(fs.clone(), options)?;
    let (files, pager) = (spool.slot("files", true)?, spool.slot("pager", false)?);
    for round in 0..4_u64 {
        let mut batch = Batch::new();
        for at in 0..3 {
            batch.push(format!("{{\"type\":\"t\",\"payload\":\"{round} {at}\"}}").as_bytes(), 1 + (round + at) % 3);
        }
        spool.append(batch).map_err(|(_, error)| error)?;
    }
    spool.reader(files).commit_durably(4, 3)?;
    spool.reader(pager).commit_durably(0, 0)?;
    let fs = if close {
        spool.close();
        fs
    } else {
        fs.kill()
    };
    let mut planted = Vec::new();
    for name in fs.names() {
        let mut content = fs.content(&name).ok_or("listed and not there")?;
        let number = match name.as_str() {
            "state" => {
                // The first of its two places is enough.
                content.truncate(content.iter().take(60_000).rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
                0
            }
            name => {
                println!("{name}: {} bytes", content.len());
                let first: u64 = name
                    .strip_prefix("seg-")
                    .and_then(|name| name.strip_suffix(".mls"))
                    .ok_or("a stranger")?
                    .parse()?;
                1 + (first - 1) / 6
            }
        };
        planted.push((u8::try_from(number)?, content));
    }
    planted.sort();
    Ok(planted)
}
