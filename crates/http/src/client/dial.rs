//! From an address to an open connection, and the open connection itself.

use super::address::Address;
use super::causes;
use super::options::{Connection, PLACE};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use metlog_tls::Trusted;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// The head of an answer may be this long; a peer that sends more is cut off.
const HEAD_LIMIT: usize = 64 * 1024;

/// Knows how to reach one address.
pub(super) struct Dialer {
    host: String,
    port: u16,
    tls: Option<(Trusted, ServerName<'static>)>,
    timeout: Duration,
}

impl Dialer {
    pub(super) fn new(address: &Address, connection: &Connection) -> Result<Self, String> {
        let tls = if address.is_tls() {
            let name = ServerName::try_from(address.host().to_owned())
                .map_err(|_| format!("`{}` is no name a certificate could be for", address.host()))?;
            // Read only where it is needed, so that nobody else depends on the files.
            Some((connection.trust().open(PLACE, &[b"http/1.1"])?, name))
        } else {
            None
        };
        Ok(Dialer {
            host: address.host().to_owned(),
            port: address.port(),
            tls,
            timeout: connection.connect_timeout.duration(),
        })
    }

    /// Connects: TLS and HTTP included.
    pub(super) async fn dial(&self, deadline: Instant) -> Result<Link, String> {
        let deadline = deadline.min(Instant::now() + self.timeout);
        match timeout_at(deadline, self.connect()).await {
            Ok(result) => result,
            Err(_) => Err(format!("no connection within {:?}", self.timeout)),
        }
    }

    async fn connect(&self) -> Result<Link, String> {
        let stream = tcp(&self.host, self.port).await?;
        match &self.tls {
            None => Link::open(stream).await,
            Some((trusted, name)) => {
                let secured = TlsConnector::from(trusted.config()).connect(name.clone(), stream).await;
                let secured = secured.map_err(|error| {
                    format!("TLS handshake failed: {}", trusted.explain(&error).unwrap_or_else(|| causes(&error)))
                });
                Link::open(secured?).await
            }
        }
    }
}

/// Every address of a name in turn, as long as the time lasts.
async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    let found = lookup_host((host, port)).await.map_err(|error| format!("the name cannot be looked up: {error}"))?;
    let mut failed = String::from("the name has no address");
    for address in found {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it the last, short segment of a request waits for the acknowledgement of the one before.
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                return Ok(stream);
            }
            Err(error) => failed = format!("cannot connect to {address}: {error}"),
        }
    }
    Err(failed)
}

/// An open connection.
///
/// hyper splits it into a handle and a future that moves the bytes. The future is polled here, beside whatever waits
/// for it, instead of by a task of its own: nobody has to own, stop or join that task.
pub(super) struct Link {
    handle: SendRequest<Full<Bytes>>,
    /// `None` once the connection is over.
    bytes: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What a peer said against us after the handshake, as it may when it does not like our certificate.
    said: Arc<Mutex<Option<String>>>,
}

impl Link {
    async fn open(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, String> {
        let (handle, connection) = http1::Builder::new()
            .max_buf_size(HEAD_LIMIT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| causes(&error))?;
        let said = Arc::<Mutex<Option<String>>>::default();
        let note = said.clone();
        let bytes = Box::pin(async move {
            // Any other error is seen by whoever waits for an answer.
            let why = connection.await.err().and_then(|error| metlog_tls::explain(&error, PLACE));
            *note.lock().unwrap_or_else(PoisonError::into_inner) = why;
        });
        Ok(Link { handle, bytes: Some(bytes), said })
    }

    /// What an error on it means.
    pub(super) fn explain(&self, error: &hyper::Error) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).take();
        said.or_else(|| metlog_tls::explain(error, PLACE)).unwrap_or_else(|| causes(error))
    }

    /// Whether it can take another request; notices that the peer closed it meanwhile.
    pub(super) async fn is_alive(&mut self) -> bool {
        // Lets the runtime look at the sockets, which nobody did since the last request.
        tokio::task::yield_now().await;
        drive(&mut self.bytes, std::future::ready(())).await;
        self.bytes.is_some() && self.handle.is_ready()
    }

    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let Link { handle, bytes, said: _ } = self;
        drive(bytes, async {
            handle.ready().await?;
            handle.send_request(request).await
        })
        .await
    }

    /// Runs `work`, which waits for bytes of this connection.
    pub(super) async fn with<T>(&mut self, work: impl Future<Output = T>) -> T {
        drive(&mut self.bytes, work).await
    }
}

async fn drive<T>(bytes: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Some(moving) = bytes
            && moving.as_mut().poll(context).is_ready()
        {
            *bytes = None;
        }
        let result = work.as_mut().poll(context);
        // What `work` asked for may be doable at once.
        if result.is_pending()
            && let Some(moving) = bytes
            && moving.as_mut().poll(context).is_ready()
        {
            *bytes = None;
            return work.as_mut().poll(context);
        }
        match result {
            Poll::Ready(value) => Poll::Ready(value),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
