//! `metlog-router find` and `metlog-router store …`, with a real router, without one, and beside one.

mod program;
mod stage;

use program::{Program, free_port};
use stage::{Directory, eventually};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_metlog-router");
const STORE: &str = "[inputs.http]\n[endpoints.store]\npath = 'data/messages.db'\n";

/// What a command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// Nothing went wrong.
    fn fine(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self.out
    }
}

fn command(program: &str, url: &str, here: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(here).stdin(Stdio::null()).env("METLOG_ROUTER_URL", url);
    command.env_remove("METLOG_ROUTER_CONFIG").env_remove("METLOG_KEY");
    command
}

fn said(mut command: Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn url(program: &Program) -> String {
    format!("http://{}", program.place("http"))
}

fn run(program: &Program, arguments: &[&str]) -> Said {
    let mut command = command(PROGRAM, &url(program), &program.path(""));
    command.args(arguments);
    said(command)
}

/// Where no router is.
fn alone(here: &Directory, arguments: &[&str]) -> Said {
    let mut command = command(PROGRAM, &format!("http://127.0.0.1:{}", free_port()), &here.0);
    command.args(arguments);
    said(command)
}

/// One message, `n` seconds into an hour.
fn line(n: u64, kind: &str, payload: &str) -> String {
    let (minute, second) = (n / 60, n % 60);
    format!(
        "{{\"type\":\"{kind}\",\"timestamp\":\"2026-11-20T10:{minute:02}:{second:02}.000000Z\",\"logger\":\"web\",\
         \"severity\":4,\"payload\":\"{payload}\",\"fields\":{{\"n\":{n},\"part\":1.50}},\"env_version\":\"0.8\",\
         \"metlog_pid\":1,\"metlog_hostname\":\"h\"}}\n"
    )
}

fn send(program: &Program, lines: &str) {
    let answer = program.post(lines.as_bytes());
    assert!(answer.status == 200 && answer.body.contains("\"rejected\":[]"), "{answer:?}");
}

fn start() -> Program {
    Program::start_in(Directory::new(), STORE)
}

#[test]
fn what_was_deleted_comes_back_from_a_copy() {
    let program = start();
    let sent = [line(1, "log", "disk full"), line(2, "log", "k\u{e4}se"), line(3, "timer", "=1")];
    send(&program, &sent.concat());
    assert_eq!(run(&program, &["find"]).fine(), sent.concat(), "as they came, the latest last");
    assert_eq!(run(&program, &["find", "--limit", "2"]).fine(), sent[1..].concat());
    assert_eq!(run(&program, &["find", "K\u{c4}SE OR n=3"]).fine(), sent[1..].concat());
    let since = ["find", "type:log OR type:timer", "--since", "2026-11-20T10:00:02Z"];
    assert_eq!(run(&program, &since).fine(), sent[1..].concat());
    assert_eq!(
        run(&program, &["find", "disk", "--line"]).fine(),
        "2026-11-20T10:00:01.000000Z warning       web: [log] disk full n=1 part=1.5\n"
    );
    let csv = run(&program, &["find", "n=3", "--csv"]).fine();
    assert!(
        csv.starts_with(
            "timestamp,severity,type,logger,payload,fields\r\n2026-11-20T10:00:03.000000Z,4,timer,web,'=1,"
        )
    );
    let none = run(&program, &["find", "nowhere"]);
    assert_eq!((none.code, none.out.as_str()), (Some(1), ""));
    assert!(none.err.starts_with("nothing found; "), "{none:?}");

    let status = run(&program, &["store", "status"]).fine();
    assert!(status.starts_with("3 messages, ") && status.contains("from 2026-11-20T10:00:01.000000Z to "), "{status}");
    assert!(run(&program, &["store", "status", "--json"]).fine().contains("\"messages\":3"));
    let before = run(&program, &["store", "backups"]);
    assert!(before.code == Some(0) && before.out.is_empty() && before.err.contains("no backups"), "{before:?}");
    let copy = run(&program, &["store", "backup", "--note", "before the move"]).fine();
    assert!(copy.ends_with("Z, whole: before the move\n"), "{copy}");
    assert_eq!(run(&program, &["store", "backups"]).fine(), copy);
    let copy = copy.split("  ").next().unwrap().to_owned();

    let plan = run(&program, &["store", "delete", "type:log"]).fine();
    assert!(plan.starts_with("2 messages would be deleted") && plan.contains("`--apply`"), "{plan}");
    assert_eq!(run(&program, &["find"]).fine(), sent.concat(), "a plan changes nothing");
    assert_eq!(run(&program, &["store", "archive", "type:timer"]).fine(), "1 message archived\n");
    assert_eq!(run(&program, &["find"]).fine(), sent[..2].concat());
    assert_eq!(run(&program, &["find", "archived:yes"]).fine(), sent[2]);
    assert_eq!(run(&program, &["store", "delete", "type:log", "--apply"]).fine(), "2 messages deleted\n");
    assert_eq!(run(&program, &["find"]).code, Some(1));

    // Not beside a router, whether it is to be done or only thought about.
    for apply in [&["--apply"][..], &[]] {
        let used = run(&program, &[&["store", "restore", &copy, "--config", "router.toml"][..], apply].concat());
        assert_eq!((used.code, used.out.as_str()), (Some(1), ""));
        assert!(used.err.contains("in use; stop the router first\nnothing was changed"), "{used:?}");
    }
    let here = program.stop();
    let store = here.0.join("data/messages.db");
    let file = || std::fs::read(&store).unwrap();
    let held = file();
    let restore = |from: &str, more: &[&str]| {
        alone(&here, &[&["store", "restore", from, "--config", "router.toml"][..], more].concat())
    };
    let plan = restore(&copy, &[]).fine();
    assert!(plan.contains("whole: before the move\n  3 messages, ") && plan.contains("\n  1 message (1 archived), "));
    assert!(plan.ends_with("nothing was changed: `--apply` does it\n") && file() == held, "{plan}");

    let mut broken = std::fs::read(here.0.join(&copy)).unwrap();
    broken.truncate(broken.len() / 2);
    std::fs::write(here.0.join("broken.db"), broken).unwrap();
    for (from, why) in [
        ("data/messages.db", "is the store itself"),
        ("broken.db", "damaged"),
        ("router.toml", "not a store of metlog's"),
        ("missing.db", "is not there"),
    ] {
        let refused = restore(from, &["--apply"]);
        assert!(refused.code == Some(1) && refused.err.contains(why), "{from}: {refused:?}");
        assert!(file() == held, "{from}");
    }
    assert_eq!(alone(&here, &["store", "restore", &copy, "--config", "missing.toml"]).code, Some(2));
    std::fs::write(here.0.join("none.toml"), "[inputs.http]\n[endpoints.none]\ntype = 'null'\n").unwrap();
    let none = alone(&here, &["store", "restore", &copy, "--config", "none.toml"]);
    assert!(none.code == Some(2) && none.err.contains("keeps messages"), "{none:?}");

    let done = restore(&copy, &["--apply"]).fine();
    let kept = done.lines().find_map(|line| line.strip_prefix("what was there is ")).expect("said").to_owned();
    let program = Program::start_in(here, STORE);
    assert_eq!(run(&program, &["find"]).fine(), sent.concat(), "all of it is back");
    let more = line(4, "log", "after");
    send(&program, &more);
    assert_eq!(run(&program, &["find"]).fine(), sent.concat() + &more, "and goes on");

    // What was put aside is a store as well, so nothing done here is for good.
    let here = program.stop();
    alone(&here, &["store", "restore", &kept, "--config", "router.toml", "--apply"]).fine();
    let program = Program::start_in(here, STORE);
    assert_eq!(run(&program, &["find", "archived:any"]).fine(), sent[2]);
    program.stop();
}

#[test]
fn a_router_that_was_killed_leaves_a_store_that_can_be_replaced_or_left_alone() {
    let program = start();
    send(&program, &line(1, "log", "first"));
    let copy = run(&program, &["store", "backup"]).fine().split("  ").next().unwrap().to_owned();
    send(&program, &line(2, "log", "second"));
    eventually("it is stored", || run(&program, &["find", "second"]).code == Some(0));
    let here = program.kill();
    let log = here.0.join("data/messages.db-wal");
    let length = std::fs::metadata(&log).expect("a log").len();
    let arguments = ["store", "restore", &copy, "--config", "router.toml"];
    let plan = alone(&here, &arguments).fine();
    assert!(plan.contains("\n  2 messages, "), "what is in the log counts: {plan}");
    assert_eq!(std::fs::metadata(&log).expect("a log").len(), length, "a plan changes nothing");
    alone(&here, &[&arguments[..], &["--apply"]].concat()).fine();
    let plan = alone(&here, &arguments).fine();
    assert_eq!(plan.matches("\n  1 message, ").count(), 2, "{plan}");
    // What had not been acknowledged to the spool comes again by itself.
    let program = Program::start_in(here, STORE);
    assert!(run(&program, &["find"]).fine().starts_with(&line(1, "log", "first")));
    program.stop();
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let here = Directory::new();
    for (arguments, shown) in [
        (&["find", "a (b"][..], "  a (b\n    ^\n"),
        (&["find", "k\u{e4}se severity:\u{fc}"], "  k\u{e4}se severity:\u{fc}\n                ^\n"),
        (&["find", "\u{78c1}\u{76d8} severity:wraning"], "  \u{78c1}\u{76d8} severity:wraning\n                ^\n"),
        (&["find", "a) OR (b", "--since", "1h"], "  a) OR (b\n   ^\n"),
        (&["find", "--since", "some day"], "--since: "),
        (&["store", "delete", "a OR", "--apply"], "  a OR\n      ^\n"),
        (&["store", "archive", "n>"], "  n>\n"),
    ] {
        let wrong = alone(&here, arguments);
        assert_eq!((wrong.code, wrong.out.as_str()), (Some(2), ""), "{arguments:?}: {wrong:?}");
        assert!(wrong.err.starts_with(shown), "{arguments:?}:\n{}\n{shown}", wrong.err);
    }
    for arguments in [&["find", "--json", "--csv"][..], &["find", "--limit", "0"], &["store", "delete"]] {
        assert_eq!(alone(&here, arguments).code, Some(2), "{arguments:?}");
    }
    // What only the router finds wrong.
    let program = start();
    let empty = run(&program, &["store", "delete", " ", "--apply"]);
    assert!(empty.code == Some(1) && empty.err.contains("`*` means everything"), "{empty:?}");
    program.stop();
}

#[test]
fn many_pages_are_in_order_and_a_reader_may_leave() {
    const ALL: u64 = 3400;
    let program = start();
    let sent: Vec<String> = (0..ALL).map(|n| line(n, "log", &"x".repeat(300))).collect();
    sent.chunks(1000).for_each(|some| send(&program, &some.concat()));
    let found = run(&program, &["find", "--limit", "3000"]).fine();
    assert!(found == sent[400..].concat(), "{} bytes", found.len());
    assert_eq!(run(&program, &["find", "--limit", "99999", "--csv"]).fine().lines().count() as u64, ALL + 1);
    for form in ["--json", "--csv", "--line"] {
        let mut shell = command("bash", &url(&program), &program.path(""));
        let pipe = format!("'{PROGRAM}' find --limit 3000 {form} | head -n 1; echo ${{PIPESTATUS[0]}}");
        shell.args(["-c", &pipe]);
        let said = said(shell);
        assert!(said.out.ends_with("\n0\n") && said.out.lines().count() == 2 && said.err.is_empty(), "{said:?}");
    }
    program.stop();
}

/// A command that goes on, and the lines it writes.
struct Following(Child, BufReader<std::process::ChildStdout>);

impl Following {
    fn start(program: &Program, arguments: &[&str]) -> Following {
        let mut command = command(PROGRAM, &url(program), &program.path(""));
        let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Following(child, out)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn following_goes_on_with_what_comes_in_and_matches() {
    let program = start();
    let sent: Vec<String> = (0..40).map(|n| line(n, if n % 2 == 0 { "even" } else { "odd" }, "x")).collect();
    send(&program, &sent[..20].concat());
    let mut following = Following::start(&program, &["find", "type:even", "--limit", "3", "--follow"]);
    assert_eq!(
        [following.line(), following.line(), following.line()].concat(),
        [14, 16, 18].map(|n| &*sent[n]).concat()
    );
    for one in &sent[20..] {
        send(&program, one);
    }
    // Each once and in order, and what does not match is passed over.
    for n in (20..40).step_by(2) {
        assert_eq!(following.line(), sent[n]);
    }
    program.kill();
    assert_eq!(following.line(), "");
    let mut err = String::new();
    following.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((following.0.wait().unwrap().code(), err.as_str()), (Some(1), "the router has gone\n"));
}

#[test]
fn nothing_is_given_twice_while_messages_come_in() {
    const ALL: u64 = 600;
    let program = start();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..ALL).for_each(|n| send(&program, &line(n, "log", "x"))));
        let mut following = Following::start(&program, &["find", "--limit", "99999", "--follow"]);
        let numbers: Vec<String> = (0..ALL).map(|_| following.line()).collect();
        let expected: Vec<String> = (0..ALL).map(|n| line(n, "log", "x")).collect();
        assert!(numbers == expected, "{numbers:#?}");
        writer.join().unwrap();
    });
    program.stop();
}

#[test]
fn who_cannot_be_answered_is_told_why() {
    let here = Directory::new();
    let down = alone(&here, &["find"]);
    assert!(down.code == Some(1) && down.err.contains("nobody listens there"), "{down:?}");
    for what in [&["status"][..], &["backups"], &["backup"], &["delete", "x"], &["archive", "x"]] {
        let down = alone(&here, &[&["store"][..], what].concat());
        assert!(down.code == Some(1) && down.err.contains("nobody listens there"), "{what:?}: {down:?}");
    }

    let storeless = Program::start_in(Directory::new(), "[inputs.http]\n[endpoints.none]\ntype = 'null'\n");
    for what in [&["find"][..], &["store", "status"], &["store", "backup"], &["store", "delete", "x", "--apply"]] {
        let none = run(&storeless, what);
        assert_eq!((none.code, none.out.as_str()), (Some(1), ""), "{what:?}");
        assert!(none.err.contains("503: no endpoint of this router keeps messages"), "{none:?}");
    }
    storeless.stop();

    let key = |name: &str, scope: &str| {
        let file = here.0.join(name).display().to_string();
        (alone(&here, &["key", "new", "--name", name, "--scope", scope, "--out", &file]).fine(), file)
    };
    let ((reading, reader), (admins, admin)) = (key("reader", "read"), key("boss", "admin"));
    let guarded = Program::start_in(Directory::new(), &format!("{STORE}{reading}{admins}"));
    assert!(run(&guarded, &["send", "hello", "--key-file", &admin]).code == Some(0));
    let keyless = run(&guarded, &["find"]);
    assert!(keyless.code == Some(1) && keyless.err.contains("answers 401") && keyless.err.contains("--key-file"));
    assert!(run(&guarded, &["find", "hello", "--key-file", &reader]).fine().contains("\"payload\":\"hello\""));
    assert!(run(&guarded, &["store", "delete", "hello", "--key-file", &reader]).fine().starts_with("1 message would"));
    for what in [&["delete", "hello", "--apply"][..], &["archive", "hello"], &["backup"], &["backups"]] {
        let refused = run(&guarded, &[&["store"][..], what, &["--key-file", &reader]].concat());
        assert!(refused.code == Some(1) && refused.err.contains("answers 403"), "{what:?}: {refused:?}");
    }
    let followed = run(&guarded, &["find", "--follow"]);
    assert!(followed.code == Some(1) && followed.err.contains("answers 401"), "{followed:?}");
    assert_eq!(
        run(&guarded, &["store", "delete", "hello", "--apply", "--key-file", &admin]).fine(),
        "1 message deleted\n"
    );
    guarded.kill();
}
