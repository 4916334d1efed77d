//! `/metrics`: the account in Prometheus's text form.

use crate::router::Router;
use metlog_pipeline::{Away, Reason};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

struct Text(String);

impl Text {
    fn about(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { " " } else { "} " };
        let _ = writeln!(self.0, "{close}{value}");
    }
}

/// All of it.
pub fn text(router: &Router) -> String {
    let account = router.account();
    let mut out = Text(String::with_capacity(4096));
    let inputs = || account.inputs.iter().map(|(name, line)| (name.as_str(), line));
    out.about("metlog_received_total", "counter", "Messages, or what was meant as such.");
    inputs().for_each(|(name, line)| out.value("metlog_received_total", &[("input", name)], line.counts.received));
    out.about("metlog_received_bytes_total", "counter", "Bytes of them.");
    inputs().for_each(|(name, line)| out.value("metlog_received_bytes_total", &[("input", name)], line.counts.bytes));
    out.about("metlog_accepted_total", "counter", "Taken, whether or not any endpoint wants them.");
    inputs().for_each(|(name, line)| out.value("metlog_accepted_total", &[("input", name)], line.counts.accepted));
    out.about("metlog_unwanted_total", "counter", "Accepted, and wanted by no endpoint.");
    inputs().for_each(|(name, line)| out.value("metlog_unwanted_total", &[("input", name)], line.counts.unwanted));
    out.about("metlog_mended_total", "counter", "Accepted, and not strictly right before they were mended.");
    inputs().for_each(|(name, line)| out.value("metlog_mended_total", &[("input", name)], line.counts.mended));
    out.about("metlog_duplicates_total", "counter", "Known already, by client and running number.");
    inputs().for_each(|(name, line)| out.value("metlog_duplicates_total", &[("input", name)], line.counts.duplicates));
    out.about("metlog_refused_total", "counter", "Refused at the door; kept as dead letters.");
    for (name, line) in inputs() {
        for (reason, count) in Reason::ALL.iter().zip(line.counts.refused) {
            out.value("metlog_refused_total", &[("input", name), ("reason", reason.name())], count);
        }
    }
    out.about("metlog_lost_total", "counter", "Known to have been lost before they reached us, such as by the kernel.");
    inputs().for_each(|(name, line)| out.value("metlog_lost_total", &[("input", name)], line.counts.lost));

    out.about("metlog_turned_away_total", "counter", "Connections not let in, or thrown out.");
    for (name, line) in inputs() {
        for (why, count) in Away::ALL.iter().zip(line.counts.turned_away_for) {
            out.value("metlog_turned_away_total", &[("input", name), ("reason", why.name())], count);
        }
    }

    let losses = router.floor.clients.losses();
    out.about("metlog_clients", "gauge", "Clients whose running numbers are followed.");
    out.value("metlog_clients", &[], losses.clients);
    out.about("metlog_client_lost", "gauge", "Messages that clients numbered and that have not come.");
    out.value("metlog_client_lost", &[], losses.lost);
    out.about("metlog_client_untracked_total", "counter", "Messages whose running number could not be judged.");
    out.value("metlog_client_untracked_total", &[], losses.untracked);

    forwards(&mut out, router);
    endpoints(&mut out, &account.endpoints);
    out.about("metlog_unaccounted", "gauge", "What the sums leave over. Anything but 0 is a fault of the router.");
    inputs().for_each(|(name, line)| out.value("metlog_unaccounted", &[("input", name)], line.unaccounted));
    for line in &account.endpoints {
        out.value("metlog_unaccounted", &[("endpoint", &line.name)], line.unaccounted);
    }
    whole(&mut out, router);
    fleet(&mut out, router);
    ports(&mut out, router);
    keys(&mut out, router);
    out.0
}

fn endpoints(out: &mut Text, lines: &[crate::accounting::EndpointLine]) {
    type Read = fn(&crate::accounting::EndpointLine) -> u64;
    let table: [(&str, &str, &str, Read); 10] = [
        ("metlog_filtered_total", "counter", "Accepted and not wanted by this endpoint.", |line| line.filtered),
        ("metlog_delivered_total", "counter", "Delivered.", |line| line.counts.delivered),
        ("metlog_dead_letters_total", "counter", "Refused by the endpoint for good; kept as dead letters.", |line| {
            line.counts.dead
        }),
        ("metlog_dropped_total", "counter", "Given up: delivered at most once, or dropped to make room.", |line| {
            line.counts.dropped + line.skipped
        }),
        ("metlog_damaged_total", "counter", "Lost to damage of the spool's files.", |line| line.lost),
        ("metlog_buffered", "gauge", "Waiting.", |line| line.buffered),
        ("metlog_failures_total", "counter", "Tries that failed.", |line| line.failures),
        ("metlog_redelivered_total", "counter", "Messages sent again after a failure.", |line| line.redelivered),
        ("metlog_oldest_milliseconds", "gauge", "How long the oldest has been waiting.", |line| line.oldest_ms),
        ("metlog_endpoint_up", "gauge", "Whether the endpoint takes messages.", |line| {
            u64::from(line.state.doing == crate::accounting::Doing::Running)
        }),
    ];
    for (name, kind, help, read) in table {
        out.about(name, kind, help);
        lines.iter().for_each(|line| out.value(name, &[("endpoint", &line.name)], read(line)));
    }
}

/// Who else there is; nothing where no fleet is configured.
fn fleet(out: &mut Text, router: &Router) {
    let fleet = router.fleet.counts();
    if !fleet.configured {
        return;
    }
    out.about("metlog_fleet_routers", "gauge", "Routers of the fleet, as this one has heard them.");
    fleet.states.iter().for_each(|(state, count)| out.value("metlog_fleet_routers", &[("state", state)], count));
    out.about("metlog_fleet_connected", "gauge", "Whether this router hears itself where the fleet's routers report.");
    out.value("metlog_fleet_connected", &[], u64::from(fleet.connected));
    out.about("metlog_fleet_heard_total", "counter", "Reports that were heard, its own included.");
    out.value("metlog_fleet_heard_total", &[], fleet.heard);
    out.about("metlog_fleet_refused_total", "counter", "What was heard and counts for nothing.");
    for (reason, count) in fleet.refused {
        out.value("metlog_fleet_refused_total", &[("reason", reason)], count);
    }
}

/// How much each key is used: one that is not can go.
fn keys(out: &mut Text, router: &Router) {
    let keys = router.gate.keys();
    if keys.is_empty() {
        return;
    }
    out.about("metlog_key_requests_total", "counter", "Requests that came with this key.");
    keys.all().iter().for_each(|key| out.value("metlog_key_requests_total", &[("key", key.name())], key.used()));
}

/// What the HTTP ports count: connections, time-outs, bodies and names refused.
fn ports(out: &mut Text, router: &Router) {
    let ports = router.ports.lock().unwrap_or_else(PoisonError::into_inner);
    let mut told = BTreeSet::new();
    // A name's lines have to stand together.
    for (name, _, _) in ports.values().flat_map(|port| port.all().collect::<Vec<_>>()) {
        if !told.insert(name) {
            continue;
        }
        let kind = if name == "connections_open" { "gauge" } else { "counter" };
        let metric = format!("metlog_http_{name}{}", if kind == "gauge" { "" } else { "_total" });
        out.about(&metric, kind, "Of the HTTP port.");
        for (port, counters) in ports.iter() {
            for (_, label, value) in counters.all().filter(|(each, _, _)| *each == name) {
                let reason = [("port", port.as_str()), ("reason", label)];
                out.value(&metric, if label.is_empty() { &reason[..1] } else { &reason }, value);
            }
        }
    }
}

/// What other routers forward.
fn forwards(out: &mut Text, router: &Router) {
    let totals = router.floor.forwards.totals();
    let table: [(&str, &str, &str, u64); 8] = [
        (
            "metlog_forwarding_routers",
            "gauge",
            "Endpoints of other routers that have forwarded.",
            totals.routers as u64,
        ),
        (
            "metlog_forwarded_total",
            "counter",
            "Messages forwarded by them, repeated ones among these.",
            totals.received,
        ),
        (
            "metlog_forwarded_again_total",
            "counter",
            "Those that were known, and were not taken again.",
            totals.duplicates,
        ),
        ("metlog_forwarded_changed_total", "counter", "Those with an id that another message had had.", totals.changed),
        ("metlog_forwarded_collisions_total", "counter", "Requests that met another with the same.", totals.collisions),
        (
            "metlog_forward_loops_total",
            "counter",
            "Requests refused: their messages went round in circles.",
            totals.loops,
        ),
        ("metlog_forwarded_remembered", "gauge", "Messages that would be known again.", totals.remembered),
        ("metlog_forwarded_forgotten_total", "counter", "Messages forgotten to make room.", totals.forgotten),
    ];
    for (name, kind, help, value) in table {
        out.about(name, kind, help);
        out.value(name, &[], value);
    }
}

fn whole(out: &mut Text, router: &Router) {
    let spool = router.floor.spool.status();
    let dead = router.floor.dead.totals();
    let table: [(&str, &str, &str, u64); 11] = [
        ("metlog_spool_bytes", "gauge", "Disk the spool takes.", spool.bytes),
        ("metlog_spool_max_bytes", "gauge", "Disk it may take.", spool.max_bytes),
        ("metlog_spool_free_bytes", "gauge", "Free on its disk.", spool.free.unwrap_or_default()),
        ("metlog_spool_segments", "gauge", "Files of the spool.", spool.segments as u64),
        ("metlog_spool_next_id", "counter", "The id of the next message.", spool.next_id),
        ("metlog_spool_syncs_total", "counter", "Times the spool was brought to the disk.", spool.syncs),
        ("metlog_dead_letters_written_total", "counter", "Dead letters kept, of inputs and endpoints.", dead.written),
        ("metlog_dead_letters_failed_total", "counter", "Dead letters that could not be kept.", dead.failed),
        (
            "metlog_reloads_total",
            "counter",
            "Configurations applied while running.",
            router.reloads.applied.load(Relaxed),
        ),
        (
            "metlog_reloads_refused_total",
            "counter",
            "Configurations refused while running.",
            router.reloads.refused.load(Relaxed),
        ),
        ("metlog_uptime_seconds", "gauge", "Since the start.", router.started.elapsed().as_secs()),
    ];
    for (name, kind, help, value) in table {
        out.about(name, kind, help);
        out.value(name, &[], value);
    }
    out.about("metlog_build_info", "gauge", "The version, as a label.");
    out.value("metlog_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
}
