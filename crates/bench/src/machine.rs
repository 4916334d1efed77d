//! The machine: what it is, where the caller runs, and what its threads used.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// The processor's name, as the system tells it.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    named.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// How busy the machine was over the last minute: numbers taken beside other work are read with care.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned()
}

/// Ties the calling thread to the first processor it may use. Threads started before stay free; those started later
/// would inherit it. False where the system does not offer it.
pub fn pin() -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let Ok(may) = sched_getaffinity(None) else { return false };
        let Some(first) = (0..CpuSet::MAX_CPU).find(|cpu| may.is_set(*cpu)) else { return false };
        let mut only = CpuSet::new();
        only.set(first);
        sched_setaffinity(None, &only).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Starts a thread for each processor but one that does nothing, without end.
pub fn keep_others_busy() {
    for _ in 1..std::thread::available_parallelism().map_or(1, usize::from) {
        // If it does not start, the machine is busy enough.
        let _ = std::thread::Builder::new().name("busy".into()).spawn(|| {
            loop {
                std::hint::black_box(());
            }
        });
    }
}

/// Processor time of a process so far, in nanoseconds, of all threads that it still has.
pub fn used_by(process: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let each = tasks.into_iter().flatten().flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    each.sum()
}

/// Processor time in nanoseconds of each of the process's threads, by name; threads of one name are added up. The main
/// thread is the `caller`; threads that nobody named are `unnamed`. Empty where the system does not tell. Its steps are
/// ten milliseconds, so it says nothing about short runs.
pub fn threads() -> BTreeMap<String, u64> {
    let main = std::process::id().to_string();
    let stat = |id: &OsStr| fs::read_to_string(Path::new("/proc/self/task").join(id).join("stat")).ok();
    // A thread that is given no name has the main thread's.
    let unnamed = stat(OsStr::new(&main)).as_deref().and_then(thread).map(|(name, _)| name);
    let mut used = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let id = task.file_name();
        let Some((name, nanos)) = stat(&id).as_deref().and_then(thread) else { continue };
        let name = match name {
            _ if id == *main => "caller".to_owned(),
            name if Some(&name) == unnamed.as_ref() => "unnamed".to_owned(),
            name => name,
        };
        *used.entry(name).or_insert(0) += nanos;
    }
    used
}

/// Name and processor time from a thread's `stat`: the name stands in parentheses and may hold anything.
fn thread(stat: &str) -> Option<(String, u64)> {
    let (front, rest) = stat.rsplit_once(')')?;
    let (_, name) = front.split_once('(')?;
    let mut numbers = rest.split_ascii_whitespace().skip(11).map(|number| number.parse::<u64>().ok());
    let (user, system) = (numbers.next()??, numbers.next()??);
    // The unit is the system's clock tick, which Linux shows user space as a hundredth of a second on every machine
    // this runs on.
    Some((name.to_owned(), (user + system) * 10_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_among_the_threads() {
        if cfg!(target_os = "linux") {
            assert!(threads().contains_key("caller"), "{:?}", threads());
        }
    }

    #[test]
    fn a_threads_line_is_read_whatever_its_name() {
        let line = "77 (odd ) (name) S 1 1 1 0 -1 0 5 0 0 0 12 3 0 0 20 0 1 0 9 0 0";
        assert_eq!(thread(line), Some(("odd ) (name".to_owned(), 150_000_000)));
        assert_eq!(thread("77 (cut"), None);
        assert_eq!(thread("77 (short) S 1 1"), None);
    }
}
