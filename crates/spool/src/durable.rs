//! Waiting for the disk without holding up a thread.

use crate::fs::Fs;
use crate::journal::Core;
use crate::options::{AppendError, Sync};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

/// Ready when everything below an id is on disk.
pub(crate) struct Durable<F: Fs> {
    core: Arc<Core<F>>,
    id: u64,
    ticket: Option<u64>,
    /// Syncs that had failed before.
    failures: u64,
}

impl<F: Fs> Durable<F> {
    pub fn new(core: Arc<Core<F>>, id: u64) -> Self {
        let failures = core.desk.failures().0;
        Durable { core, id, ticket: None, failures }
    }
}

impl<F: Fs> Future for Durable<F> {
    type Output = Result<(), AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.core.options.sync != Sync::Ack || self.core.durable.load(Ordering::Acquire) >= self.id {
            return Poll::Ready(Ok(()));
        }
        if let (failures, Some(error)) = self.core.desk.failures()
            && failures > self.failures
        {
            return Poll::Ready(Err(error));
        }
        match self.core.desk.wait_for(self.id, self.ticket, context.waker()) {
            Ok(ticket) => self.ticket = Some(ticket),
            Err(error) => return Poll::Ready(Err(error)),
        }
        // It may have come to pass between the look and the entry.
        if self.core.durable.load(Ordering::Acquire) >= self.id {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl<F: Fs> Drop for Durable<F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.core.desk.give_up(ticket);
        }
    }
}
