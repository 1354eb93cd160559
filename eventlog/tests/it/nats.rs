//! Where the NATS servers are that tests use, and what they may not leave there.

pub(crate) mod server;

use std::time::Duration;

use eventlog::jetstream::Settings;
use uuid::Uuid;

/// A variable that names an engine.
///
/// # Panics
/// When it is not set: a test is never skipped.
pub(crate) fn engine(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set; `cargo xtask test` starts the engines"))
}

/// The lone server, with streams of our own.
pub(crate) fn one_server() -> Settings {
    Settings {
        prefix: prefix(),
        monitors: vec![engine("SWITCHBACK_TEST_NATS_MONITOR")],
        ..Settings::new(&engine("SWITCHBACK_TEST_NATS"))
    }
}

/// The three servers, with streams of our own.
pub(crate) fn three_servers() -> Settings {
    Settings { prefix: prefix(), replicas: 3, ..Settings::new(&engine("SWITCHBACK_TEST_NATS_CLUSTER")) }
}

fn prefix() -> String {
    format!("t{}", Uuid::now_v7().simple())
}

/// A connection beside the adapter's.
pub(crate) async fn context(settings: &Settings) -> async_nats::jetstream::Context {
    let addresses: Vec<async_nats::ServerAddr> =
        settings.urls.split(',').map(|url| url.parse().unwrap()).collect();
    let client = async_nats::connect(addresses).await.unwrap();
    async_nats::jetstream::context::ContextBuilder::new().timeout(Duration::from_secs(10)).build(client)
}

/// The name of a stream.
pub(crate) fn stream(settings: &Settings, of: &str) -> String {
    format!("{}_{of}", settings.prefix.to_ascii_uppercase())
}

/// Streams that are gone when it is dropped.
pub(crate) struct Cleanup(pub(crate) Settings);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let settings = self.0.clone();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let context = context(&settings).await;
                for of in ["EVENTS", "WORK", "QUEUE", "LOGS"] {
                    // Not every test makes all of them, and a test may have stopped the server.
                    let _ = context.delete_stream(stream(&settings, of)).await;
                }
                for (kind, of) in [("KV", "SHARED"), ("OBJ", "UPLOADS")] {
                    let bucket = format!("{kind}_{}", stream(&settings, of));
                    let _ = context.delete_stream(bucket).await;
                }
            });
        });
    }
}
