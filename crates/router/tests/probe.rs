//! probe
mod program;
mod stage;
use program::{FILE, Program};
use std::time::Instant;

#[test]
fn lines() {
    let program = Program::start(FILE);
    for n in [1 << 10, 13 << 20] {
    for line in ["{\"a\":1}\n"] {
        let body = line.as_bytes().repeat(n / line.len());
        let began = Instant::now();
        let answer = program.request("POST /v1/messages", &[], &body);
        println!("{n} {:?} {:?} peak {} MiB", answer.map(|a| (a.status, a.head, a.body.chars().take(200).collect::<String>())), began.elapsed(), program.peak() >> 20);
    }}
    println!("{}", program.ask("/metrics").body.lines().filter(|l| l.contains("refused_total") || l.contains("dead_l") || l.contains("unacc") || l.contains("accepted_total") || l.contains("mended")).collect::<Vec<_>>().join("\n"));
    println!("{:?}", program.ask("/health/ready"));
}
