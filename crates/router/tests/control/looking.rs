//! Looking on: what becomes of a message, the tail, names of fields, the page, the terminal.

use crate::program::Program;
use crate::stage::eventually;
use crate::{ask, file, got, line, lines, number, of, order, pipeline, send, start, tell};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn explain_says_what_becomes_of_a_message() {
    let filters = "[filters.few]\ntype = 'rate_limit'\nper_second = 0.001\nburst = 2\n[filters.slow]\ntype = 'field'\n\
                   path = 'fields.http.status'\nmore = 200\n[filters.neither]\ntype = 'not'\nof = ['slow']\n";
    let names = ["all", "few", "slow", "neither", "timers", "loud"];
    let endpoints: String = names
        .iter()
        .map(|name| {
            file(
                name,
                match *name {
                    "few" => "filters = ['few']\n",
                    "slow" => "filters = ['slow']\n",
                    "neither" => "filters = ['neither', 'slow']\n",
                    "timers" => "types = ['timer']\n",
                    "loud" => "severity_max = 3\n",
                    _ => "",
                },
            )
        })
        .collect();
    let program = start(&format!("{filters}{endpoints}"));
    for n in 0..24 {
        let message = line(n, if n % 3 == 0 { "timer" } else { "log" }, (n % 8) as u8);
        let mut told = Value::Null;
        // However often one asks.
        for _ in 0..3 {
            told = order(&program, "/v1/explain", json!({"message": message.trim(), "input": "http"}));
        }
        let object: Value = serde_json::from_str(&message).unwrap();
        let same = order(&program, "/v1/explain", json!({"message": object}));
        assert_eq!((&told["endpoints"], &told["filters"]), (&same["endpoints"], &same["filters"]));
        assert_eq!((told["understood"].as_str(), &told["refused"]), (Some(message.trim()), &Value::Null));
        send(&program, &message);
        let takes = |name: &str| {
            let line = told["endpoints"].as_array().unwrap().iter().find(|line| line["endpoint"] == name).unwrap();
            assert_eq!(line["takes"] == true, line["why"].is_null(), "{line}");
            line["takes"] == true
        };
        let meant: Vec<bool> = names.iter().map(|name| takes(name)).collect();
        let is = |name: &&str| got(&program, name).contains(&n);
        eventually("as explained", || names.iter().map(is).collect::<Vec<_>>() == meant);
    }
    assert_eq!(got(&program, "few").len(), 2);
    let refused = order(&program, "/v1/explain", json!({"message": "nonsense"}));
    assert!(refused["refused"].is_string() && refused["understood"].is_null(), "{refused}");
    let mended = order(&program, "/v1/explain", json!({"message": {"type": "x"}}));
    assert!(mended["notes"].as_array().unwrap().len() > 1 && mended["refused"].is_null(), "{mended}");
    for wrong in ["", "{}", "[]", "{\"message\":1}", "{\"message\":{},\"input\":\"nobody\"}", "{\"mesage\":{}}"] {
        assert_eq!(tell(&program, "/v1/explain", wrong).status, 400, "{wrong}");
    }
    let now = pipeline(&program);
    assert_eq!(of(&now, "inputs", "http")["counts"]["received"], 24, "nothing was sent by asking");
    program.stop();
}

/// Server-sent events as they come: their kind, id and data.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(program: &Program, path: &str, header: &str) -> Events {
        let mut stream = TcpStream::connect(program.place("http")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n{header}\r\n").unwrap();
        let mut events = Events(BufReader::new(stream));
        let mut line = String::new();
        events.0.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
        while line != "\r\n" {
            line.clear();
            events.0.read_line(&mut line).unwrap();
        }
        events
    }

    fn next(&mut self) -> (String, Option<u64>, Value) {
        let (mut kind, mut id, mut data) = ("message".to_owned(), None, None);
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).expect("in time"), 0, "the stream ended");
            match line.trim_end().split_once(": ") {
                Some(("event", text)) => text.clone_into(&mut kind),
                Some(("id", text)) => id = Some(text.parse().unwrap()),
                Some(("data", text)) => data = Some(serde_json::from_str(text).unwrap()),
                _ if line == "\n" && data.is_some() => return (kind, id, data.take().unwrap()),
                _ => {}
            }
        }
    }

    fn messages(&mut self, count: usize) -> Vec<(Option<u64>, u64)> {
        (0..count)
            .map(|_| {
                let (kind, id, message) = self.next();
                assert_eq!(kind, "message", "{message}");
                (id, number(&message["fields"]["n"]))
            })
            .collect()
    }
}

#[test]
fn the_tail_follows_a_query_and_goes_on_where_it_broke_off() {
    let program = start(&format!("[endpoints.store]\n{}", file("timers", "types = ['timer']\n")));
    let mut live = Events::open(&program, "/v1/tail?query=fields.n%3C5", "");
    std::thread::sleep(Duration::from_millis(100));
    send(&program, &lines(0..10));
    let first = live.messages(5);
    assert_eq!(first.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let ids: Vec<u64> = first.iter().map(|(id, _)| id.expect("an id")).collect();
    assert!(ids.is_sorted());
    drop(live);
    send(&program, &lines(10..20));
    // By the address, by the header, which counts more; and on with what comes then.
    let mut back = Events::open(&program, &format!("/v1/tail?after={}", ids[4]), "");
    assert_eq!(back.messages(15).iter().map(|(_, n)| *n).collect::<Vec<_>>(), (5..20).collect::<Vec<_>>());
    let header = format!("Last-Event-ID: {}\r\n", ids[1]);
    let mut again = Events::open(&program, "/v1/tail?after=0&query=fields.n%3C5", &header);
    assert_eq!(again.messages(3).iter().map(|(_, n)| *n).collect::<Vec<_>>(), [2, 3, 4]);
    send(&program, &lines(20..22));
    assert_eq!(back.messages(2).iter().map(|(_, n)| *n).collect::<Vec<_>>(), [20, 21]);
    // The position that the store has it at.
    let found = ask(&program, "/v1/messages?query=fields.n%3A4");
    assert_eq!(found["positions"][0], ids[4]);
    for wrong in ["?after=x", "?after=-1", "?rate=0", "?rate=100001", "?query=((", "?nonsense=1"] {
        assert_eq!(program.ask(&format!("/v1/tail{wrong}")).status, 400, "{wrong}");
    }
    assert_eq!(program.request("GET /v1/tail", &[("Last-Event-ID", "x")], b"").unwrap().status, 400);
    program.stop();
}

#[test]
fn what_is_too_much_is_left_out_and_said() {
    let program = start(&file("all", ""));
    let mut live = Events::open(&program, "/v1/tail?rate=50", "");
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    for batch in 0..10 {
        send(&program, &lines(batch * 500..batch * 500 + 500));
    }
    let (mut seen, mut sent, mut messages, mut last) = (0, 0, 0, 0);
    while seen < 5000 {
        let (kind, id, data) = live.next();
        if kind == "sampled" {
            seen += number(&data["seen"]);
            sent += number(&data["sent"]);
            assert_eq!(sent, messages, "it says what it sent");
        } else {
            messages += 1;
            assert!(id.unwrap() > last, "in order");
            last = id.unwrap();
        }
        // What keeps coming makes it say the last of it.
        if seen + 1000 > 5000 && seen < 5000 {
            send(&program, &lines(0..100));
        }
    }
    assert!(messages as f64 <= 50.0 + 50.0 * (began.elapsed().as_secs_f64() + 1.0), "{messages}");
    // What nobody wants is shown as well; it has no id.
    drop(live);
    program.stop();
    let program = start(&file("timers", "types = ['timer']\n"));
    let mut live = Events::open(&program, "/v1/tail", "");
    std::thread::sleep(Duration::from_millis(100));
    send(&program, &lines(7..8));
    assert_eq!(live.messages(1), [(None, 7)]);
    program.stop();
}

#[test]
fn fields_are_those_of_the_newest_messages() {
    for config in ["[endpoints.store]\n".to_owned(), file("all", "")] {
        let program = start(&config);
        send(&program, &lines(0..9));
        let fields = || ask(&program, "/v1/fields?prefix=US&limit=5")["fields"].clone();
        eventually("they are known", || fields() == json!([{"path": "fields.user_id", "values": ["0", "1", "2"]}]));
        let all = ask(&program, "/v1/fields")["fields"].clone();
        let paths: Vec<&str> = all.as_array().unwrap().iter().map(|field| field["path"].as_str().unwrap()).collect();
        for path in ["type", "logger", "severity", "fields.n", "fields.http.status"] {
            assert!(paths.contains(&path), "{path} is not in {paths:?}");
        }
        let status = ask(&program, "/v1/fields?prefix=fields.http")["fields"].clone();
        assert_eq!(status, json!([{"path": "fields.http.status", "values": ["200", "201"]}]));
        assert_eq!(ask(&program, "/v1/fields?limit=2")["fields"].as_array().unwrap().len(), 2);
        program.stop();
    }
}

#[test]
fn the_page_is_for_browsers_and_the_rest_for_programs() {
    let program = start(&file("all", ""));
    let get = |path: &str, accept: &str| program.request(&format!("GET {path}"), &[("Accept", accept)], b"").unwrap();
    let page = get("/", "text/html,application/xhtml+xml,*/*;q=0.8");
    assert!(page.head.contains("text/html") && page.head.contains("vary: accept"), "{}", page.head);
    assert_eq!(page.body, get("/page", "*/*").body);
    assert!(page.head.contains("vary: accept-encoding") && page.head.contains("vary: accept\r\n"), "{}", page.head);
    // A browser that has it is told so, with the same policy.
    let (_, tag) = page.head.split_once("etag: ").unwrap();
    let known = [("Accept", "text/html"), ("If-None-Match", tag.lines().next().unwrap())];
    let again = program.request("GET /", &known, b"").unwrap();
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert!(again.head.contains("content-security-policy: default-src 'none'"), "{}", again.head);
    let packed = program.request("GET /page", &[("Accept-Encoding", "gzip, br")], b"").unwrap();
    assert!(packed.head.contains("content-encoding: gzip") && !packed.body.contains("<script>"), "{}", packed.head);
    for accept in ["*/*", "application/json", "text/plain"] {
        let home = get("/", accept);
        assert!(home.head.contains("application/json") && home.head.contains("vary: accept"), "{home:?}");
    }
    assert_eq!(get("/nothing", "text/html").status, 404);
    program.stop();
}

/// Runs a command in a terminal of its own, presses keys, and tells what was on the screen and how it ended.
const TERMINAL: &str = r"
import fcntl, os, pty, select, struct, sys, termios, time
pid, screen = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
def resize(rows, columns):
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
resize(24, 120)
def read(seconds, until=b'\0'):
    seen, end = b'', time.time() + seconds
    while time.time() < end and until not in seen:
        if select.select([screen], [], [], 0.1)[0]:
            try:
                seen += os.read(screen, 65536)
            except OSError:
                break
    return seen
seen = read(15, b'unaccounted')
resize(30, 100)
seen += read(2)
os.write(screen, {'q': b'q', 'esc': b'\x1b', 'c': b'\x03'}[sys.argv[1]])
seen += read(5, b'\x1b[?1049l')
end = time.time() + 5
status = None
while time.time() < end:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done: break
    time.sleep(0.05)
else:
    os.kill(pid, 9)
    sys.exit('it did not end')
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status))
";

#[test]
fn status_is_drawn_in_a_terminal_and_plain_otherwise() {
    let program = start(&file("all", ""));
    send(&program, &lines(0..5));
    let url = format!("http://{}", program.place("http"));
    let router = env!("CARGO_BIN_EXE_metlog-router");
    for key in ["q", "esc", "c"] {
        let mut drawn = Command::new("python3");
        drawn.args(["-c", TERMINAL, key, router, "status", "--watch", "--to", &url]).env("TERM", "xterm");
        let drawn = drawn.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&drawn.stdout);
        assert!(drawn.status.success(), "{key}: {}\n{text}", String::from_utf8_lossy(&drawn.stderr));
        assert!(
            text.contains("\u{1b}[?1049h") && text.contains("\u{1b}[?1049l"),
            "it leaves the screen as it was: {text}"
        );
        for part in ["endpoint", "unaccounted", "spool"] {
            assert!(text.contains(part), "{key}: {part} is not in {text:?}");
        }
    }
    let mut plain = Command::new(router);
    plain.args(["status", "--watch", "--to", &url]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut plain = plain.spawn().unwrap();
    let mut text = String::new();
    let mut out = BufReader::new(plain.stdout.take().unwrap());
    while text.matches("unaccounted for: 0").count() < 2 {
        assert_ne!(out.read_line(&mut text).unwrap(), 0, "{text}");
    }
    plain.kill().unwrap();
    plain.wait().unwrap();
    assert!(!text.contains('\u{1b}'), "{text}");
    program.stop();
}
