//! Asking the consumer for messages, a batch at a time. Done here, since async-nats makes a subscription for each request
//! and a handle for each message, and cannot be told to stop asking without losing what is on its way.

use crate::link::{Fault, Link};
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// How long the server keeps a request that nothing comes for.
const EXPIRES: Duration = Duration::from_secs(10);

/// So often the server says that it has nothing; after two such times without a word something is wrong.
const HEARTBEAT: Duration = Duration::from_secs(4);

/// Requests at the server at once.
const AT_ONCE: usize = 2;

/// Bytes of one batch, if no single message can be larger than half of it.
const BYTES: usize = 8 * 1024 * 1024;

/// What is on its way when we stop gets so long.
const LAST: Duration = Duration::from_secs(2);

pub(crate) struct Pull {
    client: async_nats::Client,
    messages: Subscriber,
    inbox: String,
    /// Where requests go.
    api: String,
    request: Bytes,
    batch: usize,
    /// Number of the last request.
    number: u64,
    /// Requests the server has not done with, and how many messages of each may still come. The server does them one
    /// after the other, and says nothing of one it has done all of.
    open: VecDeque<(u64, usize)>,
    heard: Instant,
}

impl Pull {
    pub async fn open(link: &Link, stream: &str, consumer: &str, batch: usize) -> Result<Self, Fault> {
        let inbox = link.client.new_inbox();
        let messages = link.client.subscribe(format!("{inbox}.*")).await;
        let messages = messages.map_err(|error| Fault::Away(format!("no messages can come from NATS: {error}")))?;
        let bytes = BYTES.max(link.client.max_payload().saturating_mul(2));
        let (expires, heartbeat) = (EXPIRES.as_nanos(), HEARTBEAT.as_nanos());
        let request =
            format!("{{\"batch\":{batch},\"max_bytes\":{bytes},\"expires\":{expires},\"idle_heartbeat\":{heartbeat}}}");
        Ok(Pull {
            client: link.client.clone(),
            messages,
            inbox,
            api: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            request: request.into(),
            batch,
            number: 0,
            open: VecDeque::new(),
            heard: Instant::now(),
        })
    }

    /// What is there, once something is; with `more`, also what is still to be asked for. May be dropped at any time
    /// without losing anything.
    pub async fn next(&mut self, link: &Link, more: bool) -> Result<Vec<Message>, Fault> {
        loop {
            // The next one is there before the last is done, so that the server need not wait for us.
            while more && self.open.iter().map(|(_, left)| left).sum::<usize>() <= self.batch * (AT_ONCE - 1) {
                self.ask().await?;
            }
            let came = tokio::select! {
                biased;
                came = self.messages.next() => came,
                fault = link.broken() => return Err(fault),
                () = tokio::time::sleep_until(self.heard + HEARTBEAT * 2), if !self.open.is_empty() => {
                    return Err(Fault::Away("the NATS server has gone silent".to_owned()));
                }
            };
            let mut taken = Vec::new();
            self.heard = Instant::now();
            self.sort(came.ok_or_else(lost)?, &mut taken)?;
            // No await here, so that nothing is lost with this future.
            while taken.len() < self.batch
                && let Some(more) = self.messages.next().now_or_never()
            {
                match more {
                    Some(message) => self.sort(message, &mut taken)?,
                    None if taken.is_empty() => return Err(lost()),
                    None => break,
                }
            }
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    async fn ask(&mut self) -> Result<(), Fault> {
        let reply = format!("{}.{}", self.inbox, self.number + 1);
        let asked = self.client.publish_with_reply(self.api.clone(), reply, self.request.clone()).await;
        asked.map_err(|error| Fault::Away(format!("cannot ask NATS for messages: {error}")))?;
        self.number += 1;
        self.open.push_back((self.number, self.batch));
        self.heard = Instant::now();
        Ok(())
    }

    /// A message, or what the server says of a request.
    fn sort(&mut self, message: Message, taken: &mut Vec<Message>) -> Result<(), Fault> {
        let Some(status) = message.status else {
            if let Some((_, left)) = self.open.front_mut() {
                *left -= 1;
                if *left == 0 {
                    self.open.pop_front();
                }
            }
            taken.push(message);
            return Ok(());
        };
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse::<u64>().ok());
        let at = self.open.iter().position(|(open, _)| Some(*open) == number);
        let words = message.description.as_deref().unwrap_or_default();
        match status {
            StatusCode::IDLE_HEARTBEAT => {}
            // Of a request that we take for done.
            _ if at.is_none() => {}
            StatusCode::NOT_FOUND | StatusCode::TIMEOUT => self.done(at),
            _ if words.contains("MaxBytes") && self.open.iter().any(|(_, left)| *left < self.batch) => self.done(at),
            StatusCode::NO_RESPONDERS => {
                return Err(Fault::Away("the consumer or its stream is gone from NATS".to_owned()));
            }
            // What was taken along with it is unacknowledged and comes again.
            _ => return Err(Fault::Away(format!("NATS gives no messages: {status} {words}"))),
        }
        Ok(())
    }

    fn done(&mut self, at: Option<usize>) {
        if let Some(at) = at {
            self.open.remove(at);
        }
    }

    /// Stops asking, and gives what was on its way.
    pub async fn end(&mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        let until = Instant::now() + LAST;
        if self.messages.drain().await.is_ok() {
            while let Ok(Some(message)) = tokio::time::timeout_at(until, self.messages.next()).await {
                if message.status.is_none() {
                    rest.push(message);
                }
            }
        }
        rest
    }
}

fn lost() -> Fault {
    Fault::Away("the connection to NATS was lost".to_owned())
}
