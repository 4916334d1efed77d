//! The endpoint against a real file, and what can happen to it.

mod support;

use metlog_message::message::Origin;
use metlog_message::{Message, Timestamp};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, SendError};
use metlog_query::{Change, Narrow, Store, StoreEntry, Trouble};
use metlog_settings::{Size, Span};
use metlog_store::{Config, StoreEndpoint};
use metlog_testkit::{eventually, settings};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Folder, Writing, found, is_whole, message, positions, raw, reading, word};

fn rows_in(path: &std::path::Path, table: &str) -> i64 {
    let connection = rusqlite::Connection::open(path).expect("opens");
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counted")
}

/// How many messages the index of words has this one of, gone or not.
fn hits_in(path: &std::path::Path, word: &str) -> i64 {
    let connection = rusqlite::Connection::open(path).expect("opens");
    let mut numbers = connection.prepare("SELECT number FROM generations").expect("sql");
    let numbers = numbers.query_map([], |row| row.get::<_, i64>(0)).expect("read").map(|number| number.expect("one"));
    numbers
        .map(|number| {
            let count = format!("SELECT count(*) FROM words_{number} WHERE words_{number} MATCH ?1");
            connection.query_row(&count, [word], |row| row.get::<_, i64>(0)).expect("counted")
        })
        .sum()
}

#[test]
fn what_comes_twice_is_kept_once_with_its_words() {
    let folder = Folder::new();
    let mut writing = Writing::open(&folder.config());
    writing.fill(5..15, "seldom word");
    writing.fill(0..20, "seldom word");
    writing.fill(0..20, "seldom word");
    let store = reading(&folder.config());
    assert_eq!(positions(&store, word("seldom")), (0..20).collect::<Vec<_>>());
    assert_eq!(store.size().expect("measured").messages, 20);
    assert_eq!(hits_in(&folder.file(), "seldom"), 20);
    // Gone and delivered once more, it is found by its words again.
    assert_eq!(store.change(Change::Delete, &[3, 4, 99]), Ok(2));
    assert_eq!(hits_in(&folder.file(), "seldom"), 18);
    writing.fill(3..4, "seldom word");
    assert_eq!(positions(&store, word("seldom")).len(), 19);
    drop(writing);
    assert!(is_whole(&folder.file()));
}

/// Not a test of its own: the process that the next one kills.
#[test]
fn writes_until_killed() {
    let Some(path) = std::env::var_os("METLOG_STORE_KILLED") else { return };
    let mut writing = Writing::open(&Config::at(path));
    let mut next = 0;
    loop {
        writing.fill(next..next + 100, "until killed");
        next += 100;
        println!("acknowledged {next}");
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_was_acknowledged() {
    for round in 1..4_usize {
        let folder = Folder::new();
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "writes_until_killed", "--nocapture"])
            .env("METLOG_STORE_KILLED", folder.file())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut acknowledged = lines.filter_map(|line| line.rsplit("acknowledged ").next()?.parse::<u64>().ok());
        acknowledged.by_ref().take(round * 7).for_each(drop);
        child.kill().expect("killed");
        // What it still said before it died.
        let last = acknowledged.last().unwrap_or(round as u64 * 700);
        child.wait().expect("ended");
        // Whoever only reads may be first.
        let store = reading(&folder.config());
        let before = positions(&store, Narrow::default());
        assert!(before.len() as u64 >= last && before.len().is_multiple_of(100), "{} of {last}", before.len());
        let mut writing = Writing::open(&folder.config());
        writing.fill(0..last + 100, "until killed");
        assert!(positions(&store, word("killed")).len() as u64 >= last + 100);
        drop(writing);
        assert!(is_whole(&folder.file()));
    }
}

#[test]
fn changes_get_their_turn_while_messages_pour_in() {
    let folder = Folder::new();
    let mut writing = Writing::open(&folder.config());
    writing.fill(0..1000, "first");
    let store = reading(&folder.config());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 1000;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                writing.fill(next..next + 500, "more and more");
                next += 500;
            }
        });
        let first: Vec<u64> = (0..500).collect();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            assert_eq!(store.change(Change::Archive, &first), Ok(500));
            assert_eq!(positions(&store, Narrow { archived: Some(true), ..Narrow::default() }), first);
            assert_eq!(store.change(Change::Restore, &first[..100]), Ok(100));
            assert_eq!(store.change(Change::Delete, &first), Ok(500));
            assert_eq!(positions(&store, word("first")), (500..1000).collect::<Vec<_>>());
        }));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn workers_write_side_by_side() {
    let folder = Folder::new();
    let config = Config { purge_every: Span(Duration::from_millis(100)), ..folder.config() };
    std::thread::scope(|scope| {
        for worker in 0..3_u64 {
            let config = &config;
            scope.spawn(move || {
                let mut writing = Writing::open(config);
                for round in 0..20 {
                    // Batches that another worker has already, too.
                    for batch in [round * 3 + worker, (round * 3 + worker + 1) % 60] {
                        writing.fill(batch * 100..(batch + 1) * 100, "side by side");
                    }
                    writing.0.tick().expect("nothing to say");
                }
            });
        }
    });
    let store = reading(&config);
    assert_eq!(positions(&store, Narrow::default()), (0..6000).collect::<Vec<_>>());
    assert_eq!(positions(&store, word("side")), (0..6000).collect::<Vec<_>>());
    assert_eq!((store.size().expect("measured").messages, hits_in(&folder.file(), "side")), (6000, 6000));
    assert!(is_whole(&folder.file()));
}

#[test]
fn what_is_too_old_goes() {
    let folder = Folder::new();
    let config = Config { max_age: Some(Span(Duration::from_secs(3600 + 40))), ..folder.config() };
    let mut writing = Writing::open(&config);
    let old: Vec<Vec<u8>> = (0..2500_u64)
        .map(|position| {
            let mut message = message(position, "old");
            message.timestamp = Timestamp::from_nanos(support::recently() - 60_000_000_000);
            raw(&message)
        })
        .collect();
    writing.write(&old.iter().enumerate().map(|(at, raw)| (at as u64, &**raw)).collect::<Vec<_>>()).expect("written");
    writing.fill(2500..2600, "young");
    assert!(eventually(Duration::from_secs(20), || {
        writing.0.tick().expect("nothing to say");
        rows_in(&folder.file(), "messages") == 100
    }));
    let store = reading(&config);
    assert_eq!(positions(&store, Narrow::default()), (2500..2600).collect::<Vec<_>>());
    assert_eq!((store.size().expect("measured").messages, hits_in(&folder.file(), "young")), (100, 100));
    // The words of what is gone go with the last message of their generation.
    writing.fill(2600..5000, "young");
    writing.fill(5000..5001, "young");
    assert!(eventually(Duration::from_secs(10), || {
        writing.0.tick().expect("nothing to say");
        hits_in(&folder.file(), "old") == 0
    }));
    assert_eq!(hits_in(&folder.file(), "young"), 2501);
}

#[test]
fn what_came_first_goes_when_there_is_too_much_and_the_file_shrinks() {
    let folder = Folder::new();
    let config = Config { max_bytes: Size(2 << 20), ..folder.config() };
    let mut writing = Writing::open(&config);
    for batch in 0..20 {
        writing.fill(batch * 1000..(batch + 1) * 1000, "the same words every time, and some more of them");
    }
    let full = std::fs::metadata(folder.file()).expect("there").len();
    let pages = |name: &str| -> i64 {
        let connection = rusqlite::Connection::open(folder.file()).expect("opens");
        connection.pragma_query_value(None, name, |row| row.get(0)).expect("a number")
    };
    assert!(pages("page_count") * 8192 > 4 << 20, "{full}");
    assert!(eventually(Duration::from_secs(30), || {
        writing.0.tick().expect("nothing to say");
        pages("page_count") * 8192 <= 2 << 20
    }));
    let store = reading(&config);
    let left = positions(&store, Narrow::default());
    assert!(left.len() > 1000, "{}", left.len());
    assert_eq!(left, (20_000 - left.len() as u64..20_000).collect::<Vec<_>>());
    assert_eq!(positions(&store, word("same")), left);
    // What came once more after it was gone, far behind what came after it.
    writing.fill(0..50, "once more");
    assert_eq!(positions(&store, word("once")), (0..50).collect::<Vec<_>>());
    assert_eq!(store.change(Change::Delete, &(0..50).collect::<Vec<_>>()), Ok(50));
    assert_eq!(store.change(Change::Delete, &left[..100]), Ok(100));
    assert_eq!(hits_in(&folder.file(), "once"), 0);
    assert_eq!(positions(&store, word("same")), left[100..]);
    drop(writing);
    assert!(std::fs::metadata(folder.file()).expect("there").len() <= 2 << 20);
    assert!(is_whole(&folder.file()));
}

#[test]
fn what_has_expired_is_never_found_and_then_goes() {
    let folder = Folder::new();
    let mut writing = Writing::open(&folder.config());
    let soon = Timestamp::from_nanos(Timestamp::now().nanos() + 1_500_000_000);
    let short = raw(&message(1, "word short").field("expires_at", soon.to_string()).field("id", "short"));
    let long = raw(&message(2, "word long").field("ttl_seconds", 86_400));
    let over = raw(&message(3, "word over").field("ttl_seconds", 1));
    writing.write(&[(1, &short), (2, &long), (3, &over)]).expect("written");
    let store = reading(&folder.config());
    assert_eq!(positions(&store, word("word")), [1, 2]);
    assert!(eventually(Duration::from_secs(5), || Timestamp::now() >= soon));
    let id = Narrow { ids: vec!["short".to_owned()], ..Narrow::default() };
    for narrow in [Narrow::default(), word("word"), Narrow { positions: vec![1, 2, 3], ..Narrow::default() }] {
        assert_eq!(positions(&store, narrow), [2]);
    }
    assert_eq!(positions(&store, id), [0; 0]);
    assert_eq!((store.size().expect("measured").messages, rows_in(&folder.file(), "messages")), (1, 3));
    assert_eq!(store.change(Change::Archive, &[1, 2]), Ok(1), "what has expired is not there");
    writing.0.tick().expect("nothing to say");
    assert_eq!(rows_in(&folder.file(), "messages"), 1);
}

#[test]
fn made_up_names_do_not_stay() {
    let folder = Folder::new();
    let config = Config {
        max_age: Some(Span(Duration::from_secs(60))),
        purge_every: Span(Duration::from_millis(100)),
        ..folder.config()
    };
    let mut writing = Writing::open(&config);
    for position in 0..50_u64 {
        let raw = raw(&message(position, "old").logger(format!("made up {position}")));
        writing.write(&[(position, &raw)]).expect("written");
    }
    let now = |position: u64| {
        let mut message = message(position, "new").logger("made up 7");
        message.timestamp = Timestamp::now();
        raw(&message)
    };
    writing.write(&[(50, &now(50))]).expect("written");
    assert!(eventually(Duration::from_secs(10), || {
        writing.0.tick().expect("nothing to say");
        rows_in(&folder.file(), "names") == 2
    }));
    writing.write(&[(51, &now(51)), (52, &raw(&message(52, "x").logger("made up 8")))]).expect("written");
    let narrow = |logger: &str| Narrow { loggers: vec![logger.to_owned()], ..Narrow::default() };
    let store = reading(&config);
    assert_eq!(positions(&store, narrow("made up 7")), [50, 51]);
    assert_eq!(positions(&store, narrow("made up 8")), [52]);
}

#[test]
fn odd_messages_come_back_as_they_were() {
    let folder = Folder::new();
    let mut writing = Writing::open(&folder.config());
    let strange = "nul \u{0} del \u{7f} line\u{2028} \u{fffd} \u{1f600} İSTANBUL ß";
    let messages = [
        message(0, strange),
        message(1, &"w".repeat(900_000)),
        message(2, &"many ".repeat(200_000)),
        message(3, "").logger(strange),
        Message { kind: "\u{0}type\u{0}".to_owned(), ..message(4, "") },
        message(5, "x").field("id", "\u{0}' OR 1=1 --").field("trace_id", strange),
    ];
    let mut raws: Vec<Vec<u8>> = messages.iter().map(raw).collect();
    // As it came, blanks and lone surrogates too, which others would have replaced.
    raws.push(br#" { "type" : "t", "timestamp":"2026-01-01T00:00:00Z","payload":"half \ud800 pair" }"#.to_vec());
    let batch: Vec<(u64, &[u8])> = raws.iter().enumerate().map(|(at, raw)| (at as u64, &**raw)).collect();
    writing.write(&batch).expect("written");
    let store = reading(&folder.config());
    let mut all = found(&store, Narrow::default());
    all.sort();
    assert_eq!(all, batch.iter().map(|(position, raw)| (*position, raw.to_vec())).collect::<Vec<_>>());
    let cut = "w".repeat(metlog_query::words::LONGEST);
    for (narrow, at) in [
        (word("del"), 0),
        (word("i\u{307}stanbul"), 0),
        (word(&cut), 1),
        (word("many"), 2),
        (Narrow { loggers: vec![strange.to_owned()], ..Narrow::default() }, 3),
        (Narrow { types: vec!["\u{0}type\u{0}".to_owned()], ..Narrow::default() }, 4),
        (Narrow { ids: vec!["\u{0}' OR 1=1 --".to_owned()], ..Narrow::default() }, 5),
        (Narrow { traces: vec![strange.to_owned()], ..Narrow::default() }, 5),
        (word("pair"), 6),
    ] {
        assert_eq!(positions(&store, narrow.clone()), [at], "{narrow:?}");
    }
}

#[test]
fn what_is_no_message_is_refused_alone() {
    let folder = Folder::new();
    let mut writing = Writing::open(&folder.config());
    let good = raw(&message(1, "good"));
    let result = writing.write(&[(1, &good), (2, b"{"), (3, &good), (u64::MAX, &good)]);
    assert!(matches!(&result, Err(SendError::Refuse { which, .. }) if *which == [1]), "{result:?}");
    assert_eq!(positions(&reading(&folder.config()), Narrow::default()), [1, 3, (2 << 40) - 1], "whatever its id");
}

#[test]
fn questions_cannot_be_turned_into_others() {
    let folder = Folder::new();
    let mut writing = Writing::open(&folder.config());
    writing.fill(0..10, "plain words");
    let store = reading(&folder.config());
    for attack in [
        "' OR 1=1 --",
        "\" OR \"plain",
        "plain\" OR words:\"",
        "*",
        "a\"* NOT b",
        "NEAR(plain words)",
        "line : plain",
        "^plain",
        "{line} : plain",
        "-plain",
        "(",
        "\0",
        "); DROP TABLE messages; --",
        "%",
        "]",
        "\\",
    ] {
        let list = || vec![attack.to_owned()];
        for narrow in [
            Narrow { types: list(), ..Narrow::default() },
            Narrow { loggers: list(), ..Narrow::default() },
            Narrow { ids: list(), ..Narrow::default() },
            Narrow { traces: list(), ..Narrow::default() },
        ] {
            assert_eq!(positions(&store, narrow), [0; 0], "{attack}");
        }
        for begins in [true, false] {
            // More than is meant may be found, but nothing else may happen.
            let narrow = Narrow { words: vec![(attack.to_owned(), begins)], ..Narrow::default() };
            let _some = positions(&store, narrow);
        }
    }
    assert_eq!(store.size().expect("measured").messages, 10);
}

#[test]
fn a_file_that_is_taken_away_is_begun_anew() {
    let folder = Folder::new();
    let config = folder.config();
    let mut writing = Writing::open(&config);
    let store = reading(&config);
    writing.fill(0..10, "before");
    assert_eq!(positions(&store, Narrow::default()).len(), 10);
    for ending in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{ending}", config.path.display())).expect("removed");
    }
    let lost = raw(&message(10, "after"));
    let result = writing.write(&[(10, &lost)]);
    assert!(matches!(&result, Err(SendError::Retry { why, done: 0, .. }) if why.contains("messages.db was moved")));
    writing.write(&[(10, &lost)]).expect("in a new file");
    assert_eq!(positions(&store, Narrow::default()), [10]);
    // Only its log is taken: nothing is lost, but it is said.
    std::fs::remove_file(format!("{}-wal", config.path.display())).expect("removed");
    for position in 11..15 {
        let next = raw(&message(position, "after"));
        writing.write(&[(position, &next)]).expect("written");
    }
    let said = writing.0.tick().expect_err("something to say");
    assert!(said.why().contains("log") && said.why().contains("restart"), "{said}");
    drop((writing, store));
    drop(Writing::open(&config));
    let store = reading(&config);
    assert_eq!(positions(&store, Narrow::default()), (10..15).collect::<Vec<_>>());
    // Another store in its place.
    let other = Folder::new();
    Writing::open(&other.config()).fill(100..105, "other");
    std::fs::rename(other.file(), &config.path).expect("replaced");
    assert_eq!(positions(&store, Narrow::default()), (100..105).collect::<Vec<_>>());
}

#[test]
fn a_damaged_file_is_set_aside_and_said() {
    let folder = Folder::new();
    let config = folder.config();
    let mut writing = Writing::open(&config);
    for batch in 0..5 {
        writing.fill(batch * 1000..(batch + 1) * 1000, "some words");
    }
    drop(writing);
    let mut bytes = std::fs::read(&config.path).expect("read");
    bytes.iter_mut().skip(8192).for_each(|byte| *byte = 0x5a);
    std::fs::write(&config.path, bytes).expect("damaged");
    let mut writing = Writing::open(&config);
    let mut said = String::new();
    let after = raw(&message(5000, "after"));
    while let Err(why) = writing.write(&[(5000, &after)]) {
        said.push_str(why.why());
    }
    if let Err(why) = writing.0.tick() {
        said.push_str(why.why());
    }
    assert!(said.contains("damaged") && said.contains("backup"), "{said}");
    assert!(folder.names().iter().any(|name| name.starts_with("messages.db.damaged-")), "{:?}", folder.names());
    assert_eq!(positions(&reading(&config), Narrow::default()), [5000]);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    for (name, content) in [("text", b"hello, world\n".repeat(1000)), ("short", b"x".to_vec())] {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("data")).expect("made");
        std::fs::write(folder.file(), &content).expect("written");
        let why = open(&folder.config()).expect_err("not ours");
        assert!(why.contains("messages.db") && why.contains("left as it is"), "{name}: {why}");
        assert_eq!(std::fs::read(folder.file()).expect("there"), content);
        assert_eq!(folder.names(), ["messages.db"]);
        assert!(matches!(reading(&folder.config()).size(), Err(Trouble::Refused(_))));
    }
    let folder = Folder::new();
    std::fs::create_dir_all(folder.0.join("data")).expect("made");
    let other = rusqlite::Connection::open(folder.file()).expect("made");
    other.execute_batch("CREATE TABLE theirs(x)").expect("made");
    drop(other);
    let why = open(&folder.config()).expect_err("not ours");
    assert!(why.contains("another program"), "{why}");
    // A later form.
    let folder = Folder::new();
    drop(Writing::open(&folder.config()));
    rusqlite::Connection::open(folder.file())
        .and_then(|file| file.pragma_update(None, "user_version", 99))
        .expect("set");
    let why = open(&folder.config()).expect_err("later");
    assert!(why.contains("later metlog (form 99"), "{why}");
    assert!(matches!(reading(&folder.config()).size(), Err(Trouble::Refused(why)) if why.contains("form 99")));
}

fn open(config: &Config) -> Result<(), String> {
    StoreEndpoint::open(config.clone()).map(drop)
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let config = Config { backups: Some(folder.0.join("copies")), ..folder.config() };
    let mut writing = Writing::open(&config);
    writing.fill(0..10, "secret");
    let copy = reading(&config).backup("").expect("made");
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    for ending in ["", "-wal", "-shm"] {
        assert_eq!(mode(format!("{}{ending}", config.path.display()).as_ref()), 0o600, "{ending}");
    }
    assert_eq!(mode(copy.path.as_ref()), 0o600);
    assert_eq!(mode(&folder.0.join("data")) & 0o007, 0);
}

#[test]
fn words_may_be_indexed_later_and_no_more() {
    let folder = Folder::new();
    let (on, off) = (folder.config(), Config { full_text: false, ..folder.config() });
    let store = reading(&on);
    let exactly = |text: &str| positions(&store, Narrow { exact: true, ..word(text) });
    Writing::open(&off).fill(0..5, "early word");
    assert_eq!(exactly("word"), [0, 1, 2, 3, 4], "too much rather than too little");
    let mut writing = Writing::open(&on);
    writing.fill(5..10, "late word");
    writing.fill(10..12, "nothing");
    assert_eq!(exactly("word"), (0..10).collect::<Vec<_>>());
    assert_eq!(exactly("late"), (0..10).collect::<Vec<_>>(), "what is not indexed may be it");
    assert_eq!(store.change(Change::Delete, &[0, 1, 2, 3, 4]), Ok(5));
    assert_eq!(exactly("late"), (5..10).collect::<Vec<_>>());
    drop(writing);
    Writing::open(&off).fill(12..13, "late");
    assert_eq!(exactly("late"), (5..13).collect::<Vec<_>>());
}

#[test]
fn frequent_words_lose_nothing() {
    let folder = Folder::new();
    let mut writing = Writing::open(&folder.config());
    for batch in 0..10_u64 {
        let raws: Vec<Vec<u8>> = (batch * 5000..(batch + 1) * 5000)
            .map(|position| raw(&message(position, if position % 2 == 0 { "even frequent" } else { "odd" })))
            .collect();
        let first = batch * 5000;
        let batch: Vec<(u64, &[u8])> = raws.iter().zip(first..).map(|(raw, position)| (position, &**raw)).collect();
        writing.write(&batch).expect("written");
    }
    let store = reading(&folder.config());
    let even: Vec<u64> = (0..25_000).map(|half| half * 2).collect();
    assert_eq!(positions(&store, Narrow { exact: true, ..word("even") }), even);
    let some = positions(&store, word("even"));
    assert!(some.len() < 30_000 && some.iter().filter(|at| *at % 2 == 0).eq(&even), "{}", some.len());
    let begins = Narrow { words: vec![("freq".to_owned(), true)], exact: true, ..Narrow::default() };
    assert_eq!(positions(&store, begins), even);
}

#[test]
fn a_store_is_asked_before_it_is_there() {
    let folder = Folder::new();
    let store = reading(&folder.config());
    assert!(matches!(store.size(), Err(Trouble::Away(why)) if why.contains("nothing has been stored yet")));
    assert!(!folder.file().exists());
    let mut writing = Writing::open(&folder.config());
    assert_eq!(positions(&store, Narrow::default()), [0; 0]);
    writing.fill(0..1, "now");
    assert_eq!(positions(&store, Narrow::default()), [0]);
}

#[test]
fn settings_are_checked() {
    let entry = EndpointEntry::find("store").expect("registered");
    let shelf = StoreEntry::find("store").expect("registered");
    for (toml, why) in [
        ("path = \"\"", "names no file"),
        ("max_bytes = \"10 KiB\"", "less than 1 MiB"),
        ("purge_every = \"1ms\"", "less than 100ms"),
        ("max_age = \"0s\"", "nothing would be kept"),
        ("backup_every = \"1ms\"", "less than 1s"),
        ("pfad = \"x\"", "pfad"),
    ] {
        for read in [(entry.read)(&settings(toml)).map(drop), (shelf.read)(&settings(toml)).map(drop)] {
            let problems = read.expect_err(toml).to_string();
            assert!(problems.contains(why), "{problems}");
        }
    }
    assert!((entry.read)(&settings("")).is_ok());
}

#[test]
fn what_another_writer_or_an_earlier_start_took_is_known() {
    let folder = Folder::new();
    let config = folder.config();
    let lines = |first: u64, count: u64| -> Vec<Vec<u8>> {
        let numbered = (first..first + count).map(|seq| {
            let mut message = message(seq, "taken twice");
            message.origin = Some(Origin { client: "c".into(), seq });
            raw(&message)
        });
        numbered.collect()
    };
    let write = |to: &mut Writing, position: u64, lines: &[Vec<u8>]| {
        let batch: Vec<(u64, &[u8])> = (position..).zip(lines.iter().map(Vec::as_slice)).collect();
        to.write(&batch).expect("written");
    };
    let (mut one, mut other) = (Writing::open(&config), Writing::open(&config));
    write(&mut one, 1, &lines(1, 100));
    write(&mut other, 1001, &lines(51, 100));
    write(&mut one, 2001, &lines(101, 100));
    assert_eq!(rows_in(&folder.file(), "messages"), 200, "two writers");
    drop((one, other));
    let mut again = Writing::open(&config);
    write(&mut again, 3001, &lines(151, 100));
    write(&mut again, 4001, &lines(1, 300));
    assert_eq!(rows_in(&folder.file(), "messages"), 300, "after a start");
    assert_eq!(reading(&config).size().map(|size| size.messages), Ok(300));
}

#[test]
fn a_spool_that_was_begun_anew_takes_nobodys_place() {
    let folder = Folder::new();
    let config = folder.config();
    let mut writing = Writing::open(&config);
    let lines = |what: &str| -> metlog_message::Lines { (1..=20).map(|at| raw(&message(at, what))).collect() };
    let ids: Vec<u64> = (0..20).collect();
    let write = |to: &mut Writing, spool: u64, what: &str| {
        to.0.write(&metlog_pipeline::Picked::new(&lines(what), &ids).out_of(spool)).expect("written");
    };
    write(&mut writing, 7, "first");
    write(&mut writing, 8, "second");
    write(&mut writing, 7, "first");
    drop(writing);
    let mut writing = Writing::open(&config);
    write(&mut writing, 8, "second");
    write(&mut writing, 9, "third");
    let store = reading(&config);
    let beyond = 1 << 40;
    let expected: Vec<u64> = (0..3).flat_map(|spool| (0..20).map(move |id| spool * beyond + id)).collect();
    let mut there = positions(&store, Narrow::default());
    there.sort_unstable();
    assert_eq!(there, expected);
    assert_eq!(positions(&store, word("second")), (beyond..beyond + 20).collect::<Vec<_>>());
    // Nor does one whose ids go on beyond a range, in the middle of a batch.
    let last = metlog_message::Lines::from_iter(["a", "b"].map(|what| raw(&message(100, what))));
    writing.0.write(&metlog_pipeline::Picked::new(&last, &[beyond - 1, beyond]).out_of(7)).expect("written");
    let there = positions(&store, Narrow::default());
    assert!(there.contains(&(beyond - 1)) && there.contains(&(3 * beyond)), "{there:?}");
    assert_eq!(positions(&store, word("b")), [3 * beyond]);
}

#[test]
fn a_file_from_before_spools_had_names_keeps_what_it_holds() {
    let folder = Folder::new();
    let config = folder.config();
    let mut writing = Writing::open(&config);
    writing.fill(1..50, "old");
    drop(writing);
    let connection = rusqlite::Connection::open(folder.file()).expect("opens");
    connection.execute("DELETE FROM figures WHERE name GLOB 'spool *'", []).expect("as it was");
    drop(connection);
    let mut writing = Writing::open(&config);
    let lines: metlog_message::Lines = (1..50).map(|at| raw(&message(at, "new"))).collect();
    let ids: Vec<u64> = (1..50).collect();
    writing.0.write(&metlog_pipeline::Picked::new(&lines, &ids).out_of(7)).expect("written");
    let store = reading(&config);
    assert_eq!(positions(&store, word("old")).len() + positions(&store, word("new")).len(), 98);
}
