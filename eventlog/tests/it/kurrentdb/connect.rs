//! Which servers and settings are taken.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::Ordering;

use eventlog::commit::Head;
use eventlog::conformance::{commit, fresh_stream};
use eventlog::error::AppendError;
use eventlog::kurrentdb::{ConnectError, KurrentLog, Settings};
use eventlog::log::EventLog as _;

use crate::kurrentdb::double::Double;
use crate::kurrentdb::settings;

async fn refusal(settings: &Settings) -> ConnectError {
    KurrentLog::connect(settings).await.err().expect("it was connected")
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = refusal(&settings(&format!("esdb://me:secret@{address}?tls=false"))).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_told_at_once() {
    let double = Double::start();
    let settings = settings(&double.url());
    let log = KurrentLog::connect(&settings).await.unwrap();
    double.node.faults.denies.store(true, Ordering::Relaxed);
    let error = refusal(&settings).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(format!("{error:?}").contains("AccessDenied"), "{error:?}");
    let error = log.append(&commit(fresh_stream(), "x"), Head::EMPTY).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn settings_that_are_none_are_refused() {
    let one = settings("esdb://127.0.0.1:1?tls=false");
    for settings in [
        Settings { prefix: "a.b".to_owned(), ..one.clone() },
        Settings { prefix: String::new(), ..one.clone() },
        Settings { url: "not a url".to_owned(), ..one.clone() },
        Settings { url: "nats://127.0.0.1:4222".to_owned(), ..one },
    ] {
        let error = refusal(&settings).await;
        assert!(matches!(error, ConnectError::Setting { .. }), "{error:?}");
    }
}
