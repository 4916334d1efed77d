//! The contract of senders, as clauses. A plugin implements [`Peer`] for its real receiving end and writes
//! `metlog_testkit::contract!(NewPeer)`, which makes one test of each clause.
//!
//! Every clause ends with the sum: offered = arrived + refused + given up (+ lost, where the transport may lose).

use crate::{eventually, sample};
use metlog_message::{Lines, wire};
use metlog_pipeline::{SendError, Sender};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A message at the receiving end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The number [`sample::message`] gave it.
    pub number: u64,
    /// Its payload.
    pub payload: String,
}

impl Arrived {
    /// From a message's JSON.
    ///
    /// # Panics
    /// If it is not the JSON of a sample: a sender that garbles messages fails its test here.
    pub fn of_json(text: &[u8]) -> Self {
        let read = wire::read(text, &wire::Limits::default());
        let message = read.unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(text))).message;
        let number = message.fields.get("number").and_then(|number| number.as_i64());
        let number = number.unwrap_or_else(|| panic!("no sample: {}", String::from_utf8_lossy(text)));
        Arrived { number: number.unsigned_abs(), payload: message.payload.to_text().into_owned() }
    }
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

/// How far [`drive`] came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Messages the sender reported as taken away.
    pub sent: usize,
    /// Messages it reported as refused.
    pub refused: usize,
    /// Messages left when time was up.
    pub given_up: usize,
    /// What went wrong, in order.
    pub errors: Vec<SendError>,
}

/// What the client's lane does with a sender's answers: repeats from `done` on, counts what is refused.
pub fn drive(sender: &mut dyn Sender, mut batch: Lines, within: Duration) -> Outcome {
    let until = Instant::now() + within;
    let mut outcome = Outcome::default();
    loop {
        let tried = batch.len();
        let error = match sender.send(&batch) {
            Ok(()) => {
                outcome.sent += tried;
                return outcome;
            }
            Err(error) => error,
        };
        outcome.errors.push(error.clone());
        match error {
            SendError::Refuse { which, .. } => {
                let distinct: BTreeSet<usize> = which.iter().copied().collect();
                assert_eq!(distinct.len(), which.len(), "each position once");
                assert!(distinct.iter().all(|at| *at < tried), "positions in the batch");
                outcome.refused += which.len();
                outcome.sent += tried - which.len();
                return outcome;
            }
            SendError::Retry { done, .. } => {
                assert!(done < tried, "if all went through it is no error");
                outcome.sent += done;
                batch.drop_first(done);
            }
            SendError::Pause { .. } => {}
        }
        if Instant::now() >= until {
            outcome.given_up = batch.len();
            return outcome;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until so many distinct messages are there, then a moment for what must not come.
fn wait_for(peer: &mut dyn Peer, count: usize) -> Vec<Arrived> {
    eventually(PATIENCE, || distinct(&peer.arrived()) >= count);
    std::thread::sleep(Duration::from_millis(30));
    peer.arrived()
}

fn distinct(arrived: &[Arrived]) -> usize {
    arrived.iter().map(|message| message.number).collect::<BTreeSet<u64>>().len()
}

fn numbers(arrived: &[Arrived]) -> Vec<u64> {
    arrived.iter().map(|message| message.number).collect()
}

/// All arrive, once each, in order.
pub fn success(peer: &mut dyn Peer) {
    let mut sender = peer.sender();
    for batch in 0..3 {
        let outcome = drive(&mut *sender, sample::lines(batch * 100, 100), PATIENCE);
        assert_eq!((outcome.sent, outcome.refused, outcome.given_up), (100, 0, 0), "{outcome:?}");
    }
    sender.flush().expect("flushes");
    let arrived = wait_for(peer, 300);
    assert_eq!(numbers(&arrived), (0..300).collect::<Vec<_>>());
    sender.close(Duration::from_secs(2)).expect("closes");
}

/// An empty batch is no error and sends nothing.
pub fn nothing(peer: &mut dyn Peer) {
    let mut sender = peer.sender();
    drive(&mut *sender, sample::lines(0, 1), PATIENCE);
    sender.send(&Lines::new()).expect("nothing to do");
    sender.flush().expect("nothing to do");
    assert_eq!(wait_for(peer, 1).len(), 1);
    sender.close(Duration::from_secs(2)).expect("closes");
}

/// Content arrives as it was, one message per message.
pub fn content(peer: &mut dyn Peer) {
    let payloads = sample::nasty();
    let mut lines = Lines::new();
    for (number, payload) in payloads.iter().enumerate() {
        let message = sample::message(number as u64).payload(payload.as_str());
        lines.push_with(|text| wire::write(text, &message));
    }
    let mut sender = peer.sender();
    let outcome = drive(&mut *sender, lines, PATIENCE);
    assert_eq!((outcome.sent, outcome.refused), (payloads.len(), 0), "{outcome:?}");
    sender.flush().expect("flushes");
    let arrived = wait_for(peer, payloads.len());
    assert_eq!(numbers(&arrived), (0..payloads.len() as u64).collect::<Vec<_>>());
    for (arrived, payload) in arrived.iter().zip(&payloads) {
        assert_eq!(&arrived.payload, payload);
    }
    sender.close(Duration::from_secs(2)).expect("closes");
}

/// What the peer refuses is reported exactly; the rest arrives.
pub fn refusal(peer: &mut dyn Peer) {
    if !peer.refuse(&[3, 17]) {
        return;
    }
    let mut sender = peer.sender();
    let outcome = drive(&mut *sender, sample::lines(0, 20), PATIENCE);
    assert_eq!((outcome.sent, outcome.refused, outcome.given_up), (18, 2, 0), "{outcome:?}");
    let arrived: BTreeSet<u64> = numbers(&wait_for(peer, 18)).into_iter().collect();
    assert_eq!(arrived, (0..20).filter(|number| ![3, 17].contains(number)).collect());
    sender.close(Duration::from_secs(2)).expect("closes");
}

/// A slow peer gets everything all the same.
pub fn slow(peer: &mut dyn Peer) {
    if !peer.slow_down(Duration::from_millis(50)) {
        return;
    }
    let mut sender = peer.sender();
    let mut sent = 0;
    for batch in 0..3 {
        sent += drive(&mut *sender, sample::lines(batch * 100, 100), PATIENCE).sent;
    }
    sender.flush().expect("flushes");
    assert_eq!((sent, distinct(&wait_for(peer, 300))), (300, 300));
    sender.close(Duration::from_secs(2)).expect("closes");
}

/// A peer that goes and comes back: while it is gone nothing hangs or panics; afterwards nothing that was not reported
/// as taken away is missing, and where the transport promises it, nothing at all.
pub fn gone_and_back(peer: &mut dyn Peer) {
    let mut sender = peer.sender();
    let first = drive(&mut *sender, sample::lines(0, 50), PATIENCE);
    assert_eq!(first.sent, 50, "{first:?}");
    wait_for(peer, 50);
    if !peer.stop() {
        return;
    }
    let began = Instant::now();
    // Some transports notice with the second batch only: the first goes into a buffer nobody reads.
    let mut while_gone = 0;
    let mut lost = 0;
    for batch in 1..4 {
        let outcome = drive(&mut *sender, sample::lines(batch * 100, 100), Duration::from_millis(100));
        while_gone += outcome.given_up;
        lost += outcome.sent;
    }
    assert!(began.elapsed() < Duration::from_secs(30), "calls end in bounded time: {:?}", began.elapsed());
    peer.start();
    let back = drive(&mut *sender, sample::lines(1000, 100), PATIENCE);
    assert_eq!((back.sent, back.given_up), (100, 0), "{back:?}");
    sender.flush().expect("flushes");
    let arrived: BTreeSet<u64> = numbers(&wait_for(peer, 150)).into_iter().collect();
    assert!((1000..1100).all(|number| arrived.contains(&number)), "all that came after it came back");
    let missing = 450usize.saturating_sub(arrived.len());
    match peer.delivery() {
        Delivery::AtLeastOnce => assert!(missing <= while_gone, "{missing} are missing, {while_gone} were given up"),
        Delivery::Buffered => {
            assert!(missing <= while_gone + lost, "{missing} of {while_gone} given up and {lost} unnoticed")
        }
        Delivery::AtMostOnce => assert_eq!(distinct(&peer.arrived()), peer.arrived().len(), "never twice"),
    }
    if while_gone == 300 {
        assert_eq!(missing, 300, "what was reported as not sent was not sent");
    }
    sender.close(Duration::from_secs(2)).expect("closes");
}

/// Closing keeps its deadline, also towards a peer that is gone.
pub fn close_with_dead_peer(peer: &mut dyn Peer) {
    let mut sender = peer.sender();
    drive(&mut *sender, sample::lines(0, 10), PATIENCE);
    wait_for(peer, 10);
    let gone = peer.stop();
    if gone {
        drive(&mut *sender, sample::lines(100, 10), Duration::ZERO);
    }
    let began = Instant::now();
    let _any_verdict = sender.close(Duration::from_millis(300));
    drop(sender);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let arrived = distinct(&peer.arrived());
    assert!((10..=20).contains(&arrived), "{arrived}");
}

/// One test of each clause. Give it an expression that makes a new peer.
#[macro_export]
macro_rules! contract {
    ($peer:expr) => {
        $crate::contract!($peer; success nothing content refusal slow gone_and_back close_with_dead_peer);
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
