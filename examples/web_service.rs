//! A web service that says what it does through `tracing` and `metrics`, with a context per request. It answers a few
//! requests of its own and ends. `cargo run --example web_service`.

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use metlog::tower::ContextLayer;
use metlog::{Context, fields, timer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower_layer::Layer as _;
use tracing_subscriber::prelude::*;

#[tracing::instrument(skip_all, fields(order = 1000 + user))]
async fn order(user: u64) -> Result<String, std::num::ParseIntError> {
    {
        let _timer = timer!("db.query", table = "orders");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    metrics::counter!("orders", "shop" => "north").increment(1);
    tracing::info!(items = 3, "order taken");
    Ok(format!("thank you, user {user}\n"))
}

async fn answer(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let user = request.uri().path().trim_start_matches("/order/").parse();
    let taken = match user {
        Ok(user) => {
            // From here on, whatever is said in this request says whose it is.
            Context::current().with(fields! { user_id = user }).set();
            order(user).await
        }
        Err(error) => Err(error),
    };
    let mut response = Response::new(String::new());
    match taken {
        Ok(text) => *response.body_mut() = text,
        Err(error) => {
            tracing::warn!(error = &error as &(dyn std::error::Error + 'static), "not a user");
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
    }
    Ok(response)
}

/// Any framework's router stands here in a real service.
#[derive(Clone)]
struct Shop;

impl tower_service::Service<Request<Incoming>> for Shop {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        Box::pin(answer(request))
    }
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, peer)) = listener.accept().await {
        let layer = ContextLayer::new().access_log(true).ip_extension(move |_| Some(peer.ip()));
        let service = TowerToHyperService::new(layer.layer(Shop));
        tokio::spawn(async move {
            if let Err(error) =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
            {
                tracing::debug!(error = &error as &(dyn std::error::Error + 'static), "connection");
            }
        });
    }
}

async fn get(server: SocketAddr, path: &str, header: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _guard = metlog::from_text("[metlog]\nlogger = shop\nsender_class = stdout", "metlog")?.guard();
    tracing_subscriber::registry().with(metlog::tracing::layer()).init();
    // Declared after the client's guard, so that the last sums leave before the client does.
    let _metrics = metlog::metrics::init()?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let serving = tokio::spawn(serve(listener));
    get(server, "/order/7?token=secret", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n")
        .await?;
    let (left, right) = tokio::join!(get(server, "/order/8", ""), get(server, "/order/9", "x-trace-id: mine\r\n"));
    eprintln!("{}{}", left?, right?);
    get(server, "/order/nobody", "").await?;
    serving.abort();
    Ok(())
}
