//! The exact messages and lines.

mod support;

use metlog_cef::{Cef, Event};
use metlog_message::{Fields, Severity, Value};
use metlog_pipeline::{Emit, MethodEntry, MethodError};
use support::{client, named, of_example};

const DEVICE: &str = "vendor = 'Mozilla'\nproduct = 'weave'\ndevice_version = '3'\n";

fn event() -> Event {
    Event::new("login failed", 5)
        .signature("AuthFail")
        .user("bob")
        .request("POST", "/login?next=/")
        .from_address("192.0.2.7")
        .host("example.com")
        .user_agent("Mozilla/5.0 (X11)")
}

#[test]
fn the_message_is_metlogs() {
    let settings = "syslog_options = 'PID,NDELAY'\nsyslog_facility = 'LOCAL4'\nsyslog_ident = 'some_name'\n";
    let client = client(&format!("{DEVICE}{settings}"));
    let line = client.cef(&event()).unwrap();
    let expected = "Nov 20 22:00:50 web01 CEF:0|Mozilla|weave|3|AuthFail|login failed|5|\
        cs1Label=requestClientApplication cs1=Mozilla/5.0 (X11) requestMethod=POST request=/login?next\\=/ src=192.0.2.7 \
        dhost=example.com suser=bob";
    assert_eq!(line, expected);
    let messages = client.take();
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(message.kind, "cef");
    assert_eq!(message.severity, Severity::Informational);
    assert_eq!(message.payload, Value::from(expected));
    let meta: Fields = [
        ("syslog_options", Value::from("PID,NDELAY")),
        ("syslog_facility", "LOCAL4".into()),
        ("syslog_ident", "some_name".into()),
        ("syslog_priority", Value::Null),
    ]
    .into_iter()
    .collect();
    assert_eq!(message.fields, [("cef_meta", meta)].into_iter().collect());
}

#[test]
fn what_is_not_known_is_none_and_the_signature_is_the_name() {
    let line = client(DEVICE).cef(&Event::new("startup", "Low")).unwrap();
    let expected = "Nov 20 22:00:50 web01 CEF:0|Mozilla|weave|3|startup|startup|Low|\
        cs1Label=requestClientApplication cs1=none requestMethod=none request=none src=none dhost=none suser=none";
    assert_eq!(line, expected);
}

/// The part before the extensions, and the extensions.
fn parts(event: &Event) -> (String, String) {
    let line = client(DEVICE).cef(event).unwrap();
    let at = line.find("cs1Label=").unwrap();
    (line[..at].to_owned(), line[at..].to_owned())
}

#[test]
fn escapes() {
    let (header, _) = parts(&Event::new("a|b\\c=d", 1).signature("x\r\ny"));
    assert_eq!(header, "Nov 20 22:00:50 web01 CEF:0|Mozilla|weave|3|x\\r\\ny|a\\|b\\\\c=d|1|");
    let (_, extensions) = parts(&Event::new("n", 1).user("a|b\\c=d\r\ne").extension("k", "v=\\|\n"));
    assert!(extensions.ends_with(" suser=a|b\\\\c\\=d\\r\\ne k=v\\=\\\\|\\n"), "{extensions}");
}

#[test]
fn the_first_forwarder_is_the_source() {
    let source = |event: Event| {
        let (_, extensions) = parts(&event.from_address("192.0.2.7"));
        extensions.split(" src=").nth(1).and_then(|rest| rest.split(" dhost=").next()).map(str::to_owned)
    };
    assert_eq!(source(Event::new("n", 1).forwarded_for("198.51.100.1 , 10.0.0.1")).as_deref(), Some("198.51.100.1"));
    assert_eq!(source(Event::new("n", 1).forwarded_for(" ")).as_deref(), Some("192.0.2.7"));
}

#[test]
fn extensions_come_shortest_value_first() {
    let (_, extensions) = parts(
        &Event::new("n", 1).extension("long", "xxxx").extension("n", 7).extension("b", "xx").extension("a", "yy"),
    );
    assert!(extensions.ends_with(" suser=none n=7 a=yy b=xx long=xxxx"), "{extensions}");
    let (_, extensions) = parts(&Event::new("n", 1).extension("a b=c", "v").extension("cs2.x-y_z", true));
    assert!(extensions.ends_with(" suser=none a_b_c=v cs2.x-y_z=true"), "{extensions}");
}

#[test]
fn what_does_not_fit_is_left_out_and_said_so() {
    let client = client(DEVICE);
    let event = Event::new("n", 1)
        .extension("tiny", "x")
        .extension("middle", "x".repeat(100))
        .extension("large", "x".repeat(900))
        .extension("larger", "x".repeat(901))
        .extension("src", "198.51.100.9");
    let line = client.cef(&event).unwrap();
    assert!(line.contains(" tiny=x middle=xxx") && !line.contains("large"), "{line}");
    assert!(line.contains(" src=none ") && !line.contains("198.51"), "the usual keys cannot be forged: {line}");
    let message = client.take().remove(0);
    assert_eq!(message.fields.get("cef_left_out"), Some(&Value::from(["src", "large", "larger"])));

    let room = 1024 - client.cef(&Event::new("n", 1)).unwrap().len() - " k=".len();
    let fits = |extra: usize| client.cef(&Event::new("n", 1).extension("k", "x".repeat(room + extra))).unwrap();
    assert_eq!(fits(0).len(), 1024);
    assert!(!fits(1).contains(" k="));
}

#[test]
fn a_value_cannot_make_the_line_arbitrarily_long() {
    let client = client(DEVICE);
    let huge = "x".repeat(2_000_000);
    let line = client.cef(&event().user_agent(&huge).user(&huge).host(&huge).request(&huge, &huge)).unwrap();
    assert!(line.len() < 8 * 1024, "{}", line.len());
}

#[test]
fn metlogs_own_call_works() {
    let client = client("vendor = 'ops'");
    let map = |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<Fields>();
    let environ = map(&[
        ("REQUEST_METHOD", "GET"),
        ("PATH_INFO", "/"),
        ("HTTP_HOST", "h"),
        ("REMOTE_ADDR", "192.0.2.1"),
        ("HTTP_USER_AGENT", "ua"),
        ("wsgi.other", "x"),
    ]);
    let config = map(&[("version", "1"), ("vendor", "dev"), ("product", "p"), ("device_version", "d")]);
    let args: Fields = [
        ("name", Value::from("n")),
        ("severity", 10.into()),
        ("environ", environ.into()),
        ("config", config.into()),
        ("username", "u".into()),
        ("custom", "c".into()),
    ]
    .into_iter()
    .collect();
    let expected = "Nov 20 22:00:50 web01 CEF:1|ops|p|d|n|n|10|cs1Label=requestClientApplication cs1=ua \
        requestMethod=GET request=/ src=192.0.2.1 dhost=h suser=u custom=c";
    assert_eq!(client.call("cef", &args), Ok(Value::from(expected)));
}

#[test]
fn arguments_that_are_wrong() {
    let client = client(DEVICE);
    let wrong = |args: &[(&str, Value)]| {
        let error = client.call("cef", &args.iter().cloned().collect()).unwrap_err();
        assert!(matches!(error, MethodError::Arguments(_)));
        assert_eq!(client.take(), []);
        error.to_string()
    };
    let right = "a number from 0 to 10 or one of Unknown, Low, Medium, High, Very-High";
    assert_eq!(wrong(&[("severity", 1.into())]), "cef needs the argument `name`, what happened");
    assert_eq!(wrong(&[("name", "n".into())]), format!("cef needs the argument `severity`, {right}"));
    for (severity, shown) in [(Value::from(11), "11"), ("urgent".into(), "urgent"), (1.5.into(), "1.5")] {
        let expected = format!("cef's `severity` must be {right}, not `{shown}`");
        assert_eq!(wrong(&[("name", "n".into()), ("severity", severity)]), expected);
    }
    assert_eq!(wrong(&[("environ", "GET /".into())]), "cef's `environ` must be a map, not `GET /`");
    assert_eq!(wrong(&[("extensions", 1.into())]), "cef's `extensions` must be a map, not `1`");
    assert_eq!(
        support::client("vendor = 'v'").cef(&event()).unwrap_err().to_string(),
        "cef needs a `product`, in its configuration or in the call's `config`"
    );
}

#[test]
fn settings_that_are_wrong() {
    let wrong = |settings: &str| named("cef", settings).err().expect(settings);
    let expected = "\
test.toml:1:19: `syslog_facility`: unknown value `LOCAL9`, expected one of `KERN`, `USER`, `MAIL`, `DAEMON`, `AUTH`, `LPR`, \
`NEWS`, `UUCP`, `CRON`, `LOCAL0`, `LOCAL1`, `LOCAL2`, `LOCAL3`, `LOCAL4`, `LOCAL5`, `LOCAL6`, `LOCAL7`; did you mean `LOCAL0`?
test.toml:2:19: `syslog_priority`: unknown value `err`, expected one of `EMERG`, `ALERT`, `CRIT`, `ERR`, `WARNING`, `NOTICE`, \
`INFO`, `DEBUG`; did you mean `ERR`?
test.toml:3:18: `syslog_options`: unknown value `COINS`, expected one of `PID`, `CONS`, `NDELAY`, `NOWAIT`, `LOG_PERROR`; did \
you mean `CONS`?
test.toml:4:1: unknown key `vendr`, expected one of `syslog_facility`, `syslog_priority`, `syslog_options`, `syslog_ident`, \
`version`, `vendor`, `product`, `device_version`; did you mean `vendor`?";
    let settings =
        "syslog_facility = 'LOCAL9'\nsyslog_priority = 'err'\nsyslog_options = 'PID,COINS'\nvendr = 'x'\nversion = 0";
    assert_eq!(wrong(settings), expected);
}

#[test]
fn options_as_a_list() {
    let client = client(&format!("{DEVICE}syslog_options = ['PID', 'CONS']\nsyslog_priority = 'ERR'"));
    client.cef(&event()).unwrap();
    let message = client.take().remove(0);
    assert_eq!(message.fields.at("cef_meta.syslog_options"), Some(&Value::from("PID,CONS")));
    assert_eq!(message.fields.at("cef_meta.syslog_priority"), Some(&Value::from("ERR")));
}

#[test]
fn another_name_on_request() {
    let client = named("audit", DEVICE).unwrap();
    assert!(client.cef_as("audit", &event()).is_ok());
    assert_eq!(client.cef(&event()).unwrap_err().to_string(), "no method `cef`: this client has audit");
}

#[test]
fn the_example_opens_and_metlogs_name_is_known() {
    let client = of_example();
    assert!(client.cef(&event()).unwrap().contains(" CEF:0|Example|shop|1.0|AuthFail|"));
    for name in ["metlog_cef.cef_plugin:config_plugin", "metlog_cef.cef_plugin.config_plugin"] {
        assert_eq!(MethodEntry::find(name).unwrap().name, "cef");
    }
}
