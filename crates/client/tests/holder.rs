//! Named clients, the default one, process-wide settings. One test: they are the process's.

mod common;

use common::{Kept, settle};
use metlog::{Client, Setup};

#[test]
fn clients_by_name() {
    assert!(metlog::default_client().is_none());
    metlog::info!("before there is a client, calls do nothing");

    let first = metlog::client("first");
    assert_eq!(first.logger(), "first");
    assert!(!first.is_active(), "no sender yet");
    assert_eq!(
        metlog::default_client().map(|client| client.logger()).as_deref(),
        Some("first"),
        "the first is the default"
    );
    metlog::info!("a client without a sender drops without counting");
    assert_eq!(first.stats().taken, 0);

    let kept = Kept::new();
    let report = metlog::client("first").setup(Setup::new("first").sender(kept.sender())).expect("opens");
    assert!(report.complete);
    assert!(first.is_active(), "every handle is the same client");
    metlog::info!("now it goes somewhere");
    settle(&first);
    assert_eq!(kept.len(), 1);

    let second = metlog::client("second");
    assert_eq!(metlog::default_client().map(|client| client.logger()).as_deref(), Some("first"));
    let other = Kept::new();
    let own = Client::open(Setup::new("own").sender(other.sender())).expect("opens");
    metlog::set_client("second", &own);
    assert_eq!(metlog::client("second").logger(), "own");
    assert_eq!(second.logger(), "second", "who held the old one keeps it");
    metlog::set_default_client("second");
    let call_site = || metlog::info!("where it goes follows the default, at a call site that was used before too");
    call_site();
    metlog::set_default_client("first");
    call_site();
    settle(&own);
    settle(&first);
    assert_eq!((kept.len(), other.len()), (2, 1));

    assert!(metlog::delete_client("second").is_some());
    assert!(metlog::delete_client("second").is_none());
    assert!(metlog::default_client().is_some(), "another one was deleted");
    metlog::delete_client("first");
    assert!(metlog::default_client().is_none());
    call_site();
    settle(&first);
    assert_eq!(kept.len(), 2);

    let guard = Client::open(Setup::new("guarded").sender(kept.sender())).expect("opens").guard();
    call_site();
    assert!(guard.shutdown().expect("a client").complete);
    assert_eq!(kept.len(), 3);
    call_site();
    metlog::clear_globals();
    assert!(metlog::default_client().is_none());
    assert_eq!(kept.len(), 3);
}
