//! Asking the consumer for messages, a batch at a time. Done here, since async-nats makes a subscription for each request
//! and a handle for each message, and cannot be told to stop asking without losing what is on its way.

use crate::link::{Fault, Link};
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use std::time::Duration;
use tokio::time::Instant;

/// How long the server keeps a request that nothing comes for.
const EXPIRES: Duration = Duration::from_secs(10);

/// So often the server says that it has nothing; after two such times without a word something is wrong.
const HEARTBEAT: Duration = Duration::from_secs(4);

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
    /// Number of the request, and how many of its messages may still come.
    number: u64,
    left: usize,
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
            left: 0,
            heard: Instant::now(),
        })
    }

    /// What is there, once something is. May be dropped at any time without losing anything.
    pub async fn next(&mut self, link: &Link) -> Result<Vec<Message>, Fault> {
        loop {
            if self.left == 0 {
                self.ask().await?;
            }
            let came = tokio::select! {
                biased;
                came = self.messages.next() => came,
                fault = link.broken() => return Err(fault),
                () = tokio::time::sleep_until(self.heard + HEARTBEAT * 2) => {
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
        self.left = self.batch;
        self.heard = Instant::now();
        Ok(())
    }

    /// A message, or what the server says of a request.
    fn sort(&mut self, message: Message, taken: &mut Vec<Message>) -> Result<(), Fault> {
        let Some(status) = message.status else {
            self.left = self.left.saturating_sub(1);
            taken.push(message);
            return Ok(());
        };
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse::<u64>().ok());
        let words = message.description.as_deref().unwrap_or_default();
        match status {
            StatusCode::IDLE_HEARTBEAT => {}
            // Of a request before this one.
            _ if number != Some(self.number) => {}
            StatusCode::NOT_FOUND | StatusCode::TIMEOUT => self.left = 0,
            _ if words.contains("MaxBytes") && self.left < self.batch => self.left = 0,
            StatusCode::NO_RESPONDERS => {
                return Err(Fault::Away("the consumer or its stream is gone from NATS".to_owned()));
            }
            // What was taken along with it is unacknowledged and comes again.
            _ => return Err(Fault::Away(format!("NATS gives no messages: {status} {words}"))),
        }
        Ok(())
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
