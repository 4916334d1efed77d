//! Functions of every shape, compiled and called. This program stands in for crate `metlog` and has just what the
//! attributes expand to; that crate's own tests look at the messages.

extern crate self as metlog;

use metlog_macros::{incr_count, timeit};
use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn log(text: String) {
    LOG.with_borrow_mut(|log| log.push(text));
}

fn taken() -> Vec<String> {
    LOG.take()
}

/// Says something when it goes.
pub struct Guard(String);

impl Drop for Guard {
    fn drop(&mut self) {
        log(std::mem::take(&mut self.0));
    }
}

/// What both attributes' macros end in here.
pub fn guard(what: &str, name: &'static str, values: &[(&str, String)]) -> Guard {
    let values: String = values.iter().map(|(key, value)| format!(" {key}={value}")).collect();
    log(format!("begin {name}"));
    Guard(format!("{what} {name}{values}"))
}

/// The surface: a guard that measures.
#[macro_export]
macro_rules! __timeit {
    ({ $($client:expr)? } $name:expr; $($key:tt = $value:expr),*) => {{
        const NAME: &str = $name;
        $crate::guard("time", NAME, &[$(("client", $client.to_string()),)? $((stringify!($key), (&$value).to_string())),*])
    }};
}

/// The surface: a guard that counts.
#[macro_export]
macro_rules! __incr_count {
    ({ $($client:expr)? } $name:expr, $count:expr; $($key:tt = $value:expr),*) => {{
        const NAME: &str = $name;
        $crate::guard("count", NAME, &[
            $(("client", $client.to_string()),)? ("by", (&$count).to_string()), $((stringify!($key), (&$value).to_string())),*
        ])
    }};
}

/// The surface: the default name.
#[macro_export]
macro_rules! __qualified {
    ($function:literal) => {{
        const PATH: &str = ::core::concat!(::core::module_path!(), "::", $function);
        const DOTTED: [u8; $crate::dotted_len(PATH)] = $crate::dotted(PATH);
        match ::core::str::from_utf8(&DOTTED) {
            Ok(name) => name,
            Err(_) => PATH,
        }
    }};
}

/// How long the path is with `.` for `::`.
pub const fn dotted_len(path: &str) -> usize {
    let (path, mut at, mut colons) = (path.as_bytes(), 0, 0);
    while at < path.len() {
        colons += (path[at] == b':') as usize;
        at += 1;
    }
    path.len() - colons / 2
}

/// The path with `.` for `::`.
pub const fn dotted<const N: usize>(path: &str) -> [u8; N] {
    let (path, mut out, mut from, mut to) = (path.as_bytes(), [b'.'; N], 0, 0);
    while to < N {
        if path[from] == b':' {
            from += 2;
        } else {
            out[to] = path[from];
            from += 1;
        }
        to += 1;
    }
    out
}

/// Polls to the end, however often that takes.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

/// Not ready at the first poll.
async fn pause() {
    let mut ready = false;
    std::future::poll_fn(|_| if std::mem::replace(&mut ready, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[timeit]
fn early(number: &str) -> Result<u8, std::num::ParseIntError> {
    let number: u8 = number.parse()?;
    if number > 9 {
        return Ok(9);
    }
    Ok(number)
}

#[test]
fn every_way_out_of_a_function_is_an_end() {
    for (input, output) in [("x", None), ("20", Some(9)), ("3", Some(3))] {
        assert_eq!(early(input).ok(), output);
        assert_eq!(taken(), ["begin shapes.early", "time shapes.early"]);
    }
    #[incr_count("panics")]
    fn panics() -> u8 {
        panic!("on purpose")
    }
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!(taken(), ["begin panics", "count panics by=1"]);
}

struct Service {
    name: String,
}

mod inner {
    #[metlog_macros::timeit]
    pub fn r#match() {}

    pub trait Handler {
        fn handle(&mut self, input: String) -> String;
    }
}

impl inner::Handler for Service {
    #[incr_count("handled", count = input.len(), logger = &self.name, fields(input = input))]
    fn handle(&mut self, input: String) -> String {
        // What the guard was told may change and move.
        self.name.push('!');
        input
    }
}

impl Service {
    #[timeit(client = self.name)]
    fn borrow<'a, T, const N: usize>(&'a self, more: &'a T) -> [&'a str; N]
    where
        T: AsRef<str> + ?Sized,
    {
        std::array::from_fn(|n| if n == 0 { self.name.as_str() } else { more.as_ref() })
    }

    #[timeit]
    fn lazily<'a>(&'a self) -> impl Iterator<Item = char> + 'a {
        self.name.chars()
    }
}

#[test]
fn methods_generics_and_opaque_types() {
    use inner::Handler;
    let mut service = Service { name: "s".into() };
    assert_eq!(service.handle("abc".into()), "abc");
    assert_eq!(taken(), ["begin handled", "count handled by=3 logger=s input=abc"]);
    assert_eq!(service.borrow::<_, 2>("x"), ["s!", "x"]);
    assert_eq!(taken(), ["begin shapes.borrow", "time shapes.borrow client=s!"]);
    assert_eq!(service.lazily().count(), 2);
    assert_eq!(taken(), ["begin shapes.lazily", "time shapes.lazily"]);
    inner::r#match();
    assert_eq!(taken(), ["begin shapes.inner.match", "time shapes.inner.match"]);
}

#[incr_count("outer")]
#[timeit("inner")]
fn both() {
    log("body".into());
}

#[test]
fn the_lower_attribute_speaks_first() {
    both();
    assert_eq!(taken(), ["begin outer", "begin inner", "body", "time inner", "count outer by=1"]);
}

#[timeit(fields(id = id, "http.status" = 200))]
async fn asynchronous(id: String) -> Result<String, ()> {
    pause().await;
    log("body".into());
    if id.is_empty() { Err(()) } else { Ok(id) }
}

#[timeit("boxed")]
fn boxed(id: &str) -> Pin<Box<dyn Future<Output = usize> + Send + '_>> {
    log("made".into());
    Box::pin(async move {
        pause().await;
        id.len()
    })
}

#[incr_count("opaque")]
#[timeit("opaque")]
fn opaque() -> impl Future<Output = u8> + Send {
    log("made".into());
    async move { 7 }
}

#[test]
fn futures_are_measured_from_first_poll_to_end() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let future = is_send(asynchronous("x".into()));
    assert!(taken().is_empty(), "not before it is polled");
    assert_eq!(run(future), Ok("x".into()));
    let expected = ["begin shapes.asynchronous", "body", "time shapes.asynchronous id=x \"http.status\"=200"];
    assert_eq!(taken(), expected);

    assert_eq!(run(is_send(boxed("four"))), 4);
    assert_eq!(taken(), ["made", "begin boxed", "time boxed"]);

    assert_eq!(run(is_send(opaque())), 7);
    assert_eq!(taken(), ["made", "begin opaque", "begin opaque", "time opaque", "count opaque by=1"]);
}

#[test]
fn a_dropped_future_is_an_end() {
    let mut future = Box::pin(asynchronous("x".into()));
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(taken(), ["begin shapes.asynchronous"]);
    drop(future);
    assert_eq!(taken(), ["time shapes.asynchronous id=x \"http.status\"=200"]);
}

#[async_trait::async_trait]
trait Store {
    async fn get(&self, key: &str) -> Option<String>;

    #[timeit("provided", fields(key = key))]
    async fn provided(&self, key: String) -> usize {
        let found = self.get(&key).await;
        drop(key);
        found.map_or(0, |found| found.len())
    }
}

#[async_trait::async_trait]
impl Store for Service {
    #[incr_count("got", fields(store = self.name))]
    #[timeit("get", rate = 0.5)]
    async fn get(&self, key: &str) -> Option<String> {
        pause().await;
        (key == self.name).then(|| key.to_owned())
    }
}

#[test]
fn methods_of_async_trait() {
    let service = Service { name: "s".into() };
    let future = service.provided("s".into());
    assert!(taken().is_empty());
    assert_eq!(run(future), 1);
    let expected = [
        "begin provided",
        "begin got",
        "begin get",
        "time get rate=0.5",
        "count got by=1 store=s",
        "time provided key=s",
    ];
    assert_eq!(taken(), expected);
}
