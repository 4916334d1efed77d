use crate::line::{self, Kind, Tags};
use crate::metric::{Metric, Naming};
use crate::tally::{Full, Tally};
use crate::tcp::Tcp;
use crate::udp::{BURST, Udp};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, EndpointEntry, Pacing, Picked, Promise, SendError, inventory};
use metlog_settings::{Size, Span};
use serde::Deserialize;
use std::time::Duration;

/// The most that fits in one datagram: 65535 less the headers of UDP (8) and IPv4 (20).
const DATAGRAM: u64 = 65_507;
/// Lines in one hand-over to a TCP connection.
const HAND_OVER: usize = 64 * 1024;
/// Reasons named in one error text.
const REASONS: usize = 3;

/// Settings of the endpoint `statsd`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `host:port` of the server. `127.0.0.1:8125` by default.
    pub address: String,
    /// `udp`, or `tcp`, which loses less.
    pub protocol: Protocol,
    /// Stands in front of every name, with a dot between. Empty by default.
    pub prefix: String,
    /// Whether the message's logger stands in front of its name, after the prefix: `fields.logger`, or else `logger`.
    /// `true` by default.
    pub namespace: bool,
    /// How fields become tags: `none` (parts of the name), `dogstatsd`, `influx`, `graphite`.
    pub tags: Tags,
    /// Which fields become tags; what is no field may be a key of the envelope, such as `metlog_hostname`.
    pub tag_fields: Vec<String>,
    /// A UDP packet at the most; also the longest line. `1432` by default, which fits an ordinary network; `512` for
    /// the internet, `8932` with jumbo frames.
    pub packet_bytes: Size,
    /// UDP packets at the most; more in a row run over the server's buffer and are lost. `0`: no limit. `5000` by
    /// default, which is some 300 000 lines.
    pub packets_per_second: u32,
    /// Whether counters of one name and rate that come together are summed. `true` by default.
    pub aggregate: bool,
    /// How long a measurement waits for company. `1s` by default.
    pub flush_interval: Span,
    /// For connecting over TCP, and for each hand-over. `5s` by default.
    pub timeout: Span,
}

/// How lines travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Many lines in a datagram; what is lost is lost.
    #[default]
    Udp,
    /// Lines over a connection that is kept.
    Tcp,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            address: "127.0.0.1:8125".into(),
            protocol: Protocol::Udp,
            prefix: String::new(),
            namespace: true,
            tags: Tags::None,
            tag_fields: Vec::new(),
            packet_bytes: Size(1432),
            packets_per_second: 5000,
            aggregate: true,
            flush_interval: Span(Duration::from_secs(1)),
            timeout: Span(Duration::from_secs(5)),
        }
    }
}

/// Writes counters, timers and gauges as lines of statsd.
pub struct StatsdEndpoint {
    naming: Naming,
    metric: Metric,
    longest: usize,
    /// What the crate `statsd` sends, and what it cannot.
    plain: Tally,
    own: Tally,
    way: Way,
    settled: Settled,
    pacing: Pacing,
}

enum Way {
    Udp(Box<Udp>),
    Tcp(Tcp),
}

/// What is known of a batch that comes again, because the router counts only what went through from its beginning.
#[derive(Debug, Default)]
struct Settled {
    /// Everything up to this id had its verdict.
    upto: Option<u64>,
    refused: Vec<u64>,
    whys: Vec<Why<u64>>,
}

/// Why some messages are refused: the first of them, how many, and the words.
#[derive(Debug)]
struct Why<At>(At, usize, String);

/// The verdicts on a batch.
struct Account<'a> {
    ids: &'a [u64],
    /// Messages before this one have their verdict.
    from: usize,
    refused: Vec<usize>,
    whys: Vec<Why<usize>>,
}

impl<'a> Account<'a> {
    fn resume(ids: &'a [u64], settled: Settled) -> Self {
        let from = settled.upto.map_or(0, |upto| ids.partition_point(|id| *id <= upto));
        let refused = settled.refused.iter().filter_map(|id| ids.binary_search(id).ok()).collect();
        let whys = settled.whys.into_iter();
        let whys = whys.filter_map(|Why(id, count, why)| Some(Why(ids.binary_search(&id).ok()?, count, why))).collect();
        Account { ids, from, refused, whys }
    }

    fn refuse(&mut self, which: &[usize], why: impl FnOnce() -> String) {
        if self.whys.len() < REASONS
            && let Some(first) = which.first()
        {
            self.whys.push(Why(*first, which.len(), why()));
        }
        self.refused.extend_from_slice(which);
    }

    /// Nothing from this position on has been sent.
    fn put_off(mut self, from: usize, why: String) -> (SendError, Settled) {
        self.refused.retain(|at| *at < from);
        let done = self.refused.iter().copied().min().unwrap_or(from);
        let upto = from.checked_sub(1).and_then(|last| self.ids.get(last)).copied();
        let refused = self.refused.iter().filter_map(|at| self.ids.get(*at)).copied().collect();
        let whys = self.whys.into_iter().filter(|Why(first, ..)| *first < from);
        let whys = whys.filter_map(|Why(first, count, why)| Some(Why(*self.ids.get(first)?, count, why))).collect();
        (SendError::retry_after_first(done, why), Settled { upto, refused, whys })
    }

    fn verdict(self) -> Result<(), SendError> {
        if self.refused.is_empty() {
            return Ok(());
        }
        let mut text = format!("{} of {} refused", self.refused.len(), self.ids.len());
        for Why(first, count, why) in &self.whys {
            text.push_str(&match count {
                1 => format!("; number {first}: {why}"),
                count => format!("; {count} from number {first} on: {why}"),
            });
        }
        Err(SendError::Refuse { why: text, which: self.refused })
    }
}

/// Delivery ends here for now: nothing from this position on has been sent.
struct Stop {
    from: usize,
    why: String,
}

impl StatsdEndpoint {
    fn deliver(&mut self, batch: &Picked<'_>, account: &mut Account<'_>) -> Result<(), Stop> {
        let ready = match &mut self.way {
            Way::Udp(udp) => udp.ready(),
            Way::Tcp(tcp) => tcp.ready(),
        };
        ready.map_err(|why| Stop { from: account.from, why })?;
        for (at, message) in batch.lines().iter().enumerate().skip(account.from) {
            let kind = match self.metric.read(message, &self.naming) {
                Ok(kind) => kind,
                Err(why) => {
                    account.refuse(&[at], || why);
                    continue;
                }
            };
            let Metric { name, value, rate, suffix, .. } = &self.metric;
            let width = line::width(kind, name, *value, *rate, suffix);
            if width > self.longest {
                let longest = self.longest;
                account.refuse(&[at], || format!("its line has {width} bytes, and `packet_bytes` is {longest}"));
                continue;
            }
            let plain = matches!(self.way, Way::Udp(_)) && line::is_plain(kind, *value, *rate, suffix);
            self.put(at, kind, plain, account)?;
        }
        self.flush_plain();
        self.flush_own(account)
    }

    fn put(&mut self, at: usize, kind: Kind, plain: bool, account: &mut Account<'_>) -> Result<(), Stop> {
        // Of two gauges the later one counts, so they must not overtake each other.
        let other = if plain { &self.own } else { &self.plain };
        if kind == Kind::Gauge && other.has_gauges() {
            if plain { self.flush_own(account)? } else { self.flush_plain() }
        }
        let tally = if plain { &mut self.plain } else { &mut self.own };
        if let Err(Full) = tally.add(at, kind, &self.metric) {
            if plain {
                self.flush_plain()
            } else {
                self.flush_own(account)?
            }
            let tally = if plain { &mut self.plain } else { &mut self.own };
            // An empty one takes everything.
            let _ = tally.add(at, kind, &self.metric);
        }
        Ok(())
    }

    fn flush_plain(&mut self) {
        if let Way::Udp(udp) = &mut self.way {
            udp.send_plain(&self.plain);
        }
        self.plain.clear();
    }

    fn flush_own(&mut self, account: &mut Account<'_>) -> Result<(), Stop> {
        let Some(&first) = self.own.members().first() else { return Ok(()) };
        let mut stop = Ok(());
        match &mut self.way {
            Way::Udp(udp) => {
                if let Err(why) = udp.send_own(&self.own) {
                    account.refuse(self.own.members(), || why);
                }
            }
            Way::Tcp(tcp) => match tcp.send(&self.own) {
                Ok(()) => {}
                // Sent again it might count twice; so it is put where people can see it.
                Err(failed) if failed.begun => {
                    account.refuse(self.own.members(), || format!("{}; it may have arrived", failed.why));
                }
                Err(failed) => stop = Err(Stop { from: first, why: failed.why }),
            },
        }
        self.own.clear();
        stop
    }
}

impl Endpoint for StatsdEndpoint {
    fn write(&mut self, batch: &Picked<'_>) -> Result<(), SendError> {
        let mut account = Account::resume(batch.ids(), std::mem::take(&mut self.settled));
        // After a panic something may be left of an earlier batch.
        self.plain.clear();
        self.own.clear();
        match self.deliver(batch, &mut account) {
            Ok(()) => account.verdict(),
            Err(Stop { from, why }) => {
                let (error, settled) = account.put_off(from, why);
                self.settled = settled;
                Err(error)
            }
        }
    }

    fn reopen(&mut self) {
        match &mut self.way {
            Way::Udp(udp) => udp.let_go(),
            Way::Tcp(tcp) => tcp.let_go(),
        }
    }

    fn close(&mut self, _within: Duration) -> Result<(), SendError> {
        self.reopen();
        Ok(())
    }

    fn pacing(&self) -> Pacing {
        self.pacing
    }

    fn promise(&self) -> Promise {
        Promise::AtMostOnce
    }
}

/// What the settings come to.
struct Plan {
    address: String,
    longest: usize,
    /// With its dot.
    prefix: String,
    timeout: Duration,
}

impl Plan {
    fn of(config: &Config) -> Result<Self, String> {
        let address = config.address.trim().to_owned();
        match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {}
            _ => return Err(format!("`address` is {address:?}; it is written like `127.0.0.1:8125`")),
        }
        let longest = match config.packet_bytes.bytes() {
            bytes @ 64..=DATAGRAM => usize::try_from(bytes).unwrap_or(HAND_OVER),
            bytes => return Err(format!("`packet_bytes` is {bytes}; 64 to {DATAGRAM} are possible, 1432 is usual")),
        };
        let mut prefix = String::new();
        line::clean(&mut prefix, config.prefix.trim_end_matches('.'));
        if prefix != config.prefix.trim_end_matches('.') {
            return Err(format!(
                "`prefix` is {:?}; letters, digits, `_`, `-` and dots can stand in a name",
                config.prefix
            ));
        }
        if !prefix.is_empty() {
            prefix.push('.');
        }
        if config.tag_fields.iter().any(String::is_empty) {
            return Err("`tag_fields` holds an empty name".to_owned());
        }
        if config.tags != Tags::None && config.tag_fields.is_empty() {
            return Err("`tags` needs `tag_fields`: the names of the fields that become tags".to_owned());
        }
        let timeout = config.timeout.duration();
        if timeout.is_zero() {
            return Err("`timeout` is zero: nothing is ever that fast".to_owned());
        }
        Ok(Plan { address, longest, prefix, timeout })
    }
}

impl Configured for StatsdEndpoint {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        Plan::of(config).map(drop)
    }

    fn open(config: Config) -> Result<Self, String> {
        let Plan { address, longest, prefix, timeout } = Plan::of(&config)?;
        let (way, room) = match config.protocol {
            Protocol::Udp => (Way::Udp(Box::new(Udp::new(address, longest, config.packets_per_second))), longest),
            Protocol::Tcp => (Way::Tcp(Tcp::new(address, timeout)), HAND_OVER),
        };
        Ok(StatsdEndpoint {
            naming: Naming { prefix, namespace: config.namespace, tags: config.tags, tag_fields: config.tag_fields },
            metric: Metric::default(),
            longest,
            plain: Tally::new(longest * BURST, config.aggregate),
            own: Tally::new(room, config.aggregate),
            way,
            settled: Settled::default(),
            // The cursor goes to the disk before each hand-over, so few large ones are better than many small.
            pacing: Pacing {
                messages: 16_384,
                bytes: 4 * 1024 * 1024,
                wait: config.flush_interval.duration(),
                ..Pacing::default()
            },
        })
    }
}

inventory::submit! {
    EndpointEntry::of::<StatsdEndpoint>("statsd", &[], include_str!("../example.endpoint.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_comes_again_has_its_verdicts_already() {
        let mut account = Account::resume(&[10, 11, 20, 21, 22], Settled::default());
        account.refuse(&[1], || "no".into());
        account.refuse(&[4], || "seen too early".into());
        let (error, settled) = account.put_off(3, "gone".into());
        assert_eq!(error, SendError::Retry { why: "gone".into(), after: None, done: 1 });

        // What was done is left away; 11 stays refused, 20 went through.
        let (error, settled) = Account::resume(&[11, 20, 21, 22], settled).put_off(2, "still".into());
        assert_eq!(error, SendError::Retry { why: "still".into(), after: None, done: 0 });
        let account = Account::resume(&[11, 20, 21, 22], settled);
        assert_eq!(account.from, 2);
        assert_eq!(
            account.verdict(),
            Err(SendError::Refuse { why: "1 of 4 refused; number 0: no".into(), which: vec![0] })
        );
    }

    #[test]
    fn another_batch_has_no_verdict_yet() {
        let settled = Settled { upto: Some(5), refused: vec![4], whys: vec![Why(4, 1, "no".into())] };
        let account = Account::resume(&[6, 7], settled);
        assert_eq!((account.from, account.verdict()), (0, Ok(())));
    }
}
