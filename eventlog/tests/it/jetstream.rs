//! The adapters on JetStream, with one server and with three.

mod bad_days;
mod blobs;
mod connect;
mod disaster;
mod logs;
mod secure;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::stream::Position;
use eventlog::calls::SharedCalls;
use eventlog::conformance;
use eventlog::conformance::log::Fixture;
use eventlog::conformance::logs::LIMITS;
use eventlog::entries::SharedEntries;
use eventlog::jetstream::{
    JetStreamEntries, JetStreamLog, JetStreamLogs, JetStreamQueue, NatsCalls, Retention, Settings,
};
use eventlog::log::SharedLog;
use eventlog::logs::SharedLogs;
use eventlog::queue::SharedQueue;
use serde_json::Value;

use crate::nats::{self, Cleanup, one_server, three_servers};
use crate::proxy;

struct Log {
    log: JetStreamLog,
    settings: Settings,
    _cleanup: Cleanup,
}

impl Log {
    async fn new(settings: Settings) -> Self {
        let log = JetStreamLog::connect(&settings).await.unwrap();
        let cleanup = Cleanup(settings.clone());
        Self { log, settings, _cleanup: cleanup }
    }

    /// Publishes what the commit at a position would be with other attributes, as if NATS had stored that.
    async fn forge(&self, position: Position, change: impl Fn(&mut Value)) {
        let context = nats::context(&self.settings).await;
        let stream = context.get_stream(nats::stream(&self.settings, "EVENTS")).await.unwrap();
        let message = stream.get_raw_message(position.0).await.unwrap();
        let mut batch: Value = serde_json::from_slice(&message.payload).unwrap();
        change(&mut batch[0]);
        let forged = serde_json::to_vec(&batch).unwrap();
        context.publish(message.subject, forged.into()).await.unwrap().await.unwrap();
    }
}

#[async_trait]
impl Fixture for Log {
    fn log(&self) -> SharedLog {
        Arc::new(self.log.clone())
    }

    async fn reopen(&mut self) {
        self.log = JetStreamLog::connect(&self.settings).await.unwrap();
    }

    async fn losing_answers(&self, every: u32) -> SharedLog {
        let urls = proxy::start(&self.settings.urls, every).await;
        Arc::new(JetStreamLog::connect(&Settings { urls, ..self.settings.clone() }).await.unwrap())
    }

    /// The stream cannot be changed, so a commit is added that says that others stood before it than do.
    async fn tamper(&self, position: Position) {
        self.forge(position, |event| event["streamversion"] = 6.into()).await;
    }

    /// Nor can a commit be taken out, so one is added that says that another stood before it.
    async fn lose(&self, position: Position) {
        self.forge(position, |event| event["streamversion"] = 7.into()).await;
    }
}

struct Queue {
    queue: JetStreamQueue,
    settings: Settings,
    _cleanup: Cleanup,
}

impl Queue {
    async fn new(settings: Settings) -> Self {
        let queue = JetStreamQueue::connect(&settings).await.unwrap();
        let cleanup = Cleanup(settings.clone());
        Self { queue, settings, _cleanup: cleanup }
    }
}

#[async_trait]
impl conformance::queue::Fixture for Queue {
    fn queue(&self) -> SharedQueue {
        Arc::new(self.queue.clone())
    }

    async fn reopen(&mut self) {
        self.queue = JetStreamQueue::connect(&self.settings).await.unwrap();
    }
}

struct Entries {
    entries: JetStreamEntries,
    settings: Settings,
    _cleanup: Cleanup,
}

impl Entries {
    async fn new(settings: Settings) -> Self {
        let entries = JetStreamEntries::connect(&settings).await.unwrap();
        let cleanup = Cleanup(settings.clone());
        Self { entries, settings, _cleanup: cleanup }
    }
}

#[async_trait]
impl conformance::entries::Fixture for Entries {
    fn entries(&self) -> SharedEntries {
        Arc::new(self.entries.clone())
    }

    async fn reopen(&mut self) {
        self.entries = JetStreamEntries::connect(&self.settings).await.unwrap();
    }
}

/// Two processes, in turn.
struct Logs {
    logs: [JetStreamLogs; 2],
    turn: AtomicUsize,
    settings: Settings,
    _cleanup: Cleanup,
}

async fn two_stores(settings: &Settings) -> [JetStreamLogs; 2] {
    let connect = async || JetStreamLogs::connect(settings, LIMITS, Retention::LOGS).await.unwrap();
    [connect().await, connect().await]
}

impl Logs {
    async fn new(settings: Settings) -> Self {
        let cleanup = Cleanup(settings.clone());
        Self { logs: two_stores(&settings).await, turn: AtomicUsize::new(0), settings, _cleanup: cleanup }
    }
}

#[async_trait]
impl conformance::logs::Fixture for Logs {
    fn logs(&self) -> SharedLogs {
        Arc::new(self.logs[self.turn.fetch_add(1, Ordering::Relaxed) % 2].clone())
    }

    async fn reopen(&mut self) {
        self.logs = two_stores(&self.settings).await;
    }
}

/// Each a process of its own. Calls leave nothing behind.
struct Calls(Settings);

#[async_trait]
impl conformance::calls::Fixture for Calls {
    async fn calls(&self) -> SharedCalls {
        Arc::new(NatsCalls::connect(&self.0).await.unwrap())
    }
}

mod one {
    mod calls {
        eventlog::calls_suite!(crate::jetstream::Calls(crate::jetstream::one_server()));
    }

    mod blobs {
        eventlog::blobs_suite!(crate::jetstream::blobs::Blobs::new(crate::jetstream::one_server()).await);
    }

    mod logs {
        eventlog::logs_suite!(crate::jetstream::Logs::new(crate::jetstream::one_server()).await);
    }

    mod entries {
        eventlog::entries_suite!(crate::jetstream::Entries::new(crate::jetstream::one_server()).await);
    }

    mod queue {
        eventlog::queue_suite!(crate::jetstream::Queue::new(crate::jetstream::one_server()).await);
    }

    mod log {
        eventlog::log_suite!(crate::jetstream::Log::new(crate::jetstream::one_server()).await);
    }
}

mod three {
    mod calls {
        eventlog::calls_suite!(crate::jetstream::Calls(crate::jetstream::three_servers()));
    }

    mod blobs {
        eventlog::blobs_suite!(crate::jetstream::blobs::Blobs::new(crate::jetstream::three_servers()).await);
    }

    mod logs {
        eventlog::logs_suite!(crate::jetstream::Logs::new(crate::jetstream::three_servers()).await);
    }

    mod entries {
        eventlog::entries_suite!(crate::jetstream::Entries::new(crate::jetstream::three_servers()).await);
    }

    mod queue {
        eventlog::queue_suite!(crate::jetstream::Queue::new(crate::jetstream::three_servers()).await);
    }

    mod log {
        eventlog::log_suite!(crate::jetstream::Log::new(crate::jetstream::three_servers()).await);
    }
}
