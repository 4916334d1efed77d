use crate::connection::PASSES;
use crate::dial::Dial;
use crate::endpoint::{check, check_listen, is_name, stay_near};
use crate::listener::{Listener, Reception};
use crate::roster::{Limits, Roster};
use crate::session::Role;
use async_trait::async_trait;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Inlet, Input, InputEntry, Stop, inventory};
use metlog_settings::Size;
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use zeromq::Endpoint;

/// The largest frame of a handshake; an honest one is empty.
const REQUEST: usize = 4096;

/// Where ZeroMQ messages come from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputConfig {
    /// Endpoints to bind, `tcp://host:port` or `ipc://path`; clients connect. `tcp://127.0.0.1:5565` if neither this
    /// nor `connect` is given.
    pub bind: Vec<String>,
    /// Endpoints to connect to, where publishers bind.
    pub connect: Vec<String>,
    /// What our socket is.
    pub socket: Kind,
    /// Prefixes of what a `sub` socket asks for. The empty one, the default, means everything.
    pub subscribe: Vec<String>,
    /// Where handshakes are answered.
    pub handshake: String,
    /// Says that whoever can reach a bound address may send, where that is beyond this machine.
    pub trusted_network: bool,
    /// The largest message. A client that announces a larger one loses its connection.
    pub max_message: Size,
    /// Connections to bound endpoints, all together. Those that have not shaken hands give way to new ones.
    pub max_connections: usize,
    /// Connections from one address, other than those of this machine.
    pub max_connections_per_address: usize,
}

impl Default for InputConfig {
    fn default() -> Self {
        InputConfig {
            bind: Vec::new(),
            connect: Vec::new(),
            socket: Kind::Sub,
            subscribe: vec![String::new()],
            handshake: String::new(),
            trusted_network: false,
            max_message: Size(1 << 20),
            max_connections: 1024,
            max_connections_per_address: 64,
        }
    }
}

/// What our socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Takes what others publish; a publisher drops what we do not read in time.
    Sub,
    /// Takes what others push; a pusher waits until we read.
    Pull,
}

/// Takes messages over ZeroMQ, on a thread with a runtime of its own: the router's waits for no spool.
pub struct ZmqInput {
    listeners: Vec<Listener>,
    handshake: Option<Listener>,
    config: InputConfig,
}

/// Where peers are let in, and what as.
type Doors = Vec<(Listener, Reception)>;

impl ZmqInput {
    /// What is to be listened to for messages, and what for handshakes.
    fn receptions(&mut self, inlet: &Inlet) -> (Doors, Doors) {
        let config = &self.config;
        let limits = Limits { all: config.max_connections, per_address: config.max_connections_per_address };
        let limit = usize::try_from(config.max_message.bytes()).unwrap_or(usize::MAX);
        let role = match config.socket {
            Kind::Sub => Role::Sub(config.subscribe.iter().map(|topic| topic.clone().into_bytes()).collect()),
            Kind::Pull => Role::Pull,
        };
        let (roster, passes) = (Roster::new(limits), Arc::new(Semaphore::new(PASSES)));
        let reception = |role: &Role, limit, roster: &Arc<Roster>, inlet| Reception {
            role: role.clone(),
            limit,
            roster: Arc::clone(roster),
            passes: Arc::clone(&passes),
            inlet,
        };
        let messages = self.listeners.drain(..);
        let messages = messages.map(|listener| (listener, reception(&role, limit, &roster, Some(inlet.another()))));
        let messages = messages.collect();
        // A roster of its own: whoever floods one of them does not shut out the other.
        let roster = Roster::new(limits);
        let handshakes = self.handshake.take().into_iter();
        let handshakes = handshakes.map(|listener| (listener, reception(&Role::Rep, REQUEST, &roster, None)));
        (messages, handshakes.collect())
    }

    fn dials(&mut self, inlet: &Inlet) -> Vec<Dial> {
        let limit = usize::try_from(self.config.max_message.bytes()).unwrap_or(usize::MAX);
        let endpoints = std::mem::take(&mut self.config.connect).into_iter();
        let dial = |endpoint| Dial {
            endpoint,
            kind: self.config.socket,
            topics: self.config.subscribe.clone(),
            limit,
            inlet: inlet.another(),
        };
        endpoints.map(dial).collect()
    }
}

/// A thread with a runtime of its own. Dropped, it ends by itself soon.
struct Worker {
    tell: watch::Sender<bool>,
    thread: JoinHandle<Result<(), String>>,
}

/// Rings when the thread that has it ends, however it does.
struct Bell(mpsc::Sender<()>);

impl Drop for Bell {
    fn drop(&mut self) {
        // There is room for one ring of each thread.
        let _ = self.0.try_send(());
    }
}

impl Worker {
    fn start(doors: Doors, dials: Vec<Dial>, bell: Bell) -> Result<Self, String> {
        let wrong = |error: io::Error| format!("cannot start the ZeroMQ thread: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(wrong)?;
        let (tell, stop) = Stop::new();
        let run = move || {
            let _bell = bell;
            let outcome = runtime.block_on(work(doors, dials, stop));
            // A name look-up may be under way on a thread of its own; it must not hold up the end.
            runtime.shutdown_background();
            outcome
        };
        let thread = std::thread::Builder::new().name("metlog-zmq-in".to_owned()).spawn(run).map_err(wrong)?;
        Ok(Worker { tell, thread })
    }

    /// After it has ended.
    fn join(self) -> Result<(), String> {
        self.thread.join().unwrap_or_else(|_| Err("the ZeroMQ thread panicked".to_owned()))
    }
}

/// Everything one thread does, until told to stop.
async fn work(doors: Doors, dials: Vec<Dial>, stop: Stop) -> Result<(), String> {
    let mut tasks = JoinSet::new();
    for (listener, reception) in doors {
        let (stop, place) = (stop.clone(), listener.place().to_owned());
        tasks.spawn(async move {
            listener.run(reception, stop).await.map_err(|error| format!("cannot listen at {place}: {error}"))
        });
    }
    for dial in dials {
        let stop = stop.clone();
        tasks.spawn(async move {
            dial.run(stop).await;
            Ok(())
        });
    }
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        outcome = outcome.and(ended.unwrap_or_else(|error| Err(format!("a ZeroMQ task ended badly: {error}"))));
    }
    outcome
}

#[async_trait]
impl Input for ZmqInput {
    fn place(&self) -> String {
        let bound = self.listeners.iter().map(|listener| listener.place().to_owned());
        let dialled = self.config.connect.iter().map(|endpoint| format!("connected to {endpoint}"));
        let handshake = self.handshake.iter().map(|listener| format!("handshakes at {}", listener.place()));
        bound.chain(dialled).chain(handshake).collect::<Vec<_>>().join(", ")
    }

    async fn run(mut self: Box<Self>, inlet: Inlet, stop: Stop) -> Result<(), String> {
        let (messages, handshakes) = self.receptions(&inlet);
        let (ring, mut bell) = mpsc::channel(2);
        let mut workers = vec![Worker::start(messages, self.dials(&inlet), Bell(ring.clone()))?];
        if !handshakes.is_empty() {
            // A client does not wait long for this answer. It must not stand behind a slow disk.
            workers.push(Worker::start(handshakes, Vec::new(), Bell(ring.clone()))?);
        }
        // The first that ends before its time ends both: the router opens the input again as a whole.
        tokio::select! {
            () = stop.stopped() => {}
            _ = bell.recv() => {}
        }
        drop(ring);
        for worker in &workers {
            // It may be gone already.
            let _ = worker.tell.send(true);
        }
        while bell.recv().await.is_some() {}
        workers.into_iter().map(Worker::join).fold(Ok(()), Result::and)
    }
}

/// What the settings come to.
struct Plan {
    bind: Vec<Endpoint>,
    connect: Vec<String>,
    handshake: Option<Endpoint>,
}

impl Plan {
    fn of(config: &InputConfig) -> Result<Self, String> {
        let numbers = [
            ("max_connections", config.max_connections == 0),
            ("max_connections_per_address", config.max_connections_per_address == 0),
            ("max_message", config.max_message.bytes() == 0),
        ];
        if let Some((key, _)) = numbers.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(format!("`{key}` is 0, it must be more: nothing could ever come in"));
        }
        if config.socket == Kind::Sub && config.subscribe.is_empty() {
            return Err("`subscribe` is an empty list, so nothing would ever come; `\"\"` means everything".to_owned());
        }
        let listen = |setting, text: &str| check_listen(setting, text, config.trusted_network);
        let by_default = config.bind.is_empty() && config.connect.is_empty();
        let bind = config.bind.iter().map(String::as_str).chain(by_default.then_some("tcp://127.0.0.1:5565"));
        let handshake = Some(config.handshake.trim()).filter(|text| !text.is_empty());
        Ok(Plan {
            bind: bind.map(|text| listen("bind", text)).collect::<Result<_, _>>()?,
            connect: config.connect.iter().map(|text| check("connect", text)).collect::<Result<_, _>>()?,
            handshake: handshake.map(|text| listen("handshake", text)).transpose()?,
        })
    }
}

impl Configured for ZmqInput {
    type Config = InputConfig;

    fn check(config: &InputConfig) -> Result<(), String> {
        Plan::of(config).map(drop)
    }

    fn open(mut config: InputConfig) -> Result<Self, String> {
        let Plan { bind, connect, handshake } = Plan::of(&config)?;
        // All are looked up before the first is bound.
        let named = bind.iter().map(|endpoint| ("bind", endpoint));
        let named = named.chain(handshake.iter().map(|endpoint| ("handshake", endpoint)));
        for (setting, endpoint) in named.filter(|(_, endpoint)| is_name(endpoint)) {
            stay_near(setting, endpoint, config.trusted_network)?;
        }
        config.connect = connect;
        let open =
            |endpoint| Listener::bind(&endpoint).map_err(|error| format!("cannot listen at {endpoint}: {error}"));
        Ok(ZmqInput {
            listeners: bind.into_iter().map(open).collect::<Result<_, _>>()?,
            handshake: handshake.map(open).transpose()?,
            config,
        })
    }
}

inventory::submit! {
    InputEntry::of::<ZmqInput>("zmq", &[], include_str!("../example.input.toml"))
}
