//! Panics as messages: what ends a thread, or the program, is told before it does.

use crate::{engine, holder, trouble};
use metlog_message::Severity;
use std::cell::Cell;
use std::panic::PanicHookInfo;
use std::sync::Once;
use std::time::Duration;

/// A program that aborts on panic ends right after the hook: what it said is on its way by then, if its peer takes it
/// in this time.
const FLUSH: Duration = Duration::from_millis(500);

static INSTALLED: Once = Once::new();

thread_local! {
    /// A panic while a panic is told must not be told.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// From now on every panic becomes a message of the default client: type `oldstyle`, severity 2, with the stack; fields
/// `panic`, `thread`, `file`, `line`. The hook that was there before runs after it. Doing it twice changes nothing.
pub fn tell_panics() {
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            tell(info);
            before(info);
        }));
    });
}

fn tell(info: &PanicHookInfo<'_>) {
    if engine::is_internal() || TELLING.replace(true) {
        return;
    }
    if let Some(client) = holder::default_client_now().filter(|client| client.is_active()) {
        let text = info.payload_as_str().unwrap_or("a panic without words");
        let thread = std::thread::current();
        let mut message = client.message("oldstyle").severity(Severity::Critical);
        message = message.payload(trouble::with_stack(format!("panic: {text}")));
        message = message.field("panic", true).field("thread", thread.name());
        if let Some(place) = info.location() {
            message = message.field("file", place.file()).field("line", place.line());
        }
        client.send(&message);
        let _ = client.flush(FLUSH);
    }
    TELLING.set(false);
}
