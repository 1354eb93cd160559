//! The adapter on KurrentDB, on a double of it, and on a real server where one is named.

mod connect;
mod disaster;
mod double;
mod foreign;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use domain::stream::Position;
use eventlog::conformance::log::Fixture;
use eventlog::faults::{FaultyLog, Rates};
use eventlog::kurrentdb::{KurrentLog, Settings};
use eventlog::log::SharedLog;
use serde_json::Value;
use uuid::Uuid;

use crate::kurrentdb::double::Double;
use crate::kurrentdb::foreign::Writer;

/// Names a real server (`esdb://…`) to run the suite against as well.
const REAL: &str = "SWITCHBACK_TEST_KURRENTDB";

/// With streams of its own, so that a test can be run again on the same server.
fn settings(url: &str) -> Settings {
    Settings { prefix: format!("test{}", Uuid::new_v4().simple()), ..Settings::new(url) }
}

/// A log on a server of which nothing is known but where it is.
struct Log {
    log: KurrentLog,
    settings: Settings,
}

impl Log {
    async fn new(url: &str) -> Self {
        let settings = settings(url);
        Self { log: KurrentLog::connect(&settings).await.unwrap(), settings }
    }

    /// Appends what the commit at a position would be with other attributes, as if the server had stored
    /// that.
    async fn forge(&self, position: Position, change: impl Fn(&mut Value)) {
        let writer = Writer::new(&self.settings.url);
        let event = writer.at(position).await;
        let mut batch: Value = serde_json::from_slice(&event.data).unwrap();
        change(&mut batch[0]);
        writer.append(&event.stream_id, event.id, &batch).await;
    }
}

#[async_trait]
impl Fixture for Log {
    fn log(&self) -> SharedLog {
        Arc::new(self.log.clone())
    }

    fn counts_commits(&self) -> bool {
        false
    }

    async fn reopen(&mut self) {
        self.log = KurrentLog::connect(&self.settings).await.unwrap();
    }

    async fn losing_answers(&self, every: u32) -> SharedLog {
        let rate = 1000 / every / 2;
        FaultyLog::new(self.log(), 7, Rates { answer_lost: rate, request_lost: rate, ..Rates::default() })
    }

    async fn tamper(&self, position: Position) {
        self.forge(position, |event| event["streamversion"] = 6.into()).await;
    }

    async fn lose(&self, position: Position) {
        self.forge(position, |event| event["streamversion"] = 7.into()).await;
    }
}

/// A log on a double, which loses answers and changes what it has itself.
struct OnDouble {
    log: Log,
    double: Double,
    losing: Double,
}

impl OnDouble {
    async fn new() -> Self {
        let double = Double::start();
        let losing = Double::with(Arc::clone(&double.node.store));
        Self { log: Log::new(&double.url()).await, double, losing }
    }
}

#[async_trait]
impl Fixture for OnDouble {
    fn log(&self) -> SharedLog {
        self.log.log()
    }

    fn counts_commits(&self) -> bool {
        false
    }

    async fn reopen(&mut self) {
        self.log.reopen().await;
    }

    async fn losing_answers(&self, every: u32) -> SharedLog {
        self.losing.node.faults.loses_every.store(every, Ordering::Relaxed);
        let settings = Settings { url: self.losing.url(), ..self.log.settings.clone() };
        Arc::new(KurrentLog::connect(&settings).await.unwrap())
    }

    async fn tamper(&self, position: Position) {
        self.double.node.store.change(position.0, |record| {
            let at = record.data.windows(4).position(|window| window == b"host").unwrap();
            record.data[at] = b'g';
        });
    }

    async fn lose(&self, position: Position) {
        self.double.node.store.lose(position.0);
    }
}

mod on_the_double {
    eventlog::log_suite!(crate::kurrentdb::OnDouble::new().await);
}

async fn run_the_suite_against(url: &str) {
    eventlog::log_cases!(cases_in_turn, Log::new(url).await);
}

/// What the next test does with a real server, done with the double.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_needs_no_more_of_a_server_than_its_url() {
    let double = Double::start();
    run_the_suite_against(&double.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_runs_on_the_real_server_that_is_named() {
    if let Ok(url) = std::env::var(REAL) {
        return run_the_suite_against(&url).await;
    }
    // Past what the test runner holds back of tests that succeed.
    let note = format!("{REAL} names no real KurrentDB: its adapter was tried on a double only");
    writeln!(std::io::stderr(), "{note}").unwrap();
}
