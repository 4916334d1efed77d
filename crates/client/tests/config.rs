//! Configuration: Metlog's files unchanged, TOML, values, variables; and what a wrong one says.

mod common;

use common::settle;
use metlog::config::Config;
use metlog::debug::Capture;
use metlog::{Client, Error, Message, Severity, Value, fields};
use metlog_settings::Environment;

fn no_environment() -> Environment {
    Environment::fixed([("", ""); 0])
}

fn ini(text: &str) -> Config {
    Config::ini(text).environment(no_environment())
}

fn toml(text: &str) -> Config {
    Config::toml(text).environment(no_environment())
}

fn problems(config: Config) -> String {
    match config.open() {
        Err(Error::Config(problems)) => problems.to_string(),
        Err(other) => panic!("opened half way: {other}"),
        Ok(_) => panic!("accepted"),
    }
}

fn captured(client: &Client, name: &str) -> Vec<Message> {
    settle(client);
    Capture::named(name).expect("a capture").messages()
}

#[test]
fn a_metlog_file_works_unchanged() {
    let client = ini("
        # as it stands in the documentation of the original
        [DEFAULT]
        app = my
        logger = %(app)sapp
        unused = %(nowhere)s
        [metlog]
        severity = 4
        disabled_timers = foo
            bar
        sender_class = metlog.senders.DebugCaptureSender
        sender_name = unchanged
        global_disabled_decorators =
            nothing
        [metlog_filter_sev]
        provider = metlog.filters.severity_max_provider
        severity = 5
        [metlog_filter_types]
        provider=metlog.filters.type_blacklist_provider
        types = dropped
            dropped_too
        [unrelated]
        anything = at all
    ")
    .open()
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((client.logger().as_str(), client.severity(), client.is_active()), ("myapp", Severity::Warning, true));
    metlog::metlog!(client: client, "kept");
    metlog::metlog!(client: client, "dropped");
    metlog::metlog!(client: client, "dropped_too");
    metlog::info!(client: client, "6 is not severe enough");
    metlog::error!(client: client, "3 is");
    drop(metlog::timer!(client: client, "foo"));
    drop(metlog::timer!(client: client, "other"));
    let kinds: Vec<String> = captured(&client, "unchanged").into_iter().map(|message| message.kind).collect();
    assert_eq!(kinds, ["kept", "oldstyle", "timer"]);
    assert!(client.is_timer_disabled("bar") && !client.is_timer_disabled("other"));
    assert_eq!(metlog::globals().get("disabled_decorators"), Some(&Value::from(["nothing"])));
}

#[test]
fn toml_says_the_same() {
    let client = toml(
        r#"
        [metlog]
        logger = "myapp"
        severity = "warning"
        disabled_timers = ["foo"]
        fields = { env = "test", zone = 7 }
        severity_max = 6
        [metlog.senders.metrics]
        class = "debug"
        name = "toml-metrics"
        types = ["counter", "timer"]
        [metlog.senders.logs]
        class = "debug"
        name = "toml-logs"
        not_types = ["counter", "timer"]
        type_severity_max = { oldstyle = 4 }
        queue_bytes = "1 MiB"
        batch_messages = 10
        flush_interval = "5ms"
        "#,
    )
    .open()
    .unwrap_or_else(|error| panic!("{error}"));
    metlog::incr!(client: client, "hits");
    metlog::warn!(client: client, "kept");
    metlog::info!(client: client, "not in the logs");
    metlog::debug!(client: client, "nowhere");
    let kinds = |name| captured(&client, name).into_iter().map(|message| message.kind).collect::<Vec<_>>();
    assert_eq!(kinds("toml-metrics"), ["counter"]);
    assert_eq!(kinds("toml-logs"), ["oldstyle"]);
    let message = Capture::named("toml-logs").expect("a capture").messages().remove(0);
    assert_eq!(message.fields, fields! { env = "test", zone = 7 });
}

#[test]
fn a_dictionary_is_not_changed_and_works_twice() {
    let dictionary = fields! {
        logger = "dict",
        sender = fields! { class = "debug", name = "dictionary" },
        filters = Value::List(vec![Value::List(vec![
            Value::from("metlog.filters.severity_max"), Value::Map(fields! { severity = 6 })])]),
        global = fields! { raven_dsn = "https://u:p@x/1" }
    };
    let value = Value::Map(dictionary);
    for _ in 0..2 {
        let client =
            Config::value(&value).environment(no_environment()).open().unwrap_or_else(|error| panic!("{error}"));
        metlog::debug!(client: client, "dropped");
        metlog::info!(client: client, "kept");
        settle(&client);
    }
    assert_eq!(Capture::named("dictionary").map(|capture| capture.len()), Some(2));
}

#[test]
fn variables_win_over_the_file_and_may_be_all_there_is() {
    let environment = Environment::fixed([
        ("METLOG__LOGGER", "from-env"),
        ("METLOG__SENDER_CLASS", "debug"),
        ("METLOG__SENDER_NAME", "variables"),
        ("METLOG__SEVERITY", "3"),
        ("HOST_LIST", "a"),
    ]);
    let file = Config::ini("[metlog]\nlogger = file\nsender_class = null\n").environment(environment.clone());
    let client = file.open().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((client.logger().as_str(), client.severity()), ("from-env", Severity::Error));
    metlog::incr!(client: client, "a");
    assert_eq!(captured(&client, "variables").len(), 1);
    let client = Config::from_environment().environment(environment).open().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(client.logger(), "from-env");
}

#[test]
fn the_effective_configuration_can_be_read_back_without_secrets() {
    let environment = Environment::fixed([("TOKEN", "s3cret")]);
    let text = "[metlog]\nlogger = shop\nsender_class = debug\nsender_name = ${TOKEN}\nfields_unused = x\n";
    let wrong = Config::ini(text).environment(environment.clone()).open().expect_err("an unknown key").to_string();
    assert!(!wrong.contains("s3cret"), "{wrong}");
    let text = text.replace("fields_unused = x\n", "");
    let client = Config::ini(text).environment(environment).open().unwrap_or_else(|error| panic!("{error}"));
    let config = client.config();
    let shown = config.to_text().into_owned();
    assert!(!shown.contains("s3cret"), "{shown}");
    let map = config.as_map().expect("a table");
    assert_eq!(map.at("senders.sender.name"), Some(&Value::from("${TOKEN}")));
    assert_eq!(map.get("logger"), Some(&Value::from("shop")));
    assert_eq!(map.get("overflow"), Some(&Value::from("block")), "defaults are shown too");
}

#[test]
fn everything_wrong_is_told_at_once_and_nothing_starts() {
    let before = std::fs::read_dir("/proc/self/task").map(Iterator::count).ok();
    let told = problems(ini("
        [metlog]
        loger = myapp
        severity = loud
        overflow = dorp_new
        queue_bytes = 1 M
        sender_class = stduot
        [metlog_filter_a]
        severity = 3
        [metlog_filter_b]
        provider = severity_max
        severty = 3
    "));
    let expected = [
        "configuration:3:1: unknown key `loger`; did you mean `logger`?",
        "configuration:4:12: ",
        "configuration:5:12: ",
        "did you mean `drop_new`?",
        "configuration:6:15: ",
        "configuration:7:16: unknown sender `stduot`",
        "configuration:8:1: filter `a` says no `provider`",
        "did you mean `severity`?",
    ];
    for words in expected {
        assert!(told.contains(words), "`{words}` in:\n{told}");
    }
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines.len() >= 7, "{told}");
    let after = std::fs::read_dir("/proc/self/task").map(Iterator::count).ok();
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after <= before + 8, "no threads were started for it: {before} {after}");
    }
}

#[test]
fn single_mistakes() {
    for (config, words) in [
        (ini("[metlg]\nsender_class = null"), "there is no section `[metlog]`: it has [metlg]; did you mean `metlg`?"),
        (ini(""), "there is no section `[metlog]`"),
        (ini("[metlog]\nlogger = x"), "a client needs a sender"),
        (ini("[metlog]\nsender_name = x"), "sender `sender` says no `class`"),
        (ini("[metlog]\nsender_class = zmq_pub_"), "unknown sender `zmq_pub_`"),
        (ini("[metlog]\nsender_class = null\nsender_args = a"), "by position, sender `null` takes none"),
        (ini("[metlog]\nsender_class = ${NOWHERE}"), "NOWHERE"),
        (ini("[metlog]\nsender_class = null\n[metlog_plugin_x]\nprovider = nothing"), "unknown plugin `nothing`"),
        (toml("[metlog]\nfields = 3\n[metlog.sender]\nclass = 'null'"), "`fields` must be a table"),
        (toml("[metlog]\nfilters = 3\n[metlog.sender]\nclass = 'null'"), "expected named sections"),
        (toml("[metlog\n"), "configuration:1:"),
        (Config::file("/nowhere/metlog.toml").environment(no_environment()), "/nowhere/metlog.toml"),
        (Config::file("src/lib.rs").environment(no_environment()), "its name must end in"),
    ] {
        let told = problems(config);
        assert!(told.contains(words), "`{words}` in:\n{told}");
    }
}

#[test]
fn a_stream_is_read_and_bounded() {
    let text = "[app]\nlogger = streamed\nsender_class = null\n";
    let client = metlog::from_stream(text.as_bytes(), "app").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(client.logger(), "streamed");
    let endless = std::io::repeat(b'#');
    let told = metlog::from_stream(endless, "app").expect_err("too large").to_string();
    assert!(told.contains("larger than"), "{told}");
    let told = metlog::from_stream(&b"[app]\nlogger = \xff"[..], "app").expect_err("not UTF-8").to_string();
    assert!(told.contains("configuration:2:10") && told.contains("UTF-8"), "{told}");
}
