//! The contract of senders, as clauses. A plugin implements [`Peer`] for its real receiving end and writes
//! `metlog_testkit::contract!(NewPeer)`, which makes one test of each clause.
//!
//! Every clause ends with the sum, message by message: offered = arrived + refused + given up (+ lost, where the
//! transport may lose).

use crate::{eventually, sample};
use metlog_message::{Lines, Message, wire};
use metlog_pipeline::Sender;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub use crate::drive::{Numbers, Outcome, Policy, drive};

/// A message at the receiving end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The number [`sample::message`] gave it.
    pub number: u64,
    /// Its payload.
    pub payload: String,
}

impl Arrived {
    /// From a message's JSON as [`wire::write`] made it.
    ///
    /// # Panics
    /// If it is not the JSON of a sample, byte for byte: a sender that garbles messages fails its test here.
    pub fn of_json(text: &[u8]) -> Self {
        let message = message(text);
        let mut again = Vec::with_capacity(text.len());
        wire::write(&mut again, &message);
        let [came, again] = [text, &again].map(String::from_utf8_lossy);
        assert_eq!(came, again, "not the bytes that were sent; if this transport may lay JSON out anew, use of_layout");
        Self::of_message(&message)
    }

    /// From a message's JSON that a transport may have laid out anew: indented, say.
    ///
    /// # Panics
    /// If it is not the JSON of a sample.
    pub fn of_layout(text: &[u8]) -> Self {
        Self::of_message(&message(text))
    }

    /// From a message.
    ///
    /// # Panics
    /// If it is not a sample.
    pub fn of_message(message: &Message) -> Self {
        let number = sample::number_of(message).unwrap_or_else(|| panic!("no sample: {message:?}"));
        Arrived { number, payload: message.payload.to_text().into_owned() }
    }
}

fn message(text: &[u8]) -> Message {
    let read = wire::read(text, &wire::Limits::default());
    read.unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(text))).message
}

/// What a transport promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// May lose what was sent when the peer goes, and never sends twice.
    AtMostOnce,
    /// May lose what stood in the connection's buffers when the peer went: nobody acknowledges anything.
    Buffered,
    /// What it reported as sent has arrived; it may send a batch twice around a failure.
    AtLeastOnce,
    /// What it reported as sent has arrived, and nothing else: it knows at every failure how far it came.
    Exact,
}

/// A receiving end for tests.
pub trait Peer {
    /// A new sender towards it.
    fn sender(&mut self) -> Box<dyn Sender>;

    /// All that arrived so far, in order.
    fn arrived(&mut self) -> Vec<Arrived>;

    /// What the transport promises.
    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    /// How long what was sent may take until it has arrived.
    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// Goes away, so that nothing accepts anything. False if this kind of peer cannot.
    fn stop(&mut self) -> bool {
        false
    }

    /// Comes back where it was.
    fn start(&mut self) {}

    /// Waits this long before it takes each thing in. False if this kind of peer cannot.
    fn slow_down(&mut self, _pause: Duration) -> bool {
        false
    }

    /// From now on refuses for good the messages with these numbers. False if this kind of peer cannot.
    fn refuse(&mut self, _numbers: &[u64]) -> bool {
        false
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

/// What one clause offered a sender, and what the sender said became of it.
#[derive(Default)]
struct Books {
    offered: BTreeSet<u64>,
    said: Numbers,
    errors: usize,
    /// The peer was away for a while.
    interrupted: bool,
}

impl Books {
    fn drive<'a>(&mut self, sender: &mut dyn Sender, lines: Lines, policy: impl Into<Policy<'a>>) -> Outcome {
        self.offered.extend(lines.iter().filter_map(sample::number));
        let outcome = drive(sender, lines, policy);
        let Numbers { sent, refused, given_up } = &outcome.numbers;
        self.said.sent.extend(sent);
        self.said.refused.extend(refused);
        self.said.given_up.extend(given_up);
        self.errors += outcome.errors.len();
        outcome
    }

    /// Waits for what must come, then a moment for what must not, and compares what arrived with what was said.
    fn balance(&self, peer: &mut dyn Peer) -> Vec<Arrived> {
        let Numbers { sent, refused, given_up } = &self.said;
        let told: BTreeSet<u64> = sent.iter().chain(refused).chain(given_up).copied().collect();
        assert_eq!(told, self.offered, "each message has a verdict");
        assert_eq!(told.len(), sent.len() + refused.len() + given_up.len(), "one verdict: {:?}", self.said);

        let delivery = peer.delivery();
        let may_lose = self.interrupted && matches!(delivery, Delivery::AtMostOnce | Delivery::Buffered);
        if !may_lose {
            wait_for(peer, sent);
        }
        std::thread::sleep(Duration::from_millis(30));
        let arrived = peer.arrived();
        let there = numbers(&arrived);
        let lost: Vec<&u64> = sent.difference(&there).collect();
        assert!(lost.is_empty() || may_lose, "reported as sent and not arrived: {lost:?}");
        let invented: Vec<&u64> = there.difference(&self.offered).collect();
        assert!(invented.is_empty(), "never offered and arrived: {invented:?}");
        assert!(there.is_disjoint(refused), "reported as refused and arrived");
        let once = matches!(delivery, Delivery::AtMostOnce | Delivery::Exact);
        assert!(!once || there.is_disjoint(given_up), "reported as not sent and arrived");
        let twice = arrived.len() - there.len();
        assert!(twice == 0 || (!once && self.errors > 0), "{twice} arrived more than once");
        arrived
    }
}

/// Waits for what must come. Whether it has come is looked at afterwards, together with what must not.
fn wait_for(peer: &mut dyn Peer, these: &BTreeSet<u64>) {
    let _ = eventually(peer.patience(), || numbers(&peer.arrived()).is_superset(these));
}

fn numbers(arrived: &[Arrived]) -> BTreeSet<u64> {
    arrived.iter().map(|message| message.number).collect()
}

fn in_order(arrived: &[Arrived]) -> Vec<u64> {
    arrived.iter().map(|message| message.number).collect()
}

/// Says in the test's output that a clause asked nothing, since this kind of peer cannot be made to do it.
fn not_asked(what: &str) {
    println!("nothing was asked: this peer cannot {what}");
}

fn close(mut sender: Box<dyn Sender>) {
    sender.close(Duration::from_secs(2)).expect("closes");
}

/// All arrive, once each, in order.
pub fn success(peer: &mut dyn Peer) {
    let (mut sender, mut books) = (peer.sender(), Books::default());
    for batch in 0..3 {
        let outcome = books.drive(&mut *sender, sample::lines(batch * 100, 100), PATIENCE);
        assert_eq!((outcome.sent, outcome.refused, outcome.given_up), (100, 0, 0), "{outcome:?}");
        if peer.delivery() == Delivery::AtMostOnce {
            // Nothing holds the sender back here, and all three together are more than the receiving socket's buffer.
            wait_for(peer, &books.said.sent);
        }
    }
    sender.flush().expect("flushes");
    assert_eq!(in_order(&books.balance(peer)), (0..300).collect::<Vec<_>>());
    close(sender);
}

/// An empty batch is no error and sends nothing.
pub fn nothing(peer: &mut dyn Peer) {
    let (mut sender, mut books) = (peer.sender(), Books::default());
    books.drive(&mut *sender, sample::lines(0, 1), PATIENCE);
    sender.send(&Lines::new()).expect("nothing to do");
    sender.flush().expect("nothing to do");
    assert_eq!(books.balance(peer).len(), 1);
    close(sender);
}

/// Content arrives as it was, one message per message.
pub fn content(peer: &mut dyn Peer) {
    let payloads = sample::nasty();
    let mut lines = Lines::new();
    for (number, payload) in payloads.iter().enumerate() {
        let message = sample::message(number as u64).payload(payload.as_str());
        lines.push_with(|text| wire::write(text, &message));
    }
    let (mut sender, mut books) = (peer.sender(), Books::default());
    let outcome = books.drive(&mut *sender, lines, PATIENCE);
    assert_eq!((outcome.sent, outcome.refused), (payloads.len(), 0), "{outcome:?}");
    sender.flush().expect("flushes");
    let arrived = books.balance(peer);
    assert_eq!(in_order(&arrived), (0..payloads.len() as u64).collect::<Vec<_>>());
    for (arrived, payload) in arrived.iter().zip(&payloads) {
        assert_eq!(&arrived.payload, payload);
    }
    close(sender);
}

/// What the peer refuses is reported exactly; the rest arrives.
pub fn refusal(peer: &mut dyn Peer) {
    if !peer.refuse(&[3, 17]) {
        return not_asked("refuse");
    }
    let (mut sender, mut books) = (peer.sender(), Books::default());
    let outcome = books.drive(&mut *sender, sample::lines(0, 20), PATIENCE);
    assert_eq!((outcome.sent, outcome.refused, outcome.given_up), (18, 2, 0), "{outcome:?}");
    assert_eq!(outcome.numbers.refused, BTreeSet::from([3, 17]));
    books.balance(peer);
    close(sender);
}

/// A slow peer gets everything all the same.
pub fn slow(peer: &mut dyn Peer) {
    if !peer.slow_down(Duration::from_millis(50)) {
        return not_asked("be slow");
    }
    let (mut sender, mut books) = (peer.sender(), Books::default());
    for batch in 0..3 {
        let outcome = books.drive(&mut *sender, sample::lines(batch * 100, 100), PATIENCE);
        assert_eq!(outcome.sent, 100, "{outcome:?}");
    }
    sender.flush().expect("flushes");
    books.balance(peer);
    close(sender);
}

/// After a flush everything is on its way without another call; a flush of nothing, or towards a peer that is gone,
/// comes back soon.
pub fn flush(peer: &mut dyn Peer) {
    let (mut sender, mut books) = (peer.sender(), Books::default());
    let _nothing_to_push = sender.flush();
    books.drive(&mut *sender, sample::lines(0, 7), PATIENCE);
    sender.flush().expect("flushes");
    sender.flush().expect("flushes again");
    books.balance(peer);
    if peer.stop() {
        books.interrupted = true;
        books.drive(&mut *sender, sample::lines(100, 7), Duration::ZERO);
        let began = Instant::now();
        let _any_verdict = sender.flush();
        assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
        peer.start();
    }
    books.balance(peer);
}

/// A peer that goes and comes back: while it is gone nothing hangs or panics; what the lane holds on to goes on from
/// where it stopped; everything sent after its return arrives.
pub fn gone_and_back(peer: &mut dyn Peer) {
    let (mut sender, mut books) = (peer.sender(), Books::default());
    let first = books.drive(&mut *sender, sample::lines(0, 50), PATIENCE);
    assert_eq!(first.sent, 50, "{first:?}");
    books.balance(peer);
    if !peer.stop() {
        return not_asked("go");
    }
    books.interrupted = true;
    let began = Instant::now();
    // Some transports notice with the second batch only: the first goes into a buffer nobody reads.
    for batch in 1..4 {
        books.drive(&mut *sender, sample::lines(batch * 100, 100), Duration::from_millis(100));
    }
    assert!(began.elapsed() < Duration::from_secs(30), "calls end in bounded time: {:?}", began.elapsed());

    let mut gone = true;
    let comes_back = |_: &_| {
        if std::mem::take(&mut gone) {
            peer.start();
        }
    };
    let held = books.drive(&mut *sender, sample::lines(500, 100), Policy::within(PATIENCE).on_error(comes_back));
    assert_eq!((held.sent, held.given_up), (100, 0), "{held:?}");
    if gone {
        peer.start();
    }
    let back = books.drive(&mut *sender, sample::lines(1000, 100), PATIENCE);
    assert_eq!((back.sent, back.given_up), (100, 0), "{back:?}");
    sender.flush().expect("flushes");
    let after = &back.numbers.sent;
    wait_for(peer, after);
    let there = numbers(&books.balance(peer));
    assert!(there.is_superset(after), "sent after it came back and lost: {:?}", after.difference(&there));
    close(sender);
}

/// In place of [`gone_and_back`], for a sender that does not hold what cannot go but diverts it at once: while the peer
/// is gone every batch has its verdict soon; after its return what is reported as sent arrives.
pub fn diverts_while_gone(peer: &mut dyn Peer) {
    let (mut sender, mut books) = (peer.sender(), Books::default());
    let first = books.drive(&mut *sender, sample::lines(0, 50), PATIENCE);
    assert_eq!(first.sent, 50, "{first:?}");
    books.balance(peer);
    assert!(peer.stop(), "this clause is for peers that can go");
    books.interrupted = true;
    let began = Instant::now();
    let gone: Vec<Outcome> = (1..20)
        .map(|batch| books.drive(&mut *sender, sample::lines(batch * 100, 100), Duration::from_millis(100)))
        .collect();
    assert!(began.elapsed() < Duration::from_secs(30), "calls end in bounded time: {:?}", began.elapsed());
    assert!(gone.iter().any(|outcome| outcome.refused > 0), "nothing was diverted: {gone:?}");
    peer.start();
    let until = Instant::now() + PATIENCE;
    let back = (100..)
        .map(|batch| books.drive(&mut *sender, sample::lines(batch * 100, 100), PATIENCE))
        .find(|outcome| outcome.sent == 100 || Instant::now() > until)
        .unwrap_or_default();
    assert_eq!(back.sent, 100, "{back:?}");
    let next = books.drive(&mut *sender, sample::lines(1_000_000, 100), PATIENCE);
    sender.flush().expect("flushes");
    wait_for(peer, &next.numbers.sent);
    let there = numbers(&books.balance(peer));
    assert!(there.is_superset(&next.numbers.sent), "sent after it came back and lost: {next:?}");
    close(sender);
}

/// Closing keeps its deadline, also towards a peer that is gone.
pub fn close_with_dead_peer(peer: &mut dyn Peer) {
    let (mut sender, mut books) = (peer.sender(), Books::default());
    books.drive(&mut *sender, sample::lines(0, 10), PATIENCE);
    books.balance(peer);
    if peer.stop() {
        books.interrupted = true;
        books.drive(&mut *sender, sample::lines(100, 10), Duration::ZERO);
    }
    let began = Instant::now();
    let _any_verdict = sender.close(Duration::from_millis(300));
    drop(sender);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    books.balance(peer);
}

/// One test of each clause. Give it an expression that makes a new peer.
#[macro_export]
macro_rules! contract {
    ($peer:expr) => {
        $crate::contract!($peer; success nothing content refusal slow flush gone_and_back close_with_dead_peer);
    };
    ($peer:expr; $($clause:ident)+) => {
        mod contract {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $clause() {
                    $crate::contract::$clause(&mut $peer);
                }
            )+
        }
    };
}
