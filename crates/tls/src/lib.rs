//! TLS for everything metlog connects to and listens on, through rustls with the `ring` provider.
//!
//! - [`Trust`]: whom a connection trusts and what it shows of itself, from settings to a [`rustls::ClientConfig`]
//! - `Identity` and `Acceptor` (feature `server`): who a listener is and whom it lets in; its files are replaced while it
//!   runs, and a handshake has an end
//! - [`explain`]: what is wrong, and with whom, from the chain of errors that a failed handshake leaves
//!
//! TLS 1.2 and 1.3. Verification cannot be switched off: what a private authority has signed is trusted by naming that
//! authority.

#[cfg(feature = "server")]
mod acceptor;
mod blocking;
mod files;
#[cfg(feature = "server")]
mod identity;
mod trust;
mod validity;
mod words;

#[cfg(feature = "server")]
pub use acceptor::{Acceptor, Renewal, Unsafe};
pub use blocking::shake_hands;
#[cfg(feature = "server")]
pub use identity::Identity;
pub use trust::{Trust, Trusted};
pub use words::explain;

#[doc(no_inline)]
pub use rustls;
#[cfg(feature = "server")]
#[doc(no_inline)]
pub use tokio_rustls;

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
