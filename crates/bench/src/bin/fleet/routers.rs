//! Routers in processes of their own, each from the stream into a file.

use metlog_bench::machine;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longer than any of it takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// Of this time a router that is held runs so long, and stands still for the rest: a processor of a fifth of the speed.
const TURN: Duration = Duration::from_millis(10);
const RUNNING: Duration = Duration::from_millis(2);

/// One of them.
pub struct Router {
    child: Child,
    folder: PathBuf,
}

impl Router {
    /// Starts one, on this processor or on all.
    pub fn start(folder: &Path, url: &str, processor: Option<usize>) -> io::Result<Router> {
        fs::create_dir_all(folder)?;
        let file = folder.join("router.toml");
        let (data, out) = (folder.join("data"), folder.join("out.jsonl"));
        fs::write(
            &file,
            format!(
                "[router]\nhttp = ''\ndata = '{}'\n[inputs.fleet]\ntype = 'nats'\nurls = ['{url}']\n\
                 stream = {{ name = 'METLOG' }}\n[endpoints.out]\ntype = 'file'\npath = '{}'\n",
                data.display(),
                out.display()
            ),
        )?;
        let program = std::env::current_exe()?;
        let mut command = match processor {
            None => Command::new(program),
            Some(processor) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["-c", &processor.to_string()]).arg(program);
                pinned
            }
        };
        command.args(["serve", "run", "--config"]).arg(&file);
        let log = fs::File::create(folder.join("log.txt"))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        Ok(Router { child, folder: folder.to_owned() })
    }

    /// Bytes it has written down.
    pub fn written(&self) -> u64 {
        fs::metadata(self.folder.join("out.jsonl")).map_or(0, |file| file.len())
    }

    /// Processor time so far, in nanoseconds.
    pub fn cpu(&self) -> u64 {
        machine::used_by(self.child.id())
    }

    fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Messages in its file behind this place, which moves on to the end.
    pub fn count(&self, from: &mut u64) -> io::Result<usize> {
        let mut file = fs::File::open(self.folder.join("out.jsonl"))?;
        file.seek(SeekFrom::Start(*from))?;
        let mut text = Vec::new();
        *from += file.read_to_end(&mut text)? as u64;
        Ok(memchr::memchr_iter(b'\n', &text).count())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Holds routers while something is done, one after the other, so that neither they nor the server wait for a processor.
pub fn held<T>(routers: &[Router], work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (number, router) in (0..).zip(routers) {
            let done = &done;
            scope.spawn(move || {
                std::thread::sleep(TURN / routers.len() as u32 * number);
                while !done.load(Ordering::Relaxed) {
                    router.signal(Signal::CONT);
                    std::thread::sleep(RUNNING);
                    router.signal(Signal::STOP);
                    std::thread::sleep(TURN - RUNNING);
                }
                router.signal(Signal::CONT);
            });
        }
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// What some of them did together.
#[derive(Clone, Copy)]
pub struct Done {
    /// Messages a second, from when each had some.
    pub rate: f64,
    /// Processor time for a message in nanoseconds, of the routers and of the server.
    pub cpu: (f64, f64),
}

/// Waits until these bytes are in their files.
pub fn watch(routers: &[Router], server: u32, bytes: u64, count: usize) -> io::Result<Done> {
    let began = Instant::now();
    let written = || routers.iter().map(Router::written).sum::<u64>();
    let cpu = || (routers.iter().map(Router::cpu).sum::<u64>(), machine::used_by(server));
    let wait = |what: &dyn Fn() -> bool| {
        while !what() {
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{} of {bytes} bytes came", written())));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    };
    wait(&|| routers.iter().all(|router| router.written() > 0))?;
    let (first, start, before) = (Instant::now(), written(), cpu());
    wait(&|| written() >= bytes)?;
    let (seconds, after) = (first.elapsed().as_secs_f64(), cpu());
    let there: usize = routers.iter().map(|router| router.count(&mut 0)).sum::<io::Result<usize>>()?;
    if there != count {
        return Err(io::Error::other(format!("{there} of {count} messages came")));
    }
    let messages = count as f64 * (bytes - start) as f64 / bytes as f64;
    let each = |before: u64, after: u64| (after - before) as f64 / messages;
    Ok(Done { rate: messages / seconds, cpu: (each(before.0, after.0), each(before.1, after.1)) })
}
