//! How many events a second the dialect takes, and how long it takes to read them back: `cargo run --release -p
//! metlog-madsci --features dialect --example load`. The store is in memory, the disk is none.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;
use support::House;

const CLIENTS: usize = 4;
const EVENTS: usize = 25_000;

fn main() {
    let house = House::new();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let house = &house;
            scope.spawn(move || send(house, client));
        }
    });
    let (took, count) = (begun.elapsed(), CLIENTS * EVENTS);
    println!("{:.0} events a second over {CLIENTS} connections", count as f64 / took.as_secs_f64());
    for line in [
        "GET /events?number=100",
        "GET /events?number=0",
        "GET /events/archived",
        "POST /events/query?selector=%7B%22event_data.n%22%3A77%7D",
        "GET /utilization/sessions",
        "GET /utilization/periods?analysis_type=hourly",
    ] {
        let begun = Instant::now();
        let answer = house.ask(line, "");
        let what = answer.body.get(..60).unwrap_or(&answer.body);
        println!("{:>8.1?} {:>9} bytes {line}: {} {what}", begun.elapsed(), answer.body.len(), answer.status);
    }
}

/// One connection, one event after the other.
fn send(house: &House, client: usize) {
    let mut socket = TcpStream::connect(house.at).expect("a connection");
    let mut answers = BufReader::new(socket.try_clone().expect("its other half"));
    for number in 0..EVENTS {
        let kind = ["log_info", "action_status_change", "workcell_start", "experiment_start"][match number % 100 {
            0 if number % 5000 == 0 => 2,
            0 => 3,
            1..20 => 1,
            _ => 0,
        }];
        let status = if number % 2 == 0 { "running" } else { "succeeded" };
        let at =
            format!("2026-01-{:02}T{:02}:{:02}:{:02}", number / 3600 + 1, number / 60 % 24, number % 60, number % 60);
        let body = format!(
            r#"{{"event_id":"{client}-{number}","event_type":"{kind}","log_level":20,"alert":false,"event_timestamp":"{at}","source":{{"node_id":"01ARZ3NDEKTSV4RRFFQ69G5FA{}"}},"event_data":{{"message":"event {number} of {client}","n":{number},"action_id":"a{}","status":"{status}","experiment_id":"e{number}"}},"trace_id":null,"span_id":null,"archived":false,"archived_at":null}}"#,
            number % 8,
            number / 2,
        );
        let length = body.len();
        let request = format!("POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
        socket.write_all(request.as_bytes()).expect("sent");
        let (mut line, mut length) = (String::new(), 0);
        while answers.read_line(&mut line).expect("an answer") > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            line.clear();
        }
        let mut answer = vec![0; length];
        answers.read_exact(&mut answer).expect("an answer");
        assert!(answer.starts_with(b"{\"_id\""));
    }
}
