//! Who holds what: clients by name, the default one, and settings of the whole process.

use crate::config::Config;
use crate::{Client, Error, Report, site};
use metlog_message::{Fields, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Holder {
    clients: BTreeMap<String, Client>,
    /// The name of the default client.
    default: Option<String>,
    globals: Fields,
}

static HOLDER: Mutex<Option<Holder>> = Mutex::new(None);

/// The decorators that `disabled_decorators` switches off, a bit each: looked at by every decorated function.
static DECORATORS_OFF: AtomicU8 = AtomicU8::new(0);

/// A decorator: `#[timeit]`, `#[incr_count]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Decorator {
    /// `#[timeit]`
    Timeit = 1,
    /// `#[incr_count]`
    IncrCount = 2,
}

impl Decorator {
    /// Whether it does anything. The answer follows the configuration, at every call.
    #[inline(always)]
    pub fn is_on(self) -> bool {
        DECORATORS_OFF.load(Ordering::Relaxed) & self as u8 == 0
    }
}

struct Holding(MutexGuard<'static, Option<Holder>>);

impl Holding {
    fn get(&mut self) -> &mut Holder {
        self.0.get_or_insert_with(Holder::default)
    }
}

fn hold() -> Holding {
    Holding(HOLDER.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The client of this name; made without a sender, with its name as logger, if there is none yet. The first client
/// ever made becomes the default one.
pub fn client(name: &str) -> Client {
    let mut holding = hold();
    if let Some(client) = holding.get().clients.get(name) {
        return client.clone();
    }
    let client = Client::without_sender(name);
    let holder = holding.get();
    holder.clients.insert(name.to_owned(), client.clone());
    if holder.default.is_none() {
        holder.default = Some(name.to_owned());
        site::set_default(Some(client.core()));
    }
    client
}

/// Keeps a client under a name; it becomes the default one if it is then the only one.
pub fn set_client(name: &str, client: &Client) {
    let mut holding = hold();
    let holder = holding.get();
    holder.clients.insert(name.to_owned(), client.clone());
    if holder.clients.len() == 1 || holder.default.as_deref() == Some(name) {
        holder.default = Some(name.to_owned());
        site::set_default(Some(client.core()));
    }
}

/// The client that calls go to which name none.
pub fn default_client() -> Option<Client> {
    let mut holding = hold();
    let holder = holding.get();
    holder.clients.get(holder.default.as_ref()?).cloned()
}

/// The same for whoever must not wait: a thread that panics may hold the lock itself.
pub(crate) fn default_client_now() -> Option<Client> {
    let holder = HOLDER.try_lock().ok()?;
    let holder = holder.as_ref()?;
    holder.clients.get(holder.default.as_ref()?).cloned()
}

/// Makes the client of this name the default one. Without one of that name there is none, until it comes.
pub fn set_default_client(name: &str) {
    let mut holding = hold();
    let holder = holding.get();
    holder.default = Some(name.to_owned());
    site::set_default(holder.clients.get(name).map(Client::core));
}

/// Forgets a client; whoever holds a handle can go on using it. Returns it.
pub fn delete_client(name: &str) -> Option<Client> {
    let mut holding = hold();
    let holder = holding.get();
    let client = holder.clients.remove(name)?;
    if holder.default.as_deref() == Some(name) {
        holder.default = None;
        site::set_default(None);
    }
    Some(client)
}

/// The process-wide settings: what `global_…` keys of all configurations so far said.
pub fn globals() -> Fields {
    hold().get().globals.clone()
}

/// Forgets the process-wide settings, and which client is the default; clients are kept.
pub fn clear_globals() {
    let mut holding = hold();
    let holder = holding.get();
    holder.globals = Fields::new();
    holder.default = None;
    DECORATORS_OFF.store(0, Ordering::Relaxed);
    site::set_default(None);
}

/// Adds process-wide settings; later ones win.
pub(crate) fn merge_globals(globals: &Fields) {
    let mut holding = hold();
    let holder = holding.get();
    for (name, value) in globals.iter() {
        holder.globals.set(name, value.clone());
    }
    let off = holder.globals.get("disabled_decorators").map_or(0, decorators);
    DECORATORS_OFF.store(off, Ordering::Relaxed);
    if let Some(default) = globals.get("default").and_then(Value::as_str) {
        holder.default = Some(default.to_owned());
        site::set_default(holder.clients.get(default).map(Client::core));
    }
}

/// One name or a list of them.
fn decorators(value: &Value) -> u8 {
    match value {
        Value::List(names) => names.iter().map(decorators).fold(0, |all, one| all | one),
        Value::Str(name) if name == "timeit" => Decorator::Timeit as u8,
        Value::Str(name) if name == "incr_count" => Decorator::IncrCount as u8,
        _ => 0,
    }
}

/// Sets the default client up from a file, INI or TOML, whose section is called `metlog`. Keep the guard until the
/// program ends.
///
/// # Errors
/// All that is wrong; nothing is open then.
pub fn init(path: impl AsRef<Path>) -> Result<Guard, Error> {
    Ok(Config::file(path.as_ref()).open()?.guard())
}

/// Shuts its client down when it goes, and says on standard error what could not be sent.
#[must_use = "the client is shut down when this value goes; bind it to a name (`_guard`, not `_`)"]
#[derive(Debug)]
pub struct Guard(Option<Client>);

impl Guard {
    /// The client.
    pub fn client(&self) -> Option<&Client> {
        self.0.as_ref()
    }

    /// Shuts down now and says what became of everything.
    pub fn shutdown(mut self) -> Option<Report> {
        self.0.take().map(|client| client.shutdown(client.shutdown_timeout()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            let report = client.shutdown(client.shutdown_timeout());
            if !report.complete {
                eprintln!("metlog: {report}");
            }
        }
    }
}

impl Client {
    /// Makes this the client of all calls that name none; it is kept under its logger's name.
    pub fn make_default(&self) {
        let name = self.logger();
        let mut holding = hold();
        let holder = holding.get();
        holder.clients.insert(name.clone(), self.clone());
        holder.default = Some(name);
        site::set_default(Some(self.core()));
    }

    /// The same, and shuts it down when the guard goes.
    pub fn guard(self) -> Guard {
        self.make_default();
        Guard(Some(self))
    }
}
