//! The clauses of senders against real files, and what can happen to a file.

use metlog_file::FileSender;
use metlog_message::wire;
use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_testkit::{Arrived, Delivery, Peer, of_example, sample, settings};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

static FOLDERS: AtomicUsize = AtomicUsize::new(0);

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("metlog-file-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("messages.jsonl")
    }

    fn read(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Peer for Folder {
    fn sender(&mut self) -> Box<dyn Sender> {
        Box::new(FileSender::new(self.file()).expect("opens"))
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        // Also what stands in the file that was moved away.
        let all = std::fs::read_to_string(self.0.join("moved")).unwrap_or_default() + &self.read();
        all.lines().map(|line| Arrived::of_json(line.as_bytes())).collect()
    }
    fn delivery(&self) -> Delivery {
        Delivery::Exact
    }
    /// A directory takes the file's place: it cannot be opened any more.
    fn stop(&mut self) -> bool {
        std::fs::rename(self.file(), self.0.join("moved")).expect("moved");
        std::fs::create_dir(self.file()).expect("in its place");
        std::thread::sleep(Duration::from_millis(120));
        true
    }
    fn start(&mut self) {
        std::fs::remove_dir(self.file()).expect("removed");
    }
}

metlog_testkit::contract!(Folder::new());

fn open(toml: &str) -> Result<Box<dyn Sender>, String> {
    let entry = SenderEntry::find("metlog.senders.FileSender").expect("by its old name");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))()
}

fn numbers(text: &str) -> Vec<u64> {
    text.lines().map(|line| Arrived::of_json(line.as_bytes()).number).collect()
}

#[test]
fn a_file_is_appended_to() {
    let folder = Folder::new();
    for from in [0, 10] {
        let mut sender = FileSender::new(folder.file()).expect("opens");
        sender.send(&sample::lines(from, 10)).expect("written");
        sender.close(Duration::from_secs(1)).expect("closed");
    }
    assert_eq!(numbers(&folder.read()), (0..20).collect::<Vec<_>>());
}

#[test]
fn an_old_file_is_kept_or_emptied_as_told() {
    let folder = Folder::new();
    let path = folder.file();
    std::fs::write(&path, "{\"cut\": \"by a cra").expect("written");
    FileSender::new(&path).expect("opens").send(&sample::lines(0, 2)).expect("written");
    let text = folder.read();
    assert_eq!(text.lines().next(), Some("{\"cut\": \"by a cra"), "ended, not glued to the next");
    assert_eq!(numbers(text.split_once('\n').expect("two lines").1), [0, 1]);
    FileSender::new(&path).expect("opens").send(&sample::lines(2, 1)).expect("written");
    assert_eq!(folder.read().lines().count(), 4, "a whole file gets no more newlines");
    open(&format!("path = {path:?}\nappend = false")).expect("opens").send(&sample::lines(9, 1)).expect("written");
    assert_eq!(numbers(&folder.read()), [9]);
}

/// Two processes, each this test run again inside.
#[test]
fn lines_of_several_processes_stay_whole() {
    const INSIDE: &str = "METLOG_FILE_FROM";
    if let Some(told) = std::env::var_os(INSIDE) {
        let told = told.into_string().expect("UTF-8");
        let (from, path) = told.split_once(' ').expect("a number and a path");
        let from: u64 = from.parse().expect("a number");
        let mut sender = FileSender::new(path).expect("opens");
        for batch in 0..50 {
            sender.send(&sample::lines(from + batch * 40, 40)).expect("written");
        }
        return;
    }
    let folder = Folder::new();
    let again = |from: u64| {
        let mut inside = std::process::Command::new(std::env::current_exe().expect("a path"));
        inside.args(["--exact", "lines_of_several_processes_stay_whole"]);
        inside.env(INSIDE, format!("{from} {}", folder.file().display())).stdout(std::process::Stdio::null());
        inside.spawn().expect("runs")
    };
    for mut child in [again(0), again(10_000), again(20_000)] {
        assert!(child.wait().expect("ends").success());
    }
    let mut all = numbers(&folder.read());
    assert_eq!(all.len(), 6000);
    all.sort_by_key(|number| number / 10_000);
    let expected = [0..2000, 10_000..12_000, 20_000..22_000].into_iter().flatten();
    assert!(all.into_iter().eq(expected), "each process's in their order");
}

#[test]
fn rotation_by_others_is_followed() {
    let folder = Folder::new();
    let mut sender = FileSender::new(folder.file()).expect("opens");
    sender.send(&sample::lines(0, 10)).expect("written");
    let moved = folder.0.join("messages.jsonl.1");
    std::fs::rename(folder.file(), &moved).expect("renamed");
    std::thread::sleep(Duration::from_millis(120));
    sender.send(&sample::lines(10, 10)).expect("written");
    std::fs::remove_file(folder.file()).expect("removed");
    std::thread::sleep(Duration::from_millis(120));
    sender.send(&sample::lines(20, 10)).expect("written");
    assert_eq!(numbers(&std::fs::read_to_string(moved).expect("there")), (0..10).collect::<Vec<_>>());
    assert_eq!(numbers(&folder.read()), (20..30).collect::<Vec<_>>());
}

#[test]
fn it_rotates_by_itself_when_told() {
    let folder = Folder::new();
    let path = folder.file();
    let mut sender = open(&format!("path = {path:?}\nrotate_bytes = '3 kB'\nkeep = 2")).expect("opens");
    for from in (0..60).step_by(5) {
        sender.send(&sample::lines(from, 5)).expect("written");
    }
    let read = |suffix: &str| std::fs::read_to_string(format!("{}{suffix}", path.display())).unwrap_or_default();
    for file in ["", ".1", ".2"] {
        assert!((1..=3000).contains(&read(file).len()), "{file}: {}", read(file).len());
    }
    assert_eq!(read(".3"), "", "two are kept");
    let kept = [numbers(&read(".2")), numbers(&read(".1")), numbers(&read(""))].concat();
    assert_eq!(kept.last(), Some(&59));
    assert!(kept.windows(2).all(|pair| pair[0] + 1 == pair[1]), "in order, none missing: {kept:?}");
}

#[test]
fn its_own_rotation_copes_with_others() {
    let folder = Folder::new();
    let path = folder.file();
    let mut sender = open(&format!("path = {path:?}\nrotate_bytes = '3 kB'\nkeep = 0")).expect("opens");
    sender.send(&sample::lines(0, 8)).expect("written");
    std::fs::remove_file(&path).expect("removed");
    sender.send(&sample::lines(8, 8)).expect("where there is nothing to move away");
    assert_eq!(numbers(&folder.read()), (8..16).collect::<Vec<_>>());
    sender.send(&sample::lines(100, 40)).expect("larger than the limit, whole, alone");
    assert_eq!(numbers(&folder.read()), (100..140).collect::<Vec<_>>());
    assert_eq!(std::fs::read_dir(&folder.0).expect("there").count(), 1, "none is kept");
}

#[test]
fn a_full_disk_is_told_and_nothing_counts_as_sent() {
    let mut sender = open("filepath = '/dev/full'").expect("opens");
    match sender.send(&sample::lines(0, 3)) {
        Err(SendError::Retry { done, why, .. }) => {
            assert_eq!(done, 0);
            assert!(why.contains("/dev/full") && why.contains("space"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

/// A limit on the size of files cuts a write short, as a full disk does. It holds for a whole process, so a shell
/// sets it and runs this test again inside.
#[test]
fn a_torn_line_is_taken_back() {
    if std::env::var_os("METLOG_FILE_TORN").is_none() {
        let program = std::env::current_exe().expect("a path");
        let inside =
            format!("ulimit -f 2; trap '' XFSZ; exec {program:?} --exact a_torn_line_is_taken_back --nocapture");
        let output = std::process::Command::new("bash").args(["-c", &inside]).env("METLOG_FILE_TORN", "1").output();
        let output = output.expect("bash runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        return;
    }
    let folder = Folder::new();
    let mut sender = FileSender::new(folder.file()).expect("opens");
    let error = sender.send(&sample::lines(0, 20)).expect_err("only 2 KiB fit");
    let SendError::Retry { done, .. } = error else { panic!("{error:?}") };
    assert!((1..20).contains(&done), "{done}");
    assert_eq!(numbers(&folder.read()), (0..done as u64).collect::<Vec<_>>(), "whole lines, as many as it says");
    std::fs::remove_file(folder.file()).expect("removed");
    std::thread::sleep(Duration::from_millis(120));
    sender.send(&sample::lines(done as u64, 3)).expect("there is room again");
    assert_eq!(numbers(&folder.read()), (done as u64..done as u64 + 3).collect::<Vec<_>>());
}

#[test]
fn the_indented_form_reads_back() {
    let folder = Folder::new();
    let mut sender = open(&format!("filepath = {:?}\nformat = 'indented'\nsync = true", folder.file())).expect("opens");
    sender.send(&sample::lines(0, 3)).expect("written");
    let mut splitter = wire::Splitter::new(1 << 20);
    splitter.push(folder.read().as_bytes());
    for number in 0..3 {
        let Some(wire::Piece::Message(text)) = splitter.next_piece() else { panic!("three messages") };
        assert_eq!(Arrived::of_layout(&text).number, number);
    }
    assert!(folder.read().contains("\n    \"type\": \"contract\",\n"));
}

#[test]
fn wrong_settings_say_what_would_be_right() {
    let folder = Folder::new();
    let path = folder.file();
    let told = |toml: &str| open(toml).err().expect("refused");
    assert!(told("filepath = '/nowhere/at/all'").contains("there is no folder /nowhere/at"));
    let entry = SenderEntry::find("file").expect("there");
    let wrong = (entry.read)(&settings(&format!("filepath = {path:?}\nmode = '0999'"))).err().expect("refused");
    assert_eq!(wrong.to_string(), "test.toml:2:1: `mode` is `0999`; expected permissions such as `0640`");
    assert!(told(&format!("filepath = {:?}", folder.0)).contains("cannot be opened"));
    open(&format!("filepath = {path:?}\nmode = '0600'")).expect("opens");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }
    (entry.read)(&of_example(entry.example)).map(drop).unwrap_or_else(|problems| panic!("{problems}"));
}
