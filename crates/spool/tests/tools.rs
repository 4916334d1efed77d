//! The tools for a spool nobody has open.

mod common;

use common::{Place, append, drain, open, small};
use metlog_spool::simulated::Simulated;
use metlog_spool::tools::{Action, Filter, check, examine, export, extract, mend, repair};

fn sample() -> Simulated {
    let fs = Simulated::new();
    let (spool, _) = open(fs.clone(), small());
    spool.slot("files", true).unwrap();
    spool.slot("pager", true).unwrap();
    for round in 0..30 {
        append(&spool, &[(&format!("{round} {}", "z".repeat(100)), 1 + round % 2), ("both", 3)]).unwrap();
    }
    spool.close();
    fs.kill()
}

#[test]
fn a_whole_spool_is_called_whole() {
    let fs = sample();
    let mut steps = Vec::new();
    let report = examine(&fs, &mut |done, all| steps.push((done, all))).unwrap();
    assert!(report.is_whole() && report.clean, "{report:?}");
    assert_eq!(report.segments.iter().map(|segment| segment.messages).sum::<u64>(), 60);
    assert_eq!(report.segments.iter().map(|segment| segment.frames).sum::<u64>(), 30);
    assert_eq!(report.cursors, [("files".to_owned(), 0, 1), ("pager".to_owned(), 1, 1)]);
    assert!(steps.is_sorted() && steps.last().is_some_and(|(done, all)| done == all), "{steps:?}");
    let plan = mend(&fs, true, &mut |_, _| ()).unwrap();
    assert_eq!(plan.actions, []);
}

#[test]
fn messages_come_out_as_they_went_in() {
    let fs = sample();
    let text = |filter: &Filter| {
        let mut out = Vec::new();
        let count = extract(&fs, &mut out, filter, &mut |_, _| ()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count() as u64, count);
        text
    };
    assert_eq!(text(&Filter::default()).lines().count(), 60);
    assert_eq!(text(&Filter { ids: 2..5, slot: None }), format!("both\n1 {}\nboth\n", "z".repeat(100)));
    assert_eq!(text(&Filter { slot: Some(1), ..Filter::default() }).lines().count(), 45);
    assert_eq!(text(&Filter { slot: Some(63), ..Filter::default() }), "");
}

#[test]
fn repair_says_first_and_then_does() {
    let fs = sample();
    let names: Vec<String> = fs.names().into_iter().filter(|name| name.ends_with(".mls")).collect();
    let (first, last) = (&names[0], names.last().unwrap());
    // A frame in the middle of the first file, half a frame behind the last, and something that is no segment.
    let mut content = fs.content(first).unwrap();
    content[900] ^= 4;
    fs.set_content(first, &content);
    let mut content = fs.content(last).unwrap();
    content.extend(*b"half a frame");
    let length = content.len() as u64;
    fs.set_content(last, &content);
    fs.set_content("seg-00000000000000000700.mls", b"nothing");
    let report = examine(&fs, &mut |_, _| ()).unwrap();
    assert!(!report.is_whole());
    assert_eq!(report.segments[0].damage.len(), 1);
    assert_eq!(report.segments[0].damage[0].messages, 2);
    let before = fs.names();
    let plan = mend(&fs, false, &mut |_, _| ()).unwrap();
    assert!(!plan.applied && fs.names() == before);
    assert!(
        matches!(&plan.actions[..], [Action::SetAside { .. }, Action::Keep { .. }, Action::Cut { bytes: 12, .. }]),
        "{plan:?}"
    );
    let plan = mend(&fs, true, &mut |_, _| ()).unwrap();
    assert!(plan.applied);
    assert_eq!(fs.content(last).unwrap().len() as u64, length - 12);
    assert_eq!(fs.names().iter().filter(|name| name.starts_with("quarantine/")).count(), 3, "{:?}", fs.names());
    // Doing it twice changes nothing more.
    mend(&fs, true, &mut |_, _| ()).unwrap();
    let (spool, recovery) = open(fs.clone(), small());
    assert_eq!(recovery.torn_bytes, 0, "{recovery:?}");
    assert_eq!(drain(&mut spool.reader(1), 1).0.len(), 45 - 2);
}

#[test]
fn on_a_real_disk_too() {
    let place = Place::new("tools");
    let (spool, _) = open(place.disk(), small());
    append(&spool, &[("m", 1)]).unwrap();
    // To look is allowed while somebody has it; to mend is not.
    assert_eq!(check(&place.0, &mut |_, _| ()).unwrap().segments.len(), 1);
    assert!(repair(&place.0, true, &mut |_, _| ()).unwrap_err().to_string().contains("belongs to process"));
    spool.close();
    drop(spool);
    assert!(repair(&place.0, true, &mut |_, _| ()).unwrap().report.is_whole());
    let mut out = Vec::new();
    assert_eq!(export(&place.0, &mut out, &Filter::default(), &mut |_, _| ()).unwrap(), 1);
    assert_eq!(out, b"m\n");
    let nowhere = place.0.join("nowhere");
    assert!(check(&nowhere, &mut |_, _| ()).is_err() && repair(&nowhere, true, &mut |_, _| ()).is_err());
    assert!(!nowhere.exists());
}
