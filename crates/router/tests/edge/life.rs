//! The real program, from one life to the next.

use super::program::request;
use super::stage::Directory;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_metlog-router");

/// Ways to die beside any moment: as a system call of this kind is entered.
pub const POINTS: [(&str, &str); 3] =
    [("append", "writev,pwritev,pwritev2,pwrite64"), ("sync", "fdatasync,fsync"), ("answer", "sendto,sendmsg")];

/// One router, which dies and lives on.
pub struct Life {
    pub directory: Directory,
    /// What stands before the program, such as where its network is.
    before: Vec<String>,
    /// Where its HTTP port is.
    at: String,
    key: Option<String>,
    child: Option<Child>,
}

impl Life {
    /// With this configuration; a key that may read where keys are asked for.
    pub fn new(before: Vec<String>, at: String, key: Option<&str>, config: &str) -> Life {
        let directory = Directory::new();
        let router = format!("[router]\nhttp = '{at}'\nallowed_hosts = ['localhost']\ndrain = '5s'\n");
        std::fs::write(directory.0.join("router.toml"), router + config).unwrap();
        Life { directory, before, at, key: key.map(str::to_owned), child: None }
    }

    /// `point`: it ends when it enters the n-th of these system calls.
    pub fn start(&mut self, point: Option<(&str, u64)>) {
        let mut words = self.before.clone();
        if let Some((calls, when)) = point {
            let calls = calls.split(',').map(|call| format!("?{call}")).collect::<Vec<_>>().join(",");
            words.extend(["strace", "-f", "-qq", "-o", "/dev/null", "-e"].map(str::to_owned));
            words.extend([format!("trace={calls}"), "-e".into(), format!("inject={calls}:signal=SIGKILL:when={when}")]);
        }
        words.extend([PROGRAM, "run", "--config", "router.toml"].map(str::to_owned));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.0.join("log.txt")).unwrap();
        let mut command = Command::new(&words[0]);
        // A group of its own, so that a signal reaches the router also where something stands between.
        command.args(&words[1..]).current_dir(&self.directory.0).process_group(0);
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    fn signal(&self, signal: &str) {
        if let Some(child) = &self.child {
            let _ = Command::new("kill").args([signal, "--", &format!("-{}", child.id())]).status();
        }
    }

    pub fn kill(&mut self) {
        self.signal("-KILL");
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
            // What stood between may be gone before the router itself, which then still has its spool.
            super::stage::eventually("all of it is gone", || !lives(child.id()));
        }
    }

    /// Whether it dies by itself within this time; if not it is killed.
    pub fn dies(&mut self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut by_itself = false;
        while !by_itself && Instant::now() < until {
            by_itself = self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        by_itself
    }

    /// An orderly end, with a balanced account.
    pub fn end(&mut self) {
        self.signal("-TERM");
        let status = self.child.take().unwrap().wait().unwrap();
        let log = self.log();
        assert!(status.success() && log.trim_end().ends_with("unaccounted for: 0"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }

    pub fn ask(&self, path: &str) -> Option<String> {
        let bearer = self.key.as_ref().map(|key| format!("Bearer {key}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        let answer = request(&self.at, &format!("GET {path}"), &headers, b"")?;
        (answer.status == 200).then_some(answer.body)
    }

    /// Whether it takes messages. One that came while the one before still had the spool is started again.
    pub fn is_ready(&mut self) -> bool {
        let ended = self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
        if ended && self.log().trim_end().ends_with("or give this one another directory") {
            self.start(None);
        }
        self.ask("/health/ready").is_some()
    }

    /// A value of `/metrics`.
    pub fn metric(&self, name: &str) -> Option<u64> {
        super::program::value(&self.ask("/metrics")?, name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.0.join("log.txt")).unwrap_or_default()
    }
}

/// Whether anybody is left in a process group who is more than an entry in the table. The entry of a process is dead before
/// its last thread is.
fn lives(group: u32) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|process| process.path());
    let is = |process: std::path::PathBuf| {
        let stat = std::fs::read_to_string(process.join("stat")).ok()?;
        let mut words = stat.rsplit(") ").next()?.split(' ');
        let (state, of) = (words.next()?, words.nth(1)?.parse::<u32>().ok()?);
        let threads = || std::fs::read_dir(process.join("task")).map_or(0, |tasks| tasks.count());
        Some(of == group && (state != "Z" || threads() > 1))
    };
    processes.filter_map(is).any(|is| is)
}

impl Drop for Life {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(3000).map_or(0, |(at, _)| at);
            println!("the end of the log of {}:\n{}", self.at, &log[from..]);
        }
        self.kill();
    }
}
