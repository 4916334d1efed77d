//! The published clients: what they are run with, and what must be found of what they said they sent.

use metlog_message::Timestamp;
use metlog_testkit::python;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A client in an environment of its own; the dialects' own tests have the same ones.
pub struct Client {
    pub name: &'static str,
    pub dialect: &'static str,
    packages: &'static [&'static str],
    /// The script that sends everything it can send, and says what that was.
    pub everything: &'static str,
    /// It tries again until it hears of success.
    pub persists: bool,
}

const MASTERLOG: Client = Client {
    name: "masterlog",
    dialect: "masterlog",
    packages: &["master-log-client==0.1.0"],
    everything: "../../plugins/masterlog/tests/support/everything.py",
    persists: true,
};
const LOGCOLLECTOR: Client = Client {
    name: "logcollector",
    dialect: "logcollector",
    packages: &["log-collector-async==1.1.1"],
    everything: "../../plugins/logcollector/tests/support/everything.py",
    persists: false,
};
const VICTORIALOGS: Client = Client {
    name: "victorialogs",
    dialect: "victorialogs",
    packages: &["victorialogs-handler==0.1.0"],
    everything: "tests/clients/handler.py",
    persists: true,
};
// Their packages do not hold each other to one release, and no release works with pydantic 2.14.
pub const MADSCI_NEW: Client = Client {
    name: "madsci-new",
    dialect: "madsci",
    packages: &["madsci_event_manager==0.8.1", "madsci_client==0.8.1", "madsci_common==0.8.1", "pydantic<2.14"],
    everything: "tests/clients/events.py",
    persists: false,
};
pub const MADSCI_OLD: Client = Client {
    name: "madsci-old",
    packages: &[
        "madsci_event_manager==0.5.2",
        "madsci_client==0.5.2",
        "madsci_common==0.5.2",
        "pydantic<2.14",
        "mongomock",
    ],
    ..MADSCI_NEW
};

pub const ALL: [Client; 5] = [MASTERLOG, LOGCOLLECTOR, VICTORIALOGS, MADSCI_NEW, MADSCI_OLD];

impl Client {
    /// What a script prints, which is found from this package's folder.
    pub fn run(&self, script: &str, arguments: &[String], home: &Path) -> String {
        let home = home.join(self.name);
        std::fs::create_dir_all(&home).unwrap();
        let mut command = Command::new(python(self.packages));
        command.arg(format!("{}/{script}", env!("CARGO_MANIFEST_DIR"))).args(arguments).current_dir(&home);
        // Settings and proxies of whoever runs this are not the client's.
        command.env_clear().env("HOME", &home).env("PYTHONIOENCODING", "utf-8");
        let output = command.output().expect("Python starts");
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(30).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        assert!(output.status.success(), "{}: {}", self.name, last.join("\n"));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// All of them at once, each with its script and arguments; what each printed.
pub fn run_all(home: &Path, with: impl Fn(&Client) -> (String, Vec<String>) + Sync) -> [String; 5] {
    std::thread::scope(|scope| {
        let with = &with;
        let all = ALL.map(|client| {
            scope.spawn(move || {
                let (script, arguments) = with(&client);
                client.run(&script, &arguments, home)
            })
        });
        all.map(|one| one.join().unwrap_or_else(|why| std::panic::resume_unwind(why)))
    })
}

/// That messages are what clients of a dialect said they sent: each once, with everything in it.
pub fn found_in(dialect: &str, found: &[Value], said: &[&str]) {
    let said: Vec<Value> =
        said.iter().map(|said| serde_json::from_str(said.lines().last().expect("a line")).expect("JSON")).collect();
    match (dialect, said.as_slice()) {
        ("masterlog", [said]) => of_masterlog(found, said),
        ("logcollector" | "victorialogs", [said]) => of_numbered(dialect, found, said),
        ("madsci", said) => of_madsci(found, said),
        other => panic!("who is {other:?}?"),
    }
}

/// Without what is the same in all messages of a dialect.
fn plain(message: &Value, dialect: &str) -> Value {
    let mut message = message.clone();
    let map = message.as_object_mut().expect("an object");
    let kind = if dialect == "victorialogs" { "oldstyle" } else { "log" };
    for (key, value) in [("via", dialect), ("env_version", "0.8"), ("type", kind)] {
        assert_eq!(map.remove(key), Some(value.into()), "{key}");
    }
    message
}

fn number(message: &Value) -> u64 {
    message["fields"]["n"].as_u64().unwrap_or_else(|| panic!("no number: {message}"))
}

fn of_masterlog(found: &[Value], said: &Value) {
    let (expected, burst) = (said["expected"].as_array().expect("a list"), said["burst"].as_u64().expect("a number"));
    let ways = said["ways"].as_array().expect("a list");
    assert_eq!(found.len() as u64, ways.len() as u64 * (expected.len() as u64 + burst));
    for way in ways {
        let mut of_way: Vec<&Value> = found.iter().filter(|message| message["fields"]["way"] == *way).collect();
        of_way.sort_by_key(|message| number(message));
        let numbers: Vec<u64> = of_way.iter().map(|message| number(message)).collect();
        assert_eq!(numbers, (0..expected.len() as u64 + burst).collect::<Vec<_>>(), "{way}: once each");
        for (message, expected) in of_way.iter().zip(expected) {
            let mut message = plain(message, "masterlog");
            let fields = message["fields"].as_object_mut().expect("fields");
            assert!(fields.remove("id").is_some_and(|id| id.as_str().is_some_and(|id| id.len() == 36)));
            fields.retain(|name, _| name != "n" && name != "way");
            let own = fields.get("python_client") == Some(&json!("mine"));
            let process =
                fields.remove(if own { "_python_client" } else { "python_client" }).expect("the client's own");
            assert_eq!((&process["pid"], &process["hostname"]), (&said["pid"], &said["hostname"]));
            let mut expected = expected.clone();
            expected["metlog_pid"] = said["pid"].clone();
            expected["metlog_hostname"] = said["hostname"].clone();
            expected["logger"] = "everything.py".into();
            if expected.get("timestamp").is_none() {
                message.as_object_mut().expect("an object").remove("timestamp");
            }
            assert_eq!(message, expected, "{way}");
        }
    }
}

fn of_numbered(dialect: &str, found: &[Value], said: &Value) {
    let expected = said.as_array().expect("a list");
    let mut found: Vec<Value> = found.iter().map(|message| plain(message, dialect)).collect();
    found.sort_by_key(number);
    assert_eq!(found.len(), expected.len());
    for (mut message, expected) in found.into_iter().zip(expected) {
        let mut expected = expected.clone();
        let seconds = expected["timestamp"].take().as_f64().expect("seconds");
        let at = message["timestamp"].take();
        let at = at.as_str().and_then(Timestamp::parse).expect("a time").nanos() as f64 / 1e9;
        assert!((at - seconds).abs() < 2e-6, "{at} and {seconds}");
        assert_eq!(message, expected);
    }
}

fn of_madsci(found: &[Value], said: &[Value]) {
    let by_id: BTreeMap<&str, &Value> =
        found.iter().map(|message| (message["fields"]["event_id"].as_str().expect("an id"), message)).collect();
    assert_eq!(by_id.len(), found.len(), "each id once");
    let mut more = 0;
    for said in said {
        let events = said["events"].as_array().expect("a list");
        more += said["more"].as_u64().expect("a number") as usize + events.len();
        for event in events {
            let id = event["event_id"].as_str().expect("an id");
            let message = by_id.get(id).unwrap_or_else(|| panic!("it is not there: {event}"));
            for (name, value) in event.as_object().expect("an object") {
                let kept = if name == "event_data" { data(message) } else { message["fields"][name].clone() };
                let is_default = *value == Value::Null || *value == json!(false) && name == "archived";
                assert!(kept == *value || is_default && kept == Value::Null, "{name}: {value} in {message}");
            }
        }
    }
    assert_eq!(found.len(), more);
}

/// The data of an event, of which the payload is a part, or all.
fn data(message: &Value) -> Value {
    let (fields, payload) = (&message["fields"], &message["payload"]);
    match (&fields["event_data"], fields["event_text"].as_str()) {
        (_, Some("plain")) => payload.clone(),
        (_, Some("json")) => payload.to_string().into(),
        (Value::Object(data), _) if !data.contains_key("message") && payload.as_str() != Some("") => {
            let mut data = data.clone();
            data.insert("message".to_owned(), payload.clone());
            data.into()
        }
        (data, _) => data.clone(),
    }
}
