//! The method against this process, its children and sockets.

#![cfg(target_os = "linux")]

mod support;

use metlog_message::{Fields, Value};
use metlog_pipeline::{Emit, MethodEntry};
use metlog_procinfo::{Procinfo, Request};
use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{client, named, number, numbers, of_example};

fn arguments<const N: usize>(pairs: [(&str, Value); N]) -> Fields {
    pairs.into_iter().collect()
}

#[test]
fn messages_have_metlogs_shape() {
    let client = client("");
    assert_eq!(client.procinfo(&Request { cpu: true, ..Request::default() }), Ok(2));
    let messages = client.take();
    for (message, name) in messages.iter().zip(["user", "sys"]) {
        assert_eq!(message.kind, "procinfo");
        assert!(matches!(message.payload, Value::Float(seconds) if seconds >= 0.0), "{:?}", message.payload);
        let expected = arguments([
            ("name", name.into()),
            ("rate", "1".into()),
            ("logger", format!("psutil.cpu.web_example_org.{}", std::process::id()).into()),
        ]);
        assert_eq!(message.fields, expected);
    }
    client.procinfo(&Request { mem: true, io: true, busy: true, ..Request::default() }).unwrap();
    let names: Vec<String> = numbers(&client).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "io/read_bytes",
        "io/write_bytes",
        "io/read_count",
        "io/write_count",
        "meminfo/pcnt",
        "meminfo/rss",
        "meminfo/vms",
        "busy/total_cpu",
        "busy/uptime",
        "busy/pcnt",
    ];
    assert_eq!(names, expected);
}

#[test]
fn nothing_asked_for_is_nothing_sent() {
    let client = client("");
    assert_eq!(client.procinfo(&Request::default()), Ok(0));
    assert_eq!(client.take(), []);
}

#[test]
fn a_busy_loop_raises_cpu_and_busy() {
    let client = client("");
    let request = Request { cpu: true, ..Request::default() };
    client.procinfo(&request).unwrap();
    let before = number(&client, "cpu/user");
    let mut after = before;
    let (started, mut sum) = (Instant::now(), 0u64);
    while after - before < 0.05 && started.elapsed() < Duration::from_secs(20) {
        for n in 0..10_000_000u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(n));
        }
        client.procinfo(&request).unwrap();
        after = number(&client, "cpu/user");
    }
    assert!(after - before >= 0.05, "{before} {after}");
    client.procinfo(&Request { busy: true, ..Request::default() }).unwrap();
    let numbers: std::collections::BTreeMap<String, f64> = numbers(&client).into_iter().collect();
    assert!(numbers["busy/total_cpu"] >= after, "{numbers:?}");
    let share = 100.0 * numbers["busy/total_cpu"] / numbers["busy/uptime"];
    assert!((numbers["busy/pcnt"] - share).abs() < 1e-6, "{numbers:?}");
}

#[test]
fn memory_in_use_shows() {
    const BYTES: usize = 64 << 20;
    let client = client("mem = true");
    let rss = || {
        client.procinfo(&Request::default()).unwrap();
        let numbers: std::collections::BTreeMap<String, f64> = numbers(&client).into_iter().collect();
        assert!(numbers["meminfo/vms"] >= numbers["meminfo/rss"], "{numbers:?}");
        assert!((0.0..=100.0).contains(&numbers["meminfo/pcnt"]), "{numbers:?}");
        numbers["meminfo/rss"]
    };
    let before = rss();
    let block = std::hint::black_box(vec![7u8; BYTES]);
    let after = rss();
    assert!(after - before > 0.9 * BYTES as f64, "{before} {after}");
    drop(block);
}

#[test]
fn calls_to_the_disk_are_counted() {
    let client = client("");
    let request = Request { io: true, ..Request::default() };
    client.procinfo(&request).unwrap();
    let before = number(&client, "io/write_count");
    let path = std::env::temp_dir().join(format!("metlog-procinfo-{}", std::process::id()));
    let mut file = std::fs::File::create(&path).unwrap();
    (0..100).for_each(|_| file.write_all(b"x").unwrap());
    std::fs::remove_file(&path).unwrap();
    client.procinfo(&request).unwrap();
    assert!(number(&client, "io/write_count") - before >= 100.0);
}

#[test]
fn another_process_can_be_asked_about() {
    let client = client("");
    let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
    let request = Request { pid: Some(child.id()), cpu: true, ..Request::default() };
    let started = Instant::now();
    let mut seconds = 0.0;
    while seconds < 0.05 && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
        client.procinfo(&request).unwrap();
        let messages = client.take();
        let logger = messages[0].fields.get("logger").and_then(Value::as_str).unwrap();
        assert_eq!(logger, format!("psutil.cpu.web_example_org.{}", child.id()));
        seconds = messages[0].payload.as_f64().unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seconds >= 0.05, "{seconds}");
    let error = client.procinfo(&request).unwrap_err().to_string();
    assert_eq!(error, format!("procinfo: there is no process {}", child.id()));
    assert_eq!(client.take(), []);
}

#[test]
fn connections_are_counted_by_local_address_and_state() {
    let client = client("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peers: Vec<_> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
    let accepted: Vec<_> = (0..2).map(|_| listener.accept().unwrap()).collect();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = format!("net/127_0_0_1:{}", address.port());

    client.procinfo(&Request { net: true, server_addr: vec![address], ..Request::default() }).unwrap();
    let messages = client.take();
    assert!(messages.iter().all(|message| message.fields.get("rate") == Some(&Value::Int(1))), "{messages:?}");
    messages.into_iter().for_each(|message| client.emit(message));
    assert_eq!(numbers(&client), [(format!("{server}.ESTABLISHED"), 2.0), (format!("{server}.LISTEN"), 1.0)]);

    client.procinfo(&Request { net: true, ..Request::default() }).unwrap();
    let numbers = numbers(&client);
    for (port, state) in
        [(udp.local_addr().unwrap().port(), "UDP"), (peers[0].local_addr().unwrap().port(), "ESTABLISHED")]
    {
        let name = format!("net/127_0_0_1:{port}.{state}");
        assert!(numbers.contains(&(name.clone(), 1.0)), "{name} in {numbers:?}");
    }
    drop(accepted);
}

#[test]
fn the_configuration_has_the_last_word() {
    let client = client("cpu = false\nmem = true");
    client.procinfo(&Request { cpu: true, mem: false, ..Request::default() }).unwrap();
    let groups: Vec<String> = numbers(&client).into_iter().map(|(name, _)| name).collect();
    assert_eq!(groups, ["meminfo/pcnt", "meminfo/rss", "meminfo/vms"]);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = support::client(&format!("net = true\nserver_addr = '{address}'"));
    client.procinfo(&Request { server_addr: vec!["127.0.0.1:1".parse().unwrap()], ..Request::default() }).unwrap();
    assert_eq!(number(&client, &format!("net/127_0_0_1:{}.LISTEN", address.port())), 1.0);
}

#[test]
fn the_clock_calls_without_arguments() {
    let client = client("every = '250ms'\ncpu = true");
    assert_eq!(client.every(), Some(Duration::from_millis(250)));
    assert_eq!(client.call("procinfo", &Fields::new()), Ok(Value::Int(2)));
    assert_eq!(support::client("cpu = true").every(), None);
}

#[test]
fn settings_that_are_wrong() {
    let wrong = |settings: &str| named("procinfo", settings).err().expect(settings);
    assert_eq!(
        wrong("cpu = false\nevery = '1s'"),
        "test.toml:2:1: `every` has nothing to send; set one or more of cpu, mem, io, threads, busy, net to true"
    );
    assert_eq!(wrong("every = '1ms'\ncpu = true"), "test.toml:1:9: `every`: 1ms is too short, the least is 10ms");
    let expected = "\
test.toml:1:1: unknown key `memory`, expected one of `every`, `cpu`, `mem`, `io`, `threads`, `busy`, `net`, `server_addr`
test.toml:2:7: `cpu`: expected `true` or `false`, found text `perhaps`";
    assert_eq!(wrong("memory = true\ncpu = 'perhaps'"), expected);
    assert!(wrong("server_addr = 'localhost'").starts_with("test.toml:1:15: `server_addr`: "));
}

#[test]
fn arguments_that_are_wrong() {
    let client = client("");
    let wrong = |name: &str, value: Value| {
        let error = client.call("procinfo", &arguments([("cpu", true.into()), (name, value)])).unwrap_err();
        assert_eq!(client.take(), []);
        error.to_string()
    };
    assert_eq!(
        wrong("thread", true.into()),
        "procinfo has no argument `thread`, it has pid, cpu, mem, io, threads, busy, net, server_addr; did you mean `threads`?"
    );
    assert_eq!(wrong("mem", 1.into()), "procinfo's `mem` must be true or false, not `1`");
    assert_eq!(wrong("pid", (-1).into()), "procinfo's `pid` must be the number of a process, not `-1`");
    assert_eq!(wrong("pid", u32::MAX.into()), "procinfo: there is no process 4294967295");
    assert_eq!(
        wrong("server_addr", "localhost".into()),
        "procinfo's `server_addr` must be an address such as `127.0.0.1:8080`, or a list of them, not `localhost`"
    );
}

#[test]
fn requests_survive_as_arguments() {
    let request =
        Request { pid: Some(7), server_addr: vec!["[::1]:80".parse().unwrap()], net: true, ..Request::usual() };
    assert_eq!(Request::from_fields(&request.fields()), Ok(request));
}

#[test]
fn another_name_on_request() {
    let client = named("usage", "").unwrap();
    assert_eq!(client.procinfo_as("usage", &Request { cpu: true, ..Request::default() }), Ok(2));
    assert_eq!(
        client.procinfo(&Request::default()).unwrap_err().to_string(),
        "no method `procinfo`: this client has usage"
    );
}

#[test]
fn the_example_opens_and_metlogs_name_is_known() {
    let client = of_example();
    assert_eq!(client.every(), Some(Duration::from_secs(10)));
    assert!(client.procinfo(&Request::default()).unwrap() > 8);
    for name in ["metlog_psutils.psutil_plugin:config_plugin", "metlog_psutils.psutil_plugin.config_plugin"] {
        assert_eq!(MethodEntry::find(name).unwrap().name, "procinfo");
    }
}
