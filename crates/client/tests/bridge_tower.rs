//! Requests answered through the `tower` layer: their context, their time and their fate.
#![cfg(feature = "tower")]

mod common;

use common::{Kept, client, settle};
use http::header::HeaderName;
use http::{Request, Response, StatusCode};
use metlog::tower::ContextLayer;
use metlog::{Client, Context, Message, Setup, Severity, Value, fields};
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tower_layer::Layer;
use tower_service::Service;

/// The bridge speaks to the default client, of which there is one.
static ONE: Mutex<()> = Mutex::const_new(());

async fn start(setup: Setup) -> (MutexGuard<'static, ()>, Client, Kept) {
    let one = ONE.lock().await;
    let (client, kept) = client(setup);
    client.make_default();
    (one, client, kept)
}

/// A service that is a function.
struct Handler<F>(F);

impl<F, Fut, E> Service<Request<()>> for Handler<F>
where
    F: FnMut(Request<()>) -> Fut,
    Fut: Future<Output = Result<Response<()>, E>>,
{
    type Response = Response<()>;
    type Error = E;
    type Future = Fut;
    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: Request<()>) -> Fut {
        (self.0)(request)
    }
}

fn status(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response
}

async fn fine(_: Request<()>) -> Result<Response<()>, Infallible> {
    metlog::info!("handling");
    Ok(status(StatusCode::OK))
}

fn request(path: &str, headers: &[(&str, &[u8])]) -> Request<()> {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    request.body(()).expect("a request")
}

fn text<'m>(message: &'m Message, field: &str) -> &'m str {
    message.fields.get(field).and_then(Value::as_str).unwrap_or_else(|| panic!("no {field}: {message:?}"))
}

fn timers(messages: &[Message]) -> Vec<&Message> {
    messages.iter().filter(|message| message.kind == "timer").collect()
}

#[tokio::test]
async fn a_request_has_a_context_and_a_timer() {
    let (_one, client, kept) = start(Setup::new("request")).await;
    let handler = Handler(|_| async {
        metlog::info!("handling");
        Context::current().with(fields! { user_id = 7 }).set();
        tokio::time::sleep(Duration::from_millis(30)).await;
        metlog::incr!("orders");
        Ok::<_, Infallible>(status(StatusCode::CREATED))
    });
    let mut service = ContextLayer::new().layer(handler);
    service.call(request("/orders?token=secret", &[])).await.expect("answered");
    metlog::info!("outside");
    settle(&client);
    let messages = kept.messages();
    let [handling, orders, timer, outside] = messages.as_slice() else { panic!("{messages:?}") };
    let trace = text(timer, "trace_id").to_owned();
    assert!(trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()), "{trace}");
    let expected = fields! { trace_id = trace.clone(), method = "GET", path = "/orders" };
    assert_eq!(handling.fields, expected);
    // A metric's name and rate, what the request came with, what the handler added, what the layer adds.
    let counted = fields! {
        name = "orders", rate = 1.0, trace_id = trace.clone(), method = "GET", path = "/orders", user_id = 7,
    };
    assert_eq!(orders.fields, counted);
    let mut timed = counted;
    timed.set("name", "http.request");
    timed.set("status", 201);
    assert_eq!(timer.fields, timed);
    let millis = timer.payload.as_str().and_then(|text| text.parse::<u64>().ok());
    assert!(millis.is_some_and(|millis| (29..5000).contains(&millis)), "{timer:?}");
    assert_eq!(outside.fields, fields! {});
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fate_is_told() {
    let (_one, client, kept) = start(Setup::new("fates")).await;
    let layer = ContextLayer::new().access_log(true);
    let mut fails = layer.layer(Handler(|_| async { Err::<Response<()>, _>("broken") }));
    assert_eq!(fails.call(request("/failed", &[])).await.err(), Some("broken"));
    let mut bad = layer.layer(Handler(|_| async { Ok::<_, Infallible>(status(StatusCode::BAD_GATEWAY)) }));
    bad.call(request("/bad", &[])).await.expect("answered");

    let mut panics = layer.layer(Handler(|_| async {
        tokio::task::yield_now().await;
        if true {
            panic!("a handler's own fault");
        }
        Ok::<_, Infallible>(status(StatusCode::OK))
    }));
    let task = tokio::spawn(panics.call(request("/panicked", &[])));
    assert!(task.await.expect_err("it panicked").is_panic());

    struct Leaving;
    impl Drop for Leaving {
        fn drop(&mut self) {
            metlog::info!("leaving");
        }
    }
    let mut hangs = layer.layer(Handler(|_| async {
        let _leaving = Leaving;
        std::future::pending::<()>().await;
        Ok::<_, Infallible>(status(StatusCode::OK))
    }));
    let gone = tokio::time::timeout(Duration::from_millis(10), hangs.call(request("/gone", &[])));
    assert!(gone.await.is_err());
    drop(hangs.call(request("/never", &[])));

    metlog::info!("outside");
    settle(&client);
    let messages = kept.messages();
    let fates: Vec<_> = timers(&messages)
        .iter()
        .map(|timer| match timer.fields.get("outcome") {
            Some(outcome) => (text(timer, "path"), outcome.to_text().into_owned()),
            None => (text(timer, "path"), timer.fields.get("status").expect("one of both").to_text().into_owned()),
        })
        .collect();
    let expected = [
        ("/failed", "failed"),
        ("/bad", "502"),
        ("/panicked", "panicked"),
        ("/gone", "cancelled"),
        ("/never", "cancelled"),
    ];
    assert_eq!(fates, expected.map(|(path, fate)| (path, fate.to_owned())));
    let line = |path: &str| {
        let wanted = |message: &&Message| message.payload.as_str().is_some_and(|text| text.contains(path));
        messages.iter().find(wanted).unwrap_or_else(|| panic!("no line for {path}"))
    };
    let severities = expected.map(|(path, _)| line(path).severity);
    let (bad, good) = (Severity::Error, Severity::Informational);
    assert_eq!(severities, [bad, bad, bad, good, good]);
    let said = line("/bad").payload.to_text().into_owned();
    assert!(said.starts_with("GET /bad 502 ") && said.ends_with(" ms"), "{said}");
    let leaving = line("leaving");
    assert_eq!(text(leaving, "path"), "/gone", "what goes with the request goes in its context");
    assert_eq!(line("outside").fields, fields! {});
}

#[tokio::test]
async fn trace_ids_are_taken_over_when_they_are_right() {
    let (_one, client, kept) = start(Setup::new("traces")).await;
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";
    let parent = |version: &str, trace: &str, parent: &str, rest: &str| format!("{version}-{trace}-{parent}-{rest}");
    let good = [parent("00", TRACE, PARENT, "01"), parent("cc", TRACE, PARENT, "00-more-of-it")];
    let bad = [
        parent("ff", TRACE, PARENT, "01"),
        parent("00", TRACE, PARENT, "01-more"),
        parent("00", &TRACE.to_uppercase(), PARENT, "01"),
        parent("00", &"0".repeat(32), PARENT, "01"),
        parent("00", TRACE, &"0".repeat(16), "01"),
        parent("00", &TRACE[1..], PARENT, "01"),
        parent("00", TRACE, PARENT, "1"),
        parent("00", TRACE, PARENT, ""),
        format!("00-{TRACE}"),
        String::new(),
        "-".repeat(10_000),
    ];
    let mut service = ContextLayer::new().layer(Handler(fine));
    let mut ids = async |headers: &[(&str, &[u8])]| {
        service.call(request("/", headers)).await.expect("answered");
        settle(&client);
        let id = text(timers(&kept.messages())[0], "trace_id").to_owned();
        kept.clear();
        id
    };
    for header in &good {
        assert_eq!(ids(&[("traceparent", header.as_bytes()), ("x-trace-id", b"other")]).await, TRACE, "{header}");
    }
    for header in &bad {
        assert_eq!(ids(&[("traceparent", header.as_bytes()), ("x-trace-id", b"Req_1.a-b")]).await, "Req_1.a-b");
    }
    let twice = good[0].as_bytes();
    let new = ids(&[("traceparent", twice), ("traceparent", twice)]).await;
    assert!(new != TRACE && new.len() == 32, "{new}");
    let long = [b'a'; 65];
    for own in [&b""[..], b"a b", b"a\"b", b"\xff\xfe", &long] {
        let id = ids(&[("x-trace-id", own)]).await;
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
    assert_eq!(ids(&[("x-trace-id", &long[1..])]).await, "a".repeat(64));
}

#[tokio::test]
async fn addresses_are_trusted_only_where_told() {
    let (_one, client, kept) = start(Setup::new("addresses")).await;
    let name = HeaderName::from_static("x-forwarded-for");
    let ip = async |layer: &ContextLayer, headers: &[(&str, &[u8])]| {
        let mut request = request("/", headers);
        request.extensions_mut().insert(IpAddr::from([192, 0, 2, 1]));
        layer.layer(Handler(fine)).call(request).await.expect("answered");
        settle(&client);
        let ip = timers(&kept.messages())[0].fields.get("ip").map(|ip| ip.to_text().into_owned());
        kept.clear();
        ip
    };
    let some = |ip: &str| Some(ip.to_owned());
    let spoofed: &[(&str, &[u8])] = &[("x-forwarded-for", b"6.6.6.6, 203.0.113.9"), ("x-forwarded-for", b"10.0.0.2")];
    assert_eq!(ip(&ContextLayer::new(), spoofed).await, None);
    let behind = |proxies| ContextLayer::new().ip_header(name.clone(), proxies);
    assert_eq!(ip(&behind(1), spoofed).await, some("10.0.0.2"));
    assert_eq!(ip(&behind(2), spoofed).await, some("203.0.113.9"));
    assert_eq!(ip(&behind(4), spoofed).await, None);
    assert_eq!(ip(&behind(0), spoofed).await, None);
    for (header, expected) in [
        ("2001:db8::1", some("2001:db8::1")),
        ("[2001:db8::1]", some("2001:db8::1")),
        ("[2001:db8::1]:443", some("2001:db8::1")),
        ("203.0.113.9:80", some("203.0.113.9")),
        ("unknown", None),
        ("", None),
        ("<script>", None),
    ] {
        assert_eq!(ip(&behind(1), &[("x-forwarded-for", header.as_bytes())]).await, expected, "{header}");
    }
    let extension = ContextLayer::new().ip_extension(|extensions| extensions.get::<IpAddr>().copied());
    assert_eq!(ip(&extension, spoofed).await, some("192.0.2.1"));
}

#[tokio::test]
async fn what_is_too_long_is_cut_and_an_outer_context_stays() {
    let (_one, client, kept) = start(Setup::new("limits").disable_timer("http.request")).await;
    let _server = Context::new(fields! { server = "a" }).enter();
    let mut service = ContextLayer::new().layer(Handler(fine));
    let mut long = request(&format!("/{}", "é".repeat(600)), &[]);
    *long.method_mut() = "M".repeat(100).parse().expect("an extension method");
    service.call(long).await.expect("answered");
    settle(&client);
    let message = kept.one();
    assert_eq!(message.payload, Value::from("handling"), "the timer is disabled by its name");
    assert_eq!(text(&message, "method").len(), 32);
    assert!(text(&message, "path").len() <= 512);
    assert_eq!(text(&message, "server"), "a");
}
