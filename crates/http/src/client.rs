//! A small HTTP/1.1 client: one connection to one configured address, kept alive.
//!
//! What it never does: follow a redirect (a redirected write is re-sent as a GET by half of the world's clients and
//! then counts as delivered), go through a proxy (`HTTP_PROXY` and its kin are not read), decompress a reply, keep more of a reply than
//! its limit, or print a secret. What it always does: say for every answer what the caller should do next
//! ([`Trouble`]), with words for people.

mod address;
mod blocking;
mod codec;
mod dial;
mod options;
mod reply;
mod trouble;

pub use address::Address;
pub use blocking::Blocking;
pub use codec::{Codec, Compress};
pub use options::{Connection, Key, Options};
pub use reply::Reply;
pub use trouble::Trouble;

use bytes::Bytes;
use codec::Encoder;
use dial::{Dialer, Link};
use http_body_util::Full;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode};
use options::Authorization;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What is posted.
#[derive(Debug)]
pub struct Post {
    /// `Content-Type`, from code, never from a message.
    pub content_type: &'static str,
    /// The body before compression.
    pub body: Vec<u8>,
    /// Whether and how to compress it.
    pub compress: Compress,
}

impl Post {
    /// Lines, each with its end.
    pub fn lines(content_type: &'static str, lines: &[impl AsRef<[u8]>], compress: Compress) -> Self {
        let mut body = Vec::with_capacity(lines.iter().map(|line| line.as_ref().len() + 1).sum());
        for line in lines {
            body.extend_from_slice(line.as_ref());
            body.push(b'\n');
        }
        Post { content_type, body, compress }
    }
}

/// A connection to one address, opened when first needed and again when it broke.
///
/// One request at a time: a sender has one thread and an endpoint's worker one task, and each owns a client.
pub struct Client {
    address: Address,
    dialer: Dialer,
    link: Option<Link>,
    authorization: Authorization,
    headers: HeaderMap,
    encoder: Encoder,
    timeout: Duration,
    reply_limit: usize,
    hear: Option<&'static str>,
    heard: Option<HeaderValue>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("address", &self.address).field("connected", &self.link.is_some()).finish()
    }
}

impl Client {
    /// Checks everything that can be checked without the network: address, headers, key and certificate files.
    pub fn new(address: Address, options: Options) -> Result<Self, String> {
        let mut headers = options.connection.header_map()?;
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("metlog/", env!("CARGO_PKG_VERSION"))));
        headers.insert(HOST, address.host_header()?);
        Ok(Client {
            authorization: Authorization::open(options.key)?,
            dialer: Dialer::new(&address, &options.connection)?,
            headers,
            encoder: Encoder::default(),
            timeout: options.timeout,
            reply_limit: options.reply_limit,
            hear: options.hear,
            heard: None,
            link: None,
            address,
        })
    }

    /// Where it posts to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What the latest answer had as the header that [`Options::hear`] names.
    pub fn heard(&self) -> Option<&str> {
        self.heard.as_ref()?.to_str().ok()
    }

    /// Posts to the address's path and waits for the whole answer, all within the configured time.
    ///
    /// A kept connection that turns out to be closed is replaced and the request repeated, once: servers close idle
    /// connections whenever they like, and that is no news worth reporting.
    pub async fn post(&mut self, post: Post) -> Result<Reply, Trouble> {
        self.post_with(post, &[]).await
    }

    /// The same with further headers, whose names come from code.
    pub async fn post_with(&mut self, post: Post, more: &[(&'static str, String)]) -> Result<Reply, Trouble> {
        let deadline = Instant::now() + self.timeout;
        self.heard = None;
        let Post { content_type, body, compress } = post;
        let body = Bytes::from(body);
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        for (name, value) in more {
            let value = HeaderValue::try_from(value).map_err(|error| Trouble::pause(format!("`{name}`: {error}")))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        loop {
            match self.post_encoded(&body, &compress, headers.clone(), deadline).await {
                // RFC 9110, 15.5.16: 415 also means "not in this encoding". `auto` steps down and stays there.
                Err(Trouble::Pause { status: Some(415), .. }) if self.encoder.step_down(&compress, body.len()) => {}
                result => return result,
            }
        }
    }

    async fn post_encoded(
        &mut self,
        plain: &Bytes,
        compress: &Compress,
        mut headers: HeaderMap,
        deadline: Instant,
    ) -> Result<Reply, Trouble> {
        let (body, coding) = self.encoder.encode(plain, compress).map_err(Trouble::retry)?;
        let body = body.map_or_else(|| plain.clone(), Bytes::from);
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        if let Some(value) = self.authorization.header()? {
            headers.insert(AUTHORIZATION, value);
        }

        let (mut link, response) = match self.exchange(&headers, &body, deadline).await {
            Ok(answered) => answered,
            Err(why) => return Err(Trouble::retry(format!("{}: {why}", self.address))),
        };
        let (head, incoming) = response.into_parts();
        self.heard = self.hear.and_then(|name| head.headers.get(name).cloned());
        let read = reply::read(&mut link, incoming, self.reply_limit, deadline).await;
        if read.reusable {
            self.link = Some(link);
        }
        let reply = Reply { status: head.status.as_u16(), body: read.body, cut: read.cut };
        if head.status.is_success() {
            return Ok(reply);
        }
        if matches!(head.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            self.authorization.refused();
        }
        let excerpt = self.authorization.redact(reply.excerpt());
        Err(trouble::classify(&trouble::Answer {
            address: &self.address,
            status: head.status,
            headers: &head.headers,
            retry_after: head.headers.get(RETRY_AFTER).and_then(trouble::retry_after),
            excerpt,
            sent: plain.len(),
            coding,
        }))
    }

    /// One request and the head of its answer.
    async fn exchange(
        &mut self,
        headers: &HeaderMap,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<(Link, Response<hyper::body::Incoming>), String> {
        let mut kept = self.link.take();
        if let Some(link) = &mut kept
            && !link.is_alive().await
        {
            kept = None;
        }
        loop {
            let was_kept = kept.is_some();
            let mut link = match kept.take() {
                Some(link) => link,
                None => self.dialer.dial(deadline).await?,
            };
            let sent = timeout_at(deadline, link.send(self.request(headers, body)?)).await;
            match sent {
                Ok(Ok(response)) => return Ok((link, response)),
                // The peer closed the kept connection at the moment we wrote to it.
                Ok(Err(_)) if was_kept => continue,
                Ok(Err(error)) => {
                    return Err(format!("the connection broke before an answer came: {}", link.explain(&error)));
                }
                Err(_) => return Err(format!("no answer within {:?}", self.timeout)),
            }
        }
    }

    fn request(&self, headers: &HeaderMap, body: &Bytes) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.address.path_and_query())
            .body(Full::new(body.clone()))
            .map_err(|error| format!("cannot be asked for {}: {error}", self.address))?;
        *request.headers_mut() = headers.clone();
        Ok(request)
    }
}

/// An error with everything that caused it, in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}
