//! Datagrams, sent to the real input.

use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Durable, Full, Inlet, Input, Intake, Reason, Receipt, Stop};
use metlog_udp::{InputConfig, UdpInput};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The most a datagram of IPv4 carries.
const MOST: usize = 65_507;

/// Every datagram leaves a trace: messages that together are all of it but blanks, none of them empty; or a refusal.
pub fn udp(data: &[u8]) {
    static HARNESS: LazyLock<Mutex<Harness>> = LazyLock::new(|| Mutex::new(Harness::start()));
    let data = data.get(..MOST).unwrap_or(data);
    let took = HARNESS.lock().unwrap_or_else(PoisonError::into_inner).send(data);
    let dense = |bytes: &[u8]| bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>();
    if dense(data).is_empty() {
        assert!(matches!(took.as_slice(), [Took::Refused]), "nothing but blanks: {took:?}");
        return;
    }
    let mut all = Vec::new();
    for took in &took {
        let Took::Message(message) = took else { panic!("refused: {took:?}") };
        assert!(!message.is_empty() && message.trim_ascii() == message, "blanks around {took:?}");
        let first = message.split(|byte| *byte == b'\n').next().unwrap_or_default();
        assert!(!message.contains(&b'\n') || first.trim_ascii() == b"{", "several lines in {took:?}");
        all.extend(dense(message));
    }
    assert_eq!(all, dense(data), "{took:?}");
}

/// What the input gave its inlet.
#[derive(Debug)]
enum Took {
    Message(Vec<u8>),
    Refused,
    /// All of one read has been handed over.
    Committed,
}

struct Harness {
    socket: UdpSocket,
    to: SocketAddr,
    took: Receiver<Took>,
    _stop: watch::Sender<bool>,
}

impl Harness {
    fn start() -> Self {
        let config = InputConfig { listen: vec!["127.0.0.1:0".to_owned()], ..InputConfig::default() };
        let input = UdpInput::open(config).expect("a port of this machine");
        let to = *input.addresses().first().expect("one address");
        let (give, took) = channel();
        let (tell, stop) = Stop::new();
        let inlet = Inlet::new(Box::new(Way(give)));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(Box::new(input).run(inlet, stop))
        });
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port of this machine");
        Harness { socket, to, took, _stop: tell }
    }

    fn send(&mut self, datagram: &[u8]) -> Vec<Took> {
        self.socket.send_to(datagram, self.to).expect("sent");
        let mut all = Vec::new();
        loop {
            match self.took.recv_timeout(Duration::from_secs(20)).expect("a trace of the datagram") {
                Took::Committed => return all,
                took => all.push(took),
            }
        }
    }
}

struct Way(Sender<Took>);

impl Way {
    fn tell(&self, took: Took) {
        // Nobody listens any more when the program ends.
        let _ = self.0.send(took);
    }
}

impl Intake for Way {
    fn another(&self) -> Box<dyn Intake> {
        Box::new(Way(self.0.clone()))
    }

    fn push(&mut self, message: &[u8]) {
        self.tell(Took::Message(message.to_vec()));
    }

    fn refuse(&mut self, _part: &[u8], _reason: Reason, _why: &str) {
        self.tell(Took::Refused);
    }

    fn lost(&mut self, count: u64) {
        panic!("{count} datagrams lost, though each is waited for");
    }

    fn commit(&mut self) -> Result<Receipt, Full> {
        self.tell(Took::Committed);
        Ok(Receipt::default())
    }

    fn drop_pushed(&mut self, _reason: Reason) {}

    fn pending(&self) -> usize {
        0
    }

    fn durable(&self) -> Durable {
        Box::pin(std::future::ready(Ok(())))
    }

    fn message_limit(&self) -> usize {
        1 << 20
    }
}
