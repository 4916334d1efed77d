//! PostgreSQL itself, from the system's packages, with a data folder of its own that goes when it does.

use crate::eventually;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Kills the server and removes its folder as soon as the test program is gone, however it went.
const WATCH: &str = r#"cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
rm -rf "$1""#;

/// A server with the superuser `metlog`, reached without a password through a socket in its folder, and over TCP on
/// loopback at the same port.
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    /// Whom the server runs as, if that is not us: it refuses to be root.
    user: Option<(u32, u32)>,
    port: u16,
    settings: Vec<String>,
    server: Option<Child>,
    watch: Child,
}

impl Postgres {
    /// One that does not wait for its disk, since nobody pulls its plug.
    ///
    /// # Panics
    /// If it cannot be started; the message says what is missing.
    pub fn new() -> Self {
        Self::with(&["fsync=off", "full_page_writes=off"])
    }

    /// One for all tests of a program; each takes a [`Postgres::database`] of its own.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Postgres::new)
    }

    /// One with these settings, such as `fsync=off`.
    ///
    /// # Panics
    /// If it cannot be started; the message says what is missing.
    pub fn with(settings: &[&str]) -> Self {
        let user = (fs::metadata("/proc/self").expect("a process").uid() == 0).then(ordinary_user);
        // Not the target folder: a socket's path is short, and who the server runs as must be able to enter.
        let name = format!("metlog-pg-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("permitted");
        if let Some((user, group)) = user {
            chown(&folder, Some(user), Some(group)).expect("given away");
        }
        let mut watch = Command::new("sh");
        // Not of our process group, so that an interrupt from the keyboard leaves it to clean up.
        watch.args(["-c", WATCH, "watch"]).arg(&folder).stdin(Stdio::piped()).process_group(0);
        watch.stdout(Stdio::null()).stderr(Stdio::null());
        let mut made = Postgres {
            watch: watch.spawn().expect("a shell"),
            folder,
            programs: programs(),
            user,
            port: free_port(),
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            server: None,
        };
        let mut init = made.program("initdb");
        init.args(["--no-sync", "-A", "trust", "-U", "metlog", "-E", "UTF8", "--locale=C", "-D"]).arg(made.data());
        let output = init.output().expect("initdb runs");
        assert!(output.status.success(), "{init:?}: {}", String::from_utf8_lossy(&output.stderr));
        made.start();
        made
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(&self.folder).stdin(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Its data folder, with `pg_hba.conf` in it.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Puts a file into the data folder that only the server may read.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.data().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permitted");
        if let Some((user, group)) = self.user {
            chown(&path, Some(user), Some(group)).expect("given away");
        }
        path
    }

    /// Starts it, after [`Postgres::kill`] too, and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    pub fn start(&mut self) {
        let up = eventually(Duration::from_secs(60), || {
            // After a kill the first tries fail: what the dead server's processes share is still in use.
            let gone = self.server.as_mut().is_none_or(|server| server.try_wait().expect("asked").is_some());
            if gone {
                let log = fs::File::options().append(true).create(true).open(self.folder.join("log")).expect("a log");
                let mut server = self.program("postgres");
                server.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-k"]).arg(&self.folder);
                server.args(["-c", "listen_addresses=127.0.0.1"]);
                for setting in &self.settings {
                    server.args(["-c", setting]);
                }
                server.stdout(log.try_clone().expect("a log")).stderr(log);
                self.server = Some(server.spawn().expect("postgres starts"));
            }
            std::thread::sleep(Duration::from_millis(50));
            self.psql("postgres", "select 1").output().is_ok_and(|output| output.status.success())
        });
        assert!(up, "PostgreSQL answers; its log: {}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
    }

    /// As a crash would: nothing is finished, nothing is told.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.kill().expect("it runs");
        server.wait().expect("it ends");
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut psql = self.program("psql");
        psql.env_remove("PGOPTIONS").args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "metlog", "-h"]);
        psql.arg(&self.folder).args(["-p", &self.port.to_string(), "-d", database, "-c", sql]);
        psql
    }

    /// What a statement answers: rows on lines, columns between `|`.
    ///
    /// # Panics
    /// If it fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database, sql).output().expect("psql runs");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// A new, empty database; its name.
    pub fn database(&self) -> String {
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name}"));
        name
    }

    /// The address of a database, through the socket.
    pub fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?user=metlog&host={}&port={}", self.folder.display(), self.port)
    }
}

impl Default for Postgres {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
        if let Some(mut server) = self.server.take() {
            let _ = server.wait();
        }
    }
}

/// The newest version's.
fn programs() -> PathBuf {
    let version = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let folders =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let newest = folders.filter(|folder| folder.join("bin/initdb").exists()).max_by_key(|folder| version(folder));
    newest.expect("PostgreSQL; install Debian's package `postgresql`").join("bin")
}

/// The user the package made, or else the one that owns nothing.
fn ordinary_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut parts = line.split(':').skip(2).map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).expect("a user that is not root")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
