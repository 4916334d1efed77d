//! What an event costs from a body to the router's inlet: `cargo run --release -p metlog-masterlog --example intake`.

use metlog_http::axum::Router;
use metlog_http::axum::body::Body;
use metlog_http::axum::http::Request;
use metlog_http::axum::response::Response;
use metlog_http::server::{DialectEntry, Server, ServerLimits};
use metlog_masterlog as _;
use metlog_pipeline::{Durable, Full, Inlet, Intake, Reason, Receipt};
use metlog_settings::{Kind, Node, Origin, Table};

/// Takes everything and keeps nothing.
#[derive(Default)]
struct Open {
    buffer: Vec<u8>,
    count: usize,
}

impl Intake for Open {
    fn another(&self) -> Box<dyn Intake> {
        Box::new(Open::default())
    }
    fn push(&mut self, message: &[u8]) {
        self.buffer.extend_from_slice(message);
        self.count += 1;
    }
    fn refuse(&mut self, part: &[u8], _: Reason, why: &str) {
        panic!("{why}: {}", String::from_utf8_lossy(part));
    }
    fn lost(&mut self, _: u64) {}
    fn commit(&mut self) -> Result<Receipt, Full> {
        self.buffer.clear();
        Ok(Receipt { accepted: std::mem::take(&mut self.count), ..Receipt::default() })
    }
    fn drop_pushed(&mut self, _: Reason) {}
    fn pending(&self) -> usize {
        self.buffer.len()
    }
    fn durable(&self) -> Durable {
        Box::pin(std::future::ready(Ok(())))
    }
    fn message_limit(&self) -> usize {
        1 << 20
    }
}

/// As the published client writes it.
const EVENT: &str = r#"{"severity":"info","tags":["api","orders"],"title":"order accepted","body":"order 4711 of customer 0815 accepted after 12 ms \u00e4","metadata":{"order":4711,"customer":"0815","python_client":{"hostname":"app01","fqdn":"app01.example.org","pid":4242,"process_name":"worker.py","argv0":"/srv/shop/worker.py","cwd":"/srv/shop","python_version":"3.11.2","library":"master-log-client","library_version":"0.1.0"}}}"#;

const PATH: &str = "/api/v1/logs/batch";
const EVENTS: usize = 100;
const REQUESTS: usize = 20_000;

fn main() {
    let server = Server::bind("127.0.0.1:0", ServerLimits::default()).expect("a free port");
    let entry = DialectEntry::find("masterlog").expect("there");
    let empty = Node::new(Origin::named("example"), Kind::Table(Table::default()));
    let dialect = (entry.read)(&empty).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
    let routes: Router = dialect.routes(server.door(Inlet::new(Box::new(Open::default()))));
    let body = format!("{{\"logs\":[{}]}}", vec![EVENT; EVENTS].join(","));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let one = async |routes: &mut Router| -> Response {
        let request = Request::post(PATH).body(Body::from(body.clone())).expect("a request");
        tower_service::Service::call(routes, request).await.expect("an answer")
    };
    runtime.block_on(async {
        let mut routes = routes.clone();
        let answer = one(&mut routes).await;
        assert_eq!(answer.status(), 200);
        let before = cpu();
        for _ in 0..REQUESTS {
            one(&mut routes).await;
        }
        let spent = cpu() - before;
        let events = (REQUESTS * EVENTS) as f64;
        println!("{EVENTS} events of {} bytes per request: {:.2} CPU us per event", EVENT.len(), spent * 1e6 / events);
    });
}

/// Seconds of processor that this program has used: Linux counts hundredths.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let behind_name = stat.rsplit(") ").next().expect("fields");
    let ticks: u64 = behind_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}
