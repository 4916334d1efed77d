//! The endpoint against real folders, and what can happen to them.
#![cfg(unix)]

use metlog_file as _;
use metlog_message::{Lines, Message, Timestamp, wire};
use metlog_pipeline::{Endpoint, EndpointEntry, Picked, SendError};
use metlog_testkit::{eventually, sample, settings};
use proptest::prelude::*;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

static FOLDERS: AtomicUsize = AtomicUsize::new(0);

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self::within(std::env::temp_dir())
    }

    /// In memory where there is such a place: for very many files, which some file systems make slowly.
    fn for_many() -> Self {
        let memory = PathBuf::from("/dev/shm");
        Self::within(if memory.is_dir() { memory } else { std::env::temp_dir() })
    }

    fn within(path: PathBuf) -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = path.join(format!("metlog-file-endpoint-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn open(&self, path: &str, more: &str) -> Box<dyn Endpoint> {
        open(&self.0.join(path), more).unwrap_or_else(|why| panic!("{why}"))
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.join(path)).unwrap_or_default()
    }

    /// All files beneath, by their paths in it.
    fn files(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("there") {
                let path = entry.expect("an entry").path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else {
                    all.push(path.strip_prefix(&self.0).expect("beneath").to_string_lossy().into_owned());
                }
            }
        }
        all.sort();
        all
    }

    /// The numbers in a file and in all that was rotated from it, oldest first.
    fn everything(&self, live: &str) -> Vec<u64> {
        let mut shelved: Vec<String> =
            self.files().into_iter().filter(|path| path.starts_with(&format!("{live}@2"))).collect();
        shelved.push(live.to_owned());
        shelved.iter().flat_map(|path| numbers(&unpacked(&self.0.join(path)))).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn unpacked(path: &Path) -> String {
    let Ok(bytes) = std::fs::read(path) else { return String::new() };
    let mut text = String::new();
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => drop(flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("whole")),
        Some("zst") => text = String::from_utf8(zstd::decode_all(&bytes[..]).expect("whole")).expect("UTF-8"),
        _ => text = String::from_utf8(bytes).expect("UTF-8"),
    }
    text
}

fn open(path: &Path, more: &str) -> Result<Box<dyn Endpoint>, String> {
    let entry = EndpointEntry::find("file").expect("registered");
    let settings = settings(&format!("path = {path:?}\n{more}"));
    (entry.read)(&settings).unwrap_or_else(|problems| panic!("{problems}"))()
}

fn numbers(text: &str) -> Vec<u64> {
    text.lines().map(|line| sample::number(line.as_bytes()).unwrap_or_else(|| panic!("whole: {line}"))).collect()
}

fn write(endpoint: &mut dyn Endpoint, lines: &Lines) -> Result<(), SendError> {
    let ids: Vec<u64> = (0..lines.len() as u64).collect();
    endpoint.write(&Picked::new(lines, &ids))
}

fn line(message: &Message) -> Vec<u8> {
    let mut line = Vec::new();
    wire::write(&mut line, message);
    line
}

/// A message of this number, type and logger.
fn from(number: u64, kind: &str, logger: &str) -> Message {
    let mut message = sample::message(number);
    message.kind = kind.into();
    message.logger(logger)
}

#[test]
fn one_file_gets_the_bytes_as_they_are() {
    let folder = Folder::new();
    let strange =
        br#"{"type" :"x","timestamp":"2026-11-20T22:00:50Z","logger":"","severity":6,"payload":1e0,"fields":{}}"#;
    let lines: Lines = [strange.to_vec(), sample::line(1)].into_iter().collect();
    let mut endpoint = folder.open("not/there/yet/all.jsonl", "");
    for _ in 0..2 {
        write(&mut *endpoint, &lines).expect("written");
    }
    endpoint.close(Duration::from_secs(1)).expect("closed");
    assert_eq!(folder.read("not/there/yet/all.jsonl").as_bytes(), [lines.bytes(), lines.bytes()].concat());
}

#[test]
fn messages_are_sorted_into_files() {
    let folder = Folder::new();
    let mut endpoint = folder.open("{type}/{logger}-{severity}-{date}-{hour}.jsonl", "sync = 'batch'");
    let mut late = from(3, "b", "y");
    late.timestamp = Timestamp::parse("2026-12-31T23:59:59.999999+01:00").expect("a moment");
    let messages = [from(0, "a", "x"), from(1, "b", "x"), from(2, "a", "x"), late, from(4, "a", "x")];
    for _ in 0..2 {
        write(&mut *endpoint, &messages.iter().map(line).collect()).expect("written");
    }
    let of_x = "x-notice-2026-11-20-22.jsonl";
    let expected = [format!("a/{of_x}"), format!("b/{of_x}"), "b/y-notice-2026-12-31-22.jsonl".to_owned()];
    assert_eq!(folder.files(), expected);
    assert_eq!(numbers(&folder.read(&expected[0])), [0, 2, 4, 0, 2, 4], "in their order");
    assert_eq!(numbers(&folder.read(&expected[1])), [1, 1]);
}

#[test]
fn forms_for_people_are_one_message_each_whatever_it_holds() {
    let folder = Folder::new();
    let nasty = sample::nasty();
    let lines: Lines = nasty.iter().map(|payload| line(&sample::message(1).payload(payload.as_str()))).collect();
    let mut endpoint = folder.open("text.log", "format = 'pretty'");
    write(&mut *endpoint, &lines).expect("written");
    let text = folder.read("text.log");
    assert_eq!(text.lines().count(), nasty.len());
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "nothing moves a cursor");
    let first = "2026-11-20T22:00:50.001000Z notice        metlog.tests: [contract]  number=1\n";
    assert!(text.starts_with(first), "{text}");
    let mut endpoint = folder.open("{type}.json", "format = 'indented'");
    write(&mut *endpoint, &sample::lines(0, 3)).expect("written");
    let mut splitter = wire::Splitter::new(1 << 20);
    splitter.push(folder.read("contract.json").as_bytes());
    for number in 0..3 {
        let Some(wire::Piece::Message(text)) = splitter.next_piece() else { panic!("three messages") };
        assert_eq!(sample::number(&text), Some(number));
    }
}

/// What senders choose: paths, dots, controls, other alphabets, too much of it.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "..",
        ".",
        "/",
        "\\",
        "%2e%2e%2f",
        "\u{0}",
        "\n",
        "~",
        "@",
        "-",
        "link",
        "a",
        "B9",
        "\u{2024}\u{2024}",
        "\u{ff0e}",
        "\u{2215}",
        "é",
        "日本",
        "\u{202e}",
        "C:",
        "|",
        "$(id)",
        "etc/passwd",
        "{logger}",
        "{type}",
        " ",
        "😀",
        "x.jsonl@20261121T074300.123456Z",
    ]);
    let built = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    let long = (0_usize..600).prop_map(|count| "../".repeat(count));
    let any = prop::collection::vec(any::<char>(), 0..12).prop_map(String::from_iter);
    prop_oneof![8 => built, 1 => long, 3 => any]
}

/// 10^5 pairs of values.
#[test]
fn no_value_leaves_the_base() {
    const BATCH: usize = 250;
    let folder = Folder::for_many();
    let outside = folder.0.join("outside");
    std::fs::create_dir_all(&outside).expect("made");
    std::fs::create_dir_all(folder.0.join("base/one")).expect("made");
    // Links where messages lead to: a folder, a file that is there, one that is not.
    std::fs::write(outside.join("kept"), "kept").expect("written");
    std::os::unix::fs::symlink(&outside, folder.0.join("base/link")).expect("linked");
    std::os::unix::fs::symlink(outside.join("kept"), folder.0.join("base/one/link.jsonl")).expect("linked");
    std::os::unix::fs::symlink(outside.join("new"), folder.0.join("base/one/a.jsonl")).expect("linked");
    let mut written = 0;
    let mut refused = 0;
    let mut runner = prop::test_runner::TestRunner::deterministic();
    let values = (hostile(), hostile());
    let mut generated = || {
        use prop::strategy::ValueTree;
        values.new_tree(&mut runner).expect("values").current()
    };
    for round in 0..100_000 / BATCH {
        // Each round begins a new hour for the cap on names.
        let mut endpoint = folder.open("base/{type}/{logger}.jsonl", "sync = 'never'");
        let mut lines: Lines = (0..BATCH - 4)
            .map(|number| {
                let (kind, logger) = generated();
                line(&from((round * BATCH + number) as u64, &kind, &logger))
            })
            .collect();
        for (kind, logger) in [("link", "x"), ("one", "link"), ("one", "a"), ("..", "..")] {
            lines.push(&line(&from(0, kind, logger)));
        }
        match write(&mut *endpoint, &lines) {
            Err(SendError::Refuse { which, why }) => {
                assert!(which.ends_with(&[BATCH - 4, BATCH - 3, BATCH - 2]), "{which:?} {why}");
                refused += which.len();
                written += BATCH - which.len();
            }
            other => panic!("{other:?}"),
        }
        endpoint.close(Duration::from_secs(1)).expect("closed");
        if round % 100 == 99 {
            let files = folder.files();
            let lines: usize = files
                .iter()
                .filter(|path| path.starts_with("base") && !folder.0.join(path).is_symlink())
                .map(|path| {
                    let (kind, file) = path.strip_prefix("base/").and_then(|path| path.split_once('/')).expect(path);
                    let logger = file.strip_suffix(".jsonl").expect("nothing is on a shelf");
                    for name in [kind, logger] {
                        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
                        assert!(name.chars().all(plain) && !name.contains("..") && name.len() <= 100, "{path}");
                        assert!(!name.starts_with(['.', '-']) && !name.is_empty(), "{path}");
                    }
                    folder.read(path).lines().count()
                })
                .sum();
            assert_eq!(lines, written, "each is somewhere beneath");
        }
    }
    assert_eq!(written + refused, 100_000);
    assert!(refused >= 1200 && written > 90_000, "{written} written, {refused} refused");
    assert_eq!(folder.files().iter().filter(|path| !path.starts_with("base")).collect::<Vec<_>>(), ["outside/kept"]);
    assert_eq!(folder.read("outside/kept"), "kept");
}

#[test]
fn new_names_have_an_end_and_known_ones_go_on() {
    let folder = Folder::for_many();
    let mut endpoint = folder.open("{logger}.jsonl", "sync = 'never'");
    let lines: Lines = (0..10_010).map(|number| line(&from(number, "x", &format!("l{number}")))).collect();
    match write(&mut *endpoint, &lines) {
        Err(SendError::Refuse { which, why }) => {
            assert_eq!(which, (10_000..10_010).collect::<Vec<_>>());
            assert!(why.contains("10000 different files"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(folder.files().len(), 10_000);
    write(&mut *endpoint, &[line(&from(0, "x", "l0"))].into_iter().collect()).expect("known");
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    assert!(open < 400, "{open} descriptors, in all tests together");
}

#[test]
fn what_was_written_of_a_batch_is_not_written_again() {
    let folder = Folder::new();
    let mut endpoint = folder.open("{type}/{logger}.jsonl", "");
    let locked = folder.0.join("c/x.jsonl");
    std::fs::create_dir(folder.0.join("c")).expect("made");
    std::fs::write(&locked, "").expect("written");
    // Permissions do not hold the superuser back.
    let permit = |mode: u32, flag: &str| {
        std::fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("permitted");
        let _ = Command::new("chattr").arg(flag).arg(&locked).stderr(Stdio::null()).status();
    };
    permit(0o400, "+i");
    if std::fs::OpenOptions::new().append(true).open(&locked).is_ok() {
        println!("SKIPPED: nothing keeps this user from writing to a file here");
        return;
    }
    let messages = [from(0, "a", "x"), from(1, "c", "x"), from(2, "b", "x"), from(3, "a", "x")];
    let lines: Lines = messages.iter().map(line).collect();
    let pause = endpoint.write(&Picked::new(&lines, &[7, 8, 9, 12])).expect_err("not permitted");
    assert!(matches!(&pause, SendError::Pause { why } if why.contains("c/x.jsonl")), "{pause:?}");
    let _ = Command::new("chattr").arg("-i").arg(&locked).stderr(Stdio::null()).status();
    permit(0o600, "-i");
    endpoint.write(&Picked::new(&lines, &[7, 8, 9, 12])).expect("written");
    assert_eq!(numbers(&folder.read("a/x.jsonl")), [0, 3]);
    assert_eq!(numbers(&folder.read("b/x.jsonl")), [2]);
    assert_eq!(numbers(&folder.read("c/x.jsonl")), [1]);
    // The same messages later, by other ids, are other messages.
    endpoint.write(&Picked::new(&lines, &[20, 21, 22, 23])).expect("written");
    assert_eq!(numbers(&folder.read("a/x.jsonl")), [0, 3, 0, 3]);
}

#[test]
fn size_rotates_between_batches_and_so_many_are_kept() {
    let folder = Folder::new();
    let mut endpoint = folder.open("all.jsonl", "rotate_bytes = '3 kB'\nkeep_files = 0");
    for batch in 0..12 {
        write(&mut *endpoint, &sample::lines(batch * 5, 5)).expect("written");
    }
    endpoint.close(Duration::from_secs(1)).expect("closed");
    assert_eq!(folder.everything("all.jsonl"), (0..60).collect::<Vec<_>>());
    let sizes: Vec<u64> =
        folder.files().iter().map(|path| folder.0.join(path).metadata().expect("there").len()).collect();
    assert!(sizes.len() > 4 && sizes.iter().all(|size| (1..=3000).contains(size)), "{sizes:?}");
    // A batch that is larger goes whole, alone; with it the limit of two is enforced.
    let mut endpoint = folder.open("all.jsonl", "rotate_bytes = '3 kB'\nkeep_files = 2\ncompress = 'gzip'");
    write(&mut *endpoint, &sample::lines(60, 40)).expect("written");
    write(&mut *endpoint, &sample::lines(100, 1)).expect("written");
    assert!(eventually(Duration::from_secs(10), || folder.files().iter().filter(|path| path.ends_with(".gz")).count()
        == 2
        && folder.files().len() == 3));
    let kept = folder.everything("all.jsonl");
    assert!(kept.len() > 40 && kept.ends_with(&[99, 100]) && kept.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert_eq!(numbers(&folder.read("all.jsonl")), [100]);
}

#[test]
fn an_exact_fit_is_not_rotated() {
    let folder = Folder::new();
    let (first, second) = (sample::lines(0, 4), sample::lines(4, 4));
    let limit = first.bytes().len() + second.bytes().len();
    let mut endpoint = folder.open("{type}.jsonl", &format!("rotate_bytes = {limit}"));
    write(&mut *endpoint, &first).expect("written");
    write(&mut *endpoint, &second).expect("written");
    assert_eq!(folder.files(), ["contract.jsonl"]);
    write(&mut *endpoint, &sample::lines(8, 1)).expect("written");
    assert_eq!(folder.files().len(), 2);
    assert_eq!(folder.everything("contract.jsonl"), (0..9).collect::<Vec<_>>());
}

#[test]
fn the_clock_rotates_files_of_the_period_before() {
    let folder = Folder::new();
    let old = folder.0.join("all.jsonl");
    std::fs::write(&old, sample::lines(0, 2).bytes()).expect("written");
    let file = std::fs::OpenOptions::new().append(true).open(&old).expect("opens");
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(86_400)).expect("a day old");
    let mut endpoint = folder.open("all.jsonl", "rotate_every = '24h'");
    endpoint.tick().expect("rotated without a message");
    assert_eq!(folder.read("all.jsonl"), "");
    write(&mut *endpoint, &sample::lines(2, 2)).expect("written");
    endpoint.tick().expect("nothing to do");
    assert_eq!(folder.everything("all.jsonl"), [0, 1, 2, 3]);
    drop(endpoint);
    let mut endpoint = folder.open("{logger}.jsonl", "rotate_every = '100ms'");
    for number in 0..3 {
        write(&mut *endpoint, &sample::lines(number, 1)).expect("written");
        std::thread::sleep(Duration::from_millis(110));
    }
    endpoint.tick().expect("rotated");
    assert_eq!(folder.everything("metlog.tests.jsonl"), [0, 1, 2]);
    let shelved = folder.files().iter().filter(|path| path.starts_with("metlog.tests.jsonl@")).count();
    assert_eq!(shelved, 3);
}

#[test]
fn whatever_compression_was_cut_short_at_nothing_is_lost_or_there_twice() {
    let folder = Folder::new();
    let shelf = |hour: u64| format!("a/x.jsonl@20261121T{hour:02}0000.000000Z");
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.0.join(name), bytes).expect("written");
    let packed = |lines: &Lines| zstd::encode_all(lines.bytes(), 0).expect("packed");
    std::fs::create_dir(folder.0.join("a")).expect("made");
    // Not begun; half made; whole and not named; whole, with the plain one still there; done.
    put(&shelf(1), sample::lines(0, 5).bytes());
    put(&shelf(2), sample::lines(5, 5).bytes());
    put(&format!("{}.zst.tmp", shelf(2)), &packed(&sample::lines(5, 5))[..20]);
    put(&shelf(3), sample::lines(10, 5).bytes());
    put(&format!("{}.zst.tmp", shelf(3)), &packed(&sample::lines(10, 5)));
    put(&shelf(4), sample::lines(15, 5).bytes());
    put(&format!("{}.zst", shelf(4)), &packed(&sample::lines(15, 5)));
    put(&format!("{}.zst", shelf(5)), &packed(&sample::lines(20, 5)));
    // Not ours, in spite of the looks.
    for name in
        ["a/x.txt@20261121T010000.000000Z.gz.tmp", "a/x.jsonl@yesterday.tmp", "y.jsonl@20261121T010000.000000Z.tmp"]
    {
        put(name, b"kept");
    }
    let mut endpoint = folder.open("{type}/{logger}.jsonl", "rotate_bytes = '1 MiB'\ncompress = 'zstd'");
    let wanted: Vec<String> = (1..=5).map(|hour| format!("{}.zst", shelf(hour))).collect();
    let there = || folder.files().into_iter().filter(|path| path.starts_with("a/x.jsonl@2026")).collect::<Vec<_>>();
    assert!(eventually(Duration::from_secs(10), || there() == wanted), "{:?}", there());
    endpoint.tick().expect("no trouble");
    endpoint.close(Duration::from_secs(1)).expect("closed");
    assert_eq!(folder.everything("a/x.jsonl"), (0..25).collect::<Vec<_>>());
    assert_eq!(folder.files().len(), 8, "what is not ours stays");
}

/// Killed at any moment, ten times, each time in another process: this test again.
#[test]
fn killed_while_it_rotates_and_compresses() {
    const INSIDE: &str = "METLOG_FILE_KILLED";
    if let Some(told) = std::env::var_os(INSIDE) {
        let told = told.into_string().expect("UTF-8");
        let (from, path) = told.split_once(' ').expect("a number and a path");
        let mut next: u64 = from.parse().expect("a number");
        let more = "rotate_bytes = '40 kB'\nkeep_files = 0\ncompress = 'gzip'\nsync = 'never'";
        let mut endpoint = open(Path::new(path), more).expect("opens");
        loop {
            write(&mut *endpoint, &sample::lines(next, 20)).expect("written");
            next += 20;
            println!("\nwritten {next}");
            // So that compressing keeps up, and is what the kill meets.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let folder = Folder::new();
    let mut next = 0;
    for round in 0..10 {
        let mut inside = Command::new(std::env::current_exe().expect("a path"));
        inside.args(["--exact", "killed_while_it_rotates_and_compresses", "--nocapture"]);
        inside.env(INSIDE, format!("{next} {}", folder.0.join("all.jsonl").display()));
        let mut child = inside.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
        std::thread::sleep(Duration::from_millis(60 + round * 23));
        child.kill().expect("killed");
        let mut said = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
        child.wait().expect("ended");
        let told = said.lines().filter_map(|line| line.strip_prefix("written ")?.parse().ok()).max().unwrap_or(next);
        // What the process wrote and could not tell any more.
        next = folder.everything_mended().into_iter().max().map_or(0, |last| last + 1);
        assert!(next >= told, "{next} are there, {told} were told");
        next = next.max(told);
    }
    assert!(next > 200, "only {next}");
    let mut endpoint = folder.open("all.jsonl", "rotate_bytes = '40 kB'\nkeep_files = 0\ncompress = 'gzip'");
    assert!(eventually(Duration::from_secs(10), || folder
        .files()
        .iter()
        .all(|path| path == "all.jsonl" || path.ends_with(".gz"))));
    endpoint.close(Duration::from_secs(1)).expect("closed");
    let all = folder.everything_mended();
    assert_eq!(all.len() as u64, next, "none is missing, none is there twice");
    assert!(all.into_iter().eq(0..next), "in order");
}

impl Folder {
    /// As [`Folder::everything`] of `all.jsonl`, with what a kill left half-done read as the next start reads it.
    fn everything_mended(&self) -> Vec<u64> {
        let files = self.files();
        let mut shelved: Vec<&String> = files
            .iter()
            .filter(|path| path.starts_with("all.jsonl@") && !path.ends_with(".tmp"))
            .filter(|path| !files.contains(&format!("{path}.gz")))
            .collect();
        let live = "all.jsonl".to_owned();
        shelved.push(&live);
        // A kill may cut a write short, and the line with it; it is ended by the next start and was not told as written.
        let texts: Vec<String> = shelved.iter().map(|path| unpacked(&self.0.join(path))).collect();
        let numbers: Vec<Option<u64>> =
            texts.iter().flat_map(|text| text.lines().map(|line| sample::number(line.as_bytes()))).collect();
        let torn = numbers.iter().filter(|number| number.is_none()).count();
        assert!(torn <= 10, "{torn} lines are torn after ten kills");
        numbers.into_iter().flatten().collect()
    }
}

#[test]
fn a_file_cut_short_by_a_crash_is_mended() {
    for path in ["all.jsonl", "{type}.jsonl"] {
        let folder = Folder::new();
        let name = path.replace("{type}", "contract");
        std::fs::write(folder.0.join(&name), "{\"cut\": \"by a cra").expect("written");
        write(&mut *folder.open(path, ""), &sample::lines(0, 2)).expect("written");
        let text = folder.read(&name);
        let (first, rest) = text.split_once('\n').expect("lines");
        assert_eq!(first, "{\"cut\": \"by a cra", "ended, not glued to the next");
        assert_eq!(numbers(rest), [0, 1]);
    }
}

#[test]
fn moved_files_are_followed_and_reopened_when_told() {
    for path in ["logs/all.jsonl", "logs/{type}.jsonl"] {
        let folder = Folder::new();
        let name = path.replace("{type}", "contract");
        let mut endpoint = folder.open(path, "");
        write(&mut *endpoint, &sample::lines(0, 2)).expect("written");
        let away = |to: &str| std::fs::rename(folder.0.join(&name), folder.0.join(to)).expect("renamed");
        away("1");
        endpoint.reopen();
        write(&mut *endpoint, &sample::lines(2, 2)).expect("written at once");
        away("2");
        std::thread::sleep(Duration::from_millis(120));
        write(&mut *endpoint, &sample::lines(4, 2)).expect("found out");
        std::fs::rename(folder.0.join("logs"), folder.0.join("old")).expect("the folder itself");
        endpoint.tick().expect("found out");
        std::thread::sleep(Duration::from_millis(120));
        write(&mut *endpoint, &sample::lines(6, 2)).expect("written");
        let file = name.strip_prefix("logs/").expect("a name");
        let found = ["1", "2", &format!("old/{file}"), &name].map(|path| numbers(&folder.read(path)));
        assert_eq!(found, [[0, 1], [2, 3], [4, 5], [6, 7]]);
    }
}

/// On a file system of its own, which is so small that it fills up, in a process of its own: this test again.
#[test]
fn a_full_disk_keeps_whole_lines_and_goes_on_when_there_is_room() {
    const INSIDE: &str = "METLOG_FILE_FULL";
    let folder = Folder::new();
    if std::env::var_os(INSIDE).is_none() {
        let program = std::env::current_exe().expect("a path");
        let script = format!(
            "mount -t tmpfs -o size=64k none {:?} || exit 77
            exec {program:?} --exact a_full_disk_keeps_whole_lines_and_goes_on_when_there_is_room --nocapture",
            folder.0
        );
        let inside = |more: &[&str]| {
            let mut command = Command::new("unshare");
            command.args(more).args(["-m", "sh", "-c", &script]).env(INSIDE, &folder.0).output().expect("unshare")
        };
        let mut output = inside(&["-r"]);
        if output.status.code() != Some(0) && output.status.code() != Some(101) {
            output = inside(&[]);
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {}
            Some(101) => panic!("{said}"),
            _ => println!("SKIPPED: nothing can be mounted here: {said}"),
        }
        return;
    }
    let folder = Folder(PathBuf::from(std::env::var_os(INSIDE).expect("told")));
    for (path, more) in [("all.jsonl", ""), ("{type}.jsonl", "sync = 'batch'"), ("{type}.txt", "format = 'indented'")] {
        let name = path.replace("{type}", "contract");
        let mut endpoint = folder.open(path, more);
        let ballast = folder.0.join("ballast");
        std::fs::write(&ballast, vec![0; 40_000]).expect("fits");
        let ids: Vec<u64> = (0..130).collect();
        let mut done = 0;
        let mut write = |done: usize| {
            let left = ids.get(done..).expect("not more than there are");
            let lines: Lines = left.iter().map(|number| sample::line(*number)).collect();
            endpoint.write(&Picked::new(&lines, left))
        };
        for round in 0..3 {
            let Err(SendError::Retry { done: more, why, .. }) = write(done) else { panic!("there is no room") };
            assert!(why.contains(&name) && why.contains("space"), "{why}");
            assert!(if round == 0 { more > 10 } else { more == 0 }, "{more}");
            done += more;
            assert!(messages(&folder.read(&name)).into_iter().eq(0..done as u64), "whole ones, as many as it says");
        }
        std::fs::remove_file(&ballast).expect("room");
        write(done).expect("there is room again");
        assert_eq!(messages(&folder.read(&name)), ids);
        drop(endpoint);
        std::fs::remove_file(folder.0.join(&name)).expect("removed");
    }
}

/// The numbers of messages one behind the other, however they are laid out; each is whole.
fn messages(text: &str) -> Vec<u64> {
    let mut splitter = wire::Splitter::new(1 << 20);
    splitter.push(text.as_bytes());
    std::iter::from_fn(|| splitter.finish())
        .map(|piece| match piece {
            wire::Piece::Message(text) => sample::number(&text).expect("whole"),
            oversized => panic!("{oversized:?}"),
        })
        .collect()
}

#[test]
fn wrong_settings_say_what_would_be_right() {
    let folder = Folder::new();
    let entry = EndpointEntry::find("file").expect("registered");
    for (path, more, place, right) in [
        ("{loger}.jsonl", "", "1:1", "did you mean {logger}?"),
        ("{type.jsonl", "", "1:1", "other half"),
        ("type}.jsonl", "", "1:1", "other half"),
        ("{type}/../x", "", "1:1", "cannot stand behind a placeholder"),
        ("{type}/", "", "1:1", "cannot stand behind a placeholder"),
        ("{type}{type}{type}", "", "1:1", "300 bytes"),
        ("{type}{logger}-{date}.jsonlines-for-the-archive", "rotate_bytes = '1 MiB'", "1:1", "if it is rotated"),
        ("", "", "1:1", "expected a file"),
        ("logs/", "", "1:1", "expected a file"),
        ("..", "", "1:1", "expected a file"),
        ("x", "mode = 'rw'", "2:1", "such as `0640`"),
        ("x", "compress = 'gzip'", "2:1", "rotate_bytes"),
    ] {
        let why = (entry.read)(&settings(&format!("path = {path:?}\n{more}"))).err().expect("refused").to_string();
        assert!(why.starts_with(&format!("test.toml:{place}: `")) && why.contains(right), "{path}: {why}");
    }
    let told = |path: &str| open(&folder.0.join(path), "").err().expect("refused");
    std::fs::write(folder.0.join("file"), "").expect("written");
    assert!(told("file/{type}").contains("cannot be opened"));
    assert!(told(".").contains("cannot be opened"));
    assert_eq!(folder.files(), ["file"]);
}

#[test]
fn the_example_is_a_configuration() {
    let entry = EndpointEntry::find("file").expect("registered");
    let root = settings(entry.example);
    let mut section = root.get("endpoints").and_then(|all| all.get("archive")).cloned().expect("the section");
    section.as_table_mut().expect("a table").remove("type");
    (entry.read)(&section).map(drop).unwrap_or_else(|problems| panic!("{problems}"));
    // With every comment in it taken away, too.
    let whole: String =
        entry.example.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line))).collect();
    let root = settings(&whole);
    let mut section = root.get("endpoints").and_then(|all| all.get("archive")).cloned().expect("the section");
    section.as_table_mut().expect("a table").remove("type");
    (entry.read)(&section).map(drop).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(section.as_table_mut().expect("a table").iter().count(), 8);
}
