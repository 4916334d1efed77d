//! Contract: an HTTP interface, the router's own or somebody else's, served by the router.

use super::body::{Content, limited_body};
use super::keys::{Caller, charge};
use super::{Bounds, Guard, Refused, json, quote};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use metlog_pipeline::registry::{Configured, Opener, Reader};
use metlog_pipeline::{Durable, Full, Inlet, Reason, Receipt, inventory};
use metlog_settings::suggest;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Routes under which clients of one kind write, and which may answer what those clients ask.
///
/// What every route that writes has to keep, since clients in the field break otherwise: never redirect, and serve a
/// path with and without its last slash; never refuse a batch for one bad message in it; answer when it is safe and not
/// when it is delivered; answer errors as a short JSON object of ASCII, which [`Refused`] is.
pub trait Dialect: Send + Sync {
    /// The routes, which are merged with those of all other dialects: paths must not collide.
    fn routes(self: Box<Self>, door: Door) -> Router;

    /// What its clients look for in the object that `GET /` answers: names, and their values as JSON. Dialects must not
    /// register `/` themselves, since several want it; [`home_route`] answers for all of them.
    fn home(&self) -> Fragments {
        Vec::new()
    }
}

/// Members of the object at `/`.
pub type Fragments = Vec<(&'static str, Cow<'static, [u8]>)>;

/// `GET /`, one object with what all dialects put there; of a name that comes twice the first counts. No route if there is
/// nothing to say.
pub fn home_route(fragments: Fragments) -> Router {
    if fragments.is_empty() {
        return Router::new();
    }
    let mut body = Vec::new();
    for (at, (name, value)) in fragments.iter().enumerate() {
        if fragments.iter().take(at).any(|(earlier, _)| earlier == name) {
            continue;
        }
        body.push(if body.is_empty() { b'{' } else { b',' });
        quote(&mut body, name);
        body.push(b':');
        body.extend_from_slice(value);
    }
    body.push(b'}');
    Router::new().route("/", get(move || std::future::ready(json(StatusCode::OK, body.clone()))))
}

/// The way from a request to the router; cloned into every handler.
#[derive(Clone)]
pub struct Door {
    bounds: Arc<Bounds>,
    guard: Guard,
    /// The inlet that others are made from, and those between two requests.
    idle: Arc<Mutex<(Inlet, Vec<Inlet>)>>,
}

/// More are not kept: an inlet holds buffers.
const KEPT: usize = 64;

/// Bodies up to this size are pushed where they are: about 0.3 ms of work.
const IN_PLACE: usize = 256 * 1024;

/// A disk that is not done by then is broken. Every client in the field has given up long before.
const SYNC: Duration = Duration::from_secs(30);

impl Door {
    /// Opens towards this inlet.
    pub fn new(inlet: Inlet, bounds: Arc<Bounds>) -> Self {
        let guard = Guard::new(bounds.clone(), "", false);
        Door { bounds, guard, idle: Arc::new(Mutex::new((inlet, Vec::new()))) }
    }

    /// The routes of a dialect, each behind the key it takes. If it is `keyless`, everybody may write there.
    pub fn lead_to(mut self, name: &'static str, keyless: bool, dialect: Box<dyn Dialect>) -> Router {
        self.guard = Guard::new(self.bounds.clone(), name, keyless);
        let guard = self.guard.clone();
        guard.around(dialect.routes(self))
    }

    /// Routes of a dialect that answer with messages or with what is known of them: for keys whose scope is `read`. Give
    /// it whole paths: what is nested elsewhere afterwards is found by keys that may write, too, and by no others.
    pub fn for_reading(&self, routes: Router) -> Router {
        self.guard.for_reading(routes)
    }

    /// Routes of a dialect that change more than a message can: for keys whose scope is `admin`. See
    /// [`Door::for_reading`].
    pub fn for_admin(&self, routes: Router) -> Router {
        self.guard.for_admin(routes)
    }

    /// Routes that both who writes and who reads asks for, and that say nothing about messages: for any key. See
    /// [`Door::for_reading`].
    pub fn for_any_key(&self, routes: Router) -> Router {
        self.guard.for_any_key(routes)
    }

    /// An inlet for one request, for [`Door::keep`] to take back.
    pub fn inlet(&self) -> Inlet {
        let mut idle = self.idle();
        let (first, others) = &mut *idle;
        others.pop().unwrap_or_else(|| first.another())
    }

    /// The name of the key that a request came with; empty: it came without one that is known.
    pub fn key(&self, request: &Request<Body>) -> String {
        match request.extensions().get::<Caller>() {
            Some(Caller::Known(key)) => key.name().to_owned(),
            _ => String::new(),
        }
    }

    /// A request's body, whole and expanded.
    ///
    /// # Errors
    /// The answer to give.
    pub async fn content(&self, request: Request<Body>) -> Result<Content, Refused> {
        limited_body(request, &self.bounds).await
    }

    /// Pushes what is in a body, commits it and waits until it is safe. `push` sees the body once, and may run off the
    /// event loop, so it must not wait for anything.
    ///
    /// # Errors
    /// As [`Door::keep`].
    pub async fn take<T: Send + 'static>(
        &self,
        content: Content,
        push: impl FnOnce(&[u8], &mut Inlet) -> T + Send + 'static,
    ) -> Result<(Receipt, T), Full> {
        let mut inlet = self.inlet();
        let large = content.len() > IN_PLACE;
        let door = self.clone();
        let work = move || {
            let made = push(&content, &mut inlet);
            drop(content);
            (made, door.commit(inlet))
        };
        let (made, committed) = if large { self.bounds.off_the_loop(work).await } else { work() };
        let committed = committed?;
        charge(&committed.0);
        Ok((safe(committed).await?, made))
    }

    /// Commits what was pushed and waits until it is safe.
    ///
    /// # Errors
    /// If there is no room, then nothing was taken; or if the disk did not confirm, then repeating may bring doubles,
    /// which the router finds by their running numbers.
    pub async fn keep(&self, inlet: Inlet) -> Result<Receipt, Full> {
        let committed = self.commit(inlet)?;
        charge(&committed.0);
        safe(committed).await
    }

    /// Commits, and keeps the inlet for the next request, which need not wait for this one's disk.
    fn commit(&self, mut inlet: Inlet) -> Result<(Receipt, Durable), Full> {
        let committed = inlet.commit().map(|receipt| (receipt, inlet.durable()));
        if committed.is_err() {
            inlet.drop_pushed(Reason::SpoolFull);
        }
        let mut idle = self.idle();
        if idle.1.len() < KEPT {
            idle.1.push(inlet);
        }
        committed
    }

    fn idle(&self) -> MutexGuard<'_, (Inlet, Vec<Inlet>)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's limits and counters.
    pub fn bounds(&self) -> &Arc<Bounds> {
        &self.bounds
    }
}

async fn safe((receipt, durable): (Receipt, Durable)) -> Result<Receipt, Full> {
    match timeout(SYNC, durable).await {
        Ok(safe) => safe.map(|()| receipt),
        Err(_) => {
            let why = format!("the disk did not confirm within {SYNC:?}");
            Err(Full { why, retry_after: Duration::from_secs(5) })
        }
    }
}

/// A dialect, by name.
pub struct DialectEntry {
    /// The name in configurations, in metrics, and of the plugin's folder.
    pub name: &'static str,
    /// The shortest useful configuration, commented; tests load it.
    pub example: &'static str,
    /// Reads settings.
    pub read: Reader<Box<dyn Dialect>>,
}

inventory::collect!(DialectEntry);

impl DialectEntry {
    /// The entry of `T`.
    pub const fn of<T: Configured + Dialect>(name: &'static str, example: &'static str) -> Self {
        DialectEntry {
            name,
            example,
            read: |node| {
                let config = metlog_settings::read::<T::Config>(node)?;
                let open: Opener<Box<dyn Dialect>> = Box::new(move || {
                    let made: Box<dyn Dialect> = Box::new(T::open(config)?);
                    Ok(made)
                });
                Ok(open)
            },
        }
    }

    /// All of them, by name.
    pub fn all() -> Vec<&'static DialectEntry> {
        let mut all: Vec<_> = inventory::iter::<DialectEntry>.into_iter().collect();
        all.sort_by_key(|entry| entry.name);
        all
    }

    /// The one of this name, in capitals or not.
    ///
    /// # Errors
    /// If there is none, or if two plugins call themselves so.
    pub fn find(name: &str) -> Result<&'static DialectEntry, UnknownDialect> {
        let all = Self::all();
        let mut found = all.iter().filter(|entry| entry.name.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some(entry), None) => Ok(entry),
            (first, _) => {
                let known: Vec<&'static str> = all.iter().map(|entry| entry.name).collect();
                let twice = first.is_some();
                let suggestion = suggest::nearest(name, known.iter().copied()).filter(|_| !twice).map(str::to_owned);
                Err(UnknownDialect { name: name.to_owned(), twice, known, suggestion })
            }
        }
    }
}

/// A name that means nothing here, or two things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownDialect {
    /// What was asked for.
    pub name: String,
    twice: bool,
    /// What there is.
    pub known: Vec<&'static str>,
    /// The nearest of them.
    pub suggestion: Option<String>,
}

impl std::fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let UnknownDialect { name, twice, known, .. } = self;
        match (twice, known.as_slice()) {
            (true, _) => write!(f, "two plugins in this program call themselves dialect `{name}`"),
            (false, []) => write!(f, "unknown dialect `{name}`, this program has none"),
            (false, known) => write!(f, "unknown dialect `{name}`, this program has {}", known.join(", ")),
        }
    }
}

impl std::error::Error for UnknownDialect {}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use tower_service::Service;

    #[tokio::test]
    async fn home_is_one_object_and_of_a_name_the_first_counts() {
        let ok: Fragments = vec![("status", b"\"ok\"".into()), ("n", b"[1]".into())];
        let other: Fragments = vec![("status", b"\"late\"".into()), ("id", b"{}".into())];
        let home = async |fragments: Fragments| {
            let request = Request::get("/").body(Body::empty()).expect("a request");
            let answer = home_route(fragments).call(request).await.expect("an answer");
            let status = answer.status().as_u16();
            (status, to_bytes(answer.into_body(), 1000).await.expect("a body"))
        };
        let both = home([ok, other].concat()).await;
        assert_eq!((both.0, &both.1[..]), (200, &br#"{"status":"ok","n":[1],"id":{}}"#[..]));
        assert_eq!(home(Vec::new()).await.0, 404);
    }
}
