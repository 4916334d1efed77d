//! What the service manager is told: ready, reloading, alive, stopping. Without one, nothing happens.

use crate::router::Router;
use sd_notify::NotifyState;
use std::time::Duration;

/// The service manager's view of this process.
pub(super) struct Service {
    /// It takes us for hung and starts us again if it hears nothing for twice as long.
    beat: Option<Duration>,
}

impl Service {
    /// Takes over the sockets that it opened for us. Before there are threads, see [`metlog_listen::inherit`].
    pub fn enter() -> Self {
        metlog_listen::inherit().iter().for_each(|strange| crate::say!("note: {strange}"));
        Service { beat: sd_notify::watchdog_enabled().map(|limit| limit / 2) }
    }

    /// All inputs listen.
    pub fn ready(&self, router: &Router) {
        let places = router.places();
        for at in metlog_listen::inherited() {
            if !places.iter().any(|(_, place)| place.contains(&at.to_string())) {
                crate::say!("note: the service manager listens on {at}, and nothing in the configuration does");
            }
        }
        tell(&[NotifyState::Ready, NotifyState::Status(&format!("{} inputs listen", places.len()))]);
    }

    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// With what came of it.
    pub fn reloaded(&self, done: &Result<impl std::fmt::Display, String>) {
        let status = match done {
            Ok(changes) => format!("reloaded: {changes}"),
            Err(why) => format!("reload refused: {}", why.lines().next().unwrap_or_default()),
        };
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Waits until a sign of life is due; for ever if nobody asks for one.
    pub async fn beat(&self) {
        match self.beat {
            Some(beat) => tokio::time::sleep(beat).await,
            None => std::future::pending().await,
        }
    }

    /// Gives it. Asking for the account passes every lock that a hung router would hold.
    pub fn alive(&self, router: &Router) {
        let waiting: u64 = router.account().endpoints.iter().map(|line| line.buffered).sum();
        tell(&[NotifyState::Watchdog, NotifyState::Status(&format!("{waiting} messages wait"))]);
    }
}

/// A service manager that does not listen is its own trouble.
fn tell(what: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(what);
}
