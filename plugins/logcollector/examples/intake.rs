//! What an entry costs from a body to the router's inlet: `cargo run --release -p metlog-logcollector --example intake`.

use metlog_http::axum::Router;
use metlog_http::axum::body::Body;
use metlog_http::axum::http::Request;
use metlog_http::axum::response::Response;
use metlog_http::server::{DialectEntry, Server, ServerLimits};
use metlog_logcollector as _;
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
const EVENT: &str = r#"{"level": "INFO", "message": "order 4711 of customer 0815 accepted after 12 ms \u00e4", "created_at": 1795212050.2512345, "order": 4711, "customer": "0815", "duration_ms": 12.084007263183594, "function_name": "accept", "file_path": "/srv/shop/worker.py", "trace_id": "f81d4fae7dec11d0a76500a0c91e6bf6", "user_id": "u-17", "service": "checkout", "environment": "production", "service_version": "v1.2.3", "log_type": "BACKEND"}"#;

const PATH: &str = "/logs";
const EVENTS: usize = 1000;
const REQUESTS: usize = 2_000;

fn main() {
    let server = Server::bind("127.0.0.1:0", ServerLimits::default()).expect("a free port");
    let entry = DialectEntry::find("logcollector").expect("there");
    let empty = Node::new(Origin::named("example"), Kind::Table(Table::default()));
    let dialect = (entry.read)(&empty).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens");
    let routes: Router = dialect.routes(server.door(Inlet::new(Box::new(Open::default()))));
    let body = format!("{{\"logs\":[{}]}}", vec![EVENT; EVENTS].join(", "));
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
        println!("{EVENTS} entries of {} bytes per request: {:.2} CPU us per entry", EVENT.len(), spent * 1e6 / events);
    });
}

/// Seconds of processor that this program has used: Linux counts hundredths.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let behind_name = stat.rsplit(") ").next().expect("fields");
    let ticks: u64 = behind_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}
