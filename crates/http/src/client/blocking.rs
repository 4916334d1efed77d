//! The client for a thread of its own.

use super::address::Address;
use super::options::Options;
use super::reply::Reply;
use super::trouble::Trouble;
use super::{Client, Post};
use tokio::runtime::{Builder, Runtime};

/// A [`Client`] with a runtime inside, which runs only while a request does. Not to be used within another runtime.
#[derive(Debug)]
pub struct Blocking {
    client: Client,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Blocking {
    /// See [`Client::new`].
    pub fn new(address: Address, options: Options) -> Result<Self, String> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .thread_name("metlog-dns")
            .build()
            .map_err(|error| format!("no runtime for {address}: {error}"))?;
        Ok(Blocking { client: Client::new(address, options)?, runtime: Some(runtime) })
    }

    /// Where it posts to.
    pub fn address(&self) -> &Address {
        self.client.address()
    }

    /// See [`Client::heard`].
    pub fn heard(&self) -> Option<&str> {
        self.client.heard()
    }

    /// See [`Client::post`].
    pub fn post(&mut self, post: Post) -> Result<Reply, Trouble> {
        self.post_with(post, &[])
    }

    /// See [`Client::post_with`].
    pub fn post_with(&mut self, post: Post, more: &[(&'static str, String)]) -> Result<Reply, Trouble> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(self.client.post_with(post, more)),
            None => Err(Trouble::retry("the client is being closed")),
        }
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        // A name look-up that hangs must not hang whoever closes the sender.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
