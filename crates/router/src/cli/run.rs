//! `run`: from the first line on the screen to the last.

use super::service::Service;
use super::{ConfigFile, exit, wrong};
use crate::config::{self, Plan};
use crate::router::{Left, Router};
use crate::say;
use metlog_spool::Recovery;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Arguments of `run`.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Run {
    #[command(flatten)]
    file: ConfigFile,
}

struct Signals {
    reload: Signal,
    stop: Signal,
    interrupt: Signal,
}

impl Run {
    pub(super) fn go(self) -> ExitCode {
        let mut plan = match config::load(self.file.config.as_deref()) {
            Ok(plan) => plan,
            Err(problems) => return wrong(&problems),
        };
        match plan.examine() {
            Ok(remarks) => plan.warnings.extend(remarks),
            Err(problems) => return wrong(&problems),
        }
        let service = Service::enter();
        let runtime = match runtime(&plan) {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("no threads to run on: {error}");
                return exit::failed();
            }
        };
        more_files();
        let signals = runtime.block_on(async {
            Ok::<_, std::io::Error>(Signals {
                reload: signal(SignalKind::hangup())?,
                stop: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            })
        });
        let (router, recovery) = match Router::start(&plan, runtime.handle()) {
            Ok(started) => started,
            Err(why) => {
                eprintln!("{why}");
                return exit::failed();
            }
        };
        let file = self.file.config.clone();
        router.reload_by(Box::new(move || {
            let plan = config::load(file.as_deref()).map_err(|problems| problems.to_string())?;
            let remarks = plan.examine().map_err(|problems| problems.to_string())?;
            remarks.iter().for_each(|remark| say!("note: {remark}"));
            Ok(plan)
        }));
        greet(&plan, &router, &recovery, self.file.config.is_none());
        service.ready(&router);
        match signals {
            Ok(signals) => attend(&runtime, &router, signals, &service),
            Err(error) => {
                eprintln!("signals cannot be handled: {error}");
                exit::failed()
            }
        }
    }
}

/// Runs until it is told to stop.
fn attend(runtime: &Runtime, router: &Arc<Router>, mut signals: Signals, service: &Service) -> ExitCode {
    enum Call {
        Reload,
        Beat,
        Stop,
    }
    loop {
        let call = runtime.block_on(async {
            tokio::select! {
                _ = signals.reload.recv() => Call::Reload,
                () = service.beat() => Call::Beat,
                _ = signals.stop.recv() => Call::Stop,
                _ = signals.interrupt.recv() => Call::Stop,
            }
        });
        match call {
            Call::Reload => {
                service.reloading();
                // It says itself what came of it.
                service.reloaded(&router.reload_again());
            }
            Call::Beat => service.alive(router),
            Call::Stop => break,
        }
    }
    service.stopping();
    let drain = router.drain();
    say!("stopping; endpoints have {drain:?} for what is there, a second signal ends at once");
    let stopping = router.clone();
    let stopped = runtime.spawn_blocking(move || stopping.stop(Instant::now() + drain));
    let left = runtime.block_on(async {
        tokio::select! {
            left = stopped => left.ok(),
            _ = signals.stop.recv() => None,
            _ = signals.interrupt.recv() => None,
        }
    });
    match left {
        Some(left) => {
            farewell(router, &left);
            std::process::exit(i32::from(!left.hanging.is_empty()));
        }
        None => {
            say!("ended at once; what was acknowledged is in the spool and is delivered after the next start");
            std::process::exit(1);
        }
    }
}

/// As many open files as the system lets us have: connections, segments and log files are files.
fn more_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer it goes on too.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn runtime(plan: &Plan) -> std::io::Result<Runtime> {
    let threads = match plan.router.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(4),
        threads => threads,
    };
    Builder::new_multi_thread().worker_threads(threads).max_blocking_threads(16).thread_name("in").enable_all().build()
}

fn greet(plan: &Plan, router: &Router, recovery: &Recovery, by_default: bool) {
    say!("metlog-router {}", env!("CARGO_PKG_VERSION"));
    if by_default {
        say!("no configuration given: everything is kept; `metlog-router init` prints this as a file to begin with");
    }
    plan.warnings.iter().for_each(|warning| say!("note: {warning}"));
    tell_recovery(recovery);
    for (name, place) in router.places() {
        say!("input {name}: {place}");
    }
    let keys: Vec<&str> = plan.keys.all().iter().map(|key| key.name()).collect();
    if !keys.is_empty() {
        say!("keys: {}", keys.join(", "));
    }
    for endpoint in &plan.endpoints {
        say!("endpoint {}", endpoint.name);
    }
    if let Some((_, at)) =
        router.places().into_iter().find(|(_, place)| place.starts_with("http://") || place.starts_with("https://"))
    {
        // The key that whoever starts the router is most likely to have at hand.
        let key = if plan.keys.is_empty() { "" } else { "-H \"Authorization: Bearer $METLOG_KEY\" " };
        say!("send a first message: curl {key}-d '{{\"type\":\"hello\",\"payload\":\"it works\"}}' {at}/v1/messages");
        // Questions are answered on the router's own port alone.
        let own = plan.inputs.iter().find(|input| input.on_own_port().is_some());
        let place = own.and_then(|own| router.places().into_iter().find(|(name, _)| *name == own.name));
        if let (Some(_), Some((_, at))) = (plan.store(), place) {
            say!("find it again: curl {key}'{at}/v1/messages?query=works'; how else to ask: {at}/docs");
        }
        let to =
            if plan.router.tls.is_some() && at.starts_with("https://") { format!(" --to {at}") } else { String::new() };
        say!("see what becomes of it: metlog-router status{to}");
    }
}

/// What was found in the spool, if it was not left as it should be.
fn tell_recovery(found: &Recovery) {
    if found.fresh {
        return;
    }
    if !found.clean {
        say!("spool: the last run did not end by itself; {} files, {} bytes are there", found.segments, found.bytes);
    }
    if found.state_damaged {
        say!("spool: the cursors were damaged: endpoints start over from the oldest message, or a little behind");
    }
    if found.torn_bytes > 0 {
        let Recovery { torn_bytes, torn_messages, .. } = found;
        say!("spool: {torn_bytes} bytes were being written, {torn_messages} messages that had not been acknowledged");
    }
    if found.damaged_bytes > 0 {
        let Recovery { damaged_bytes, damaged_messages, .. } = found;
        say!("spool: {damaged_bytes} bytes are damaged and {damaged_messages} messages lost with them");
    }
    if !found.quarantined.is_empty() {
        say!("spool: what is damaged is kept in quarantine: {}", found.quarantined.join(", "));
    }
    for why in &found.unreadable {
        say!("spool: {why}");
    }
}

fn farewell(router: &Router, left: &Left) {
    let account = router.account();
    for line in &account.endpoints {
        say!(
            "endpoint {}: {} delivered, {} dead letters, {} waiting",
            line.name,
            line.counts.delivered,
            line.counts.dead,
            line.buffered
        );
    }
    for (name, count) in &left.waiting {
        say!("endpoint {name}: {count} messages wait in the spool for the next start");
    }
    for name in &left.hanging {
        say!("endpoint {name} did not come back in time and was left alone");
    }
    say!("unaccounted for: {}", account.unaccounted());
}
