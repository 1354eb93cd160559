//! The adapters in memory.

use std::sync::Arc;

use async_trait::async_trait;
use domain::stream::Position;
use eventlog::calls::SharedCalls;
use eventlog::conformance;
use eventlog::conformance::log::Fixture;
use eventlog::conformance::logs::LIMITS;
use eventlog::entries::SharedEntries;
use eventlog::faults::{FaultyLog, Rates};
use eventlog::log::SharedLog;
use eventlog::logs::SharedLogs;
use eventlog::measured::MeasuredLog;
use eventlog::memory::{MemoryCalls, MemoryEntries, MemoryLog, MemoryLogs, MemoryQueue};
use eventlog::queue::SharedQueue;

struct Memory(MemoryLog);

#[async_trait]
impl Fixture for Memory {
    /// Measured: that one promises the same as the one below it.
    fn log(&self) -> SharedLog {
        Arc::new(MeasuredLog::new(Arc::new(self.0.clone()), None))
    }

    async fn reopen(&mut self) {
        self.0 = self.0.clone();
    }

    async fn losing_answers(&self, every: u32) -> SharedLog {
        let rate = 1000 / every / 2;
        FaultyLog::new(self.log(), 7, Rates { answer_lost: rate, request_lost: rate, ..Rates::default() })
    }

    async fn tamper(&self, position: Position) {
        self.0.tamper(position, |payload| {
            let at = payload.windows(4).position(|window| window == b"host").unwrap();
            payload[at] = b'g';
        });
    }

    async fn lose(&self, position: Position) {
        self.0.lose(position);
    }
}

struct Queue(MemoryQueue);

#[async_trait]
impl conformance::queue::Fixture for Queue {
    fn queue(&self) -> SharedQueue {
        Arc::new(self.0.clone())
    }

    /// Nothing to be done: leases are not given back, because nobody died.
    async fn reopen(&mut self) {}
}

struct Logs(MemoryLogs);

#[async_trait]
impl conformance::logs::Fixture for Logs {
    fn logs(&self) -> SharedLogs {
        Arc::new(self.0.clone())
    }

    async fn reopen(&mut self) {}
}

struct Entries(MemoryEntries);

#[async_trait]
impl conformance::entries::Fixture for Entries {
    fn entries(&self) -> SharedEntries {
        Arc::new(self.0.clone())
    }

    async fn reopen(&mut self) {}
}

struct Calls(MemoryCalls);

#[async_trait]
impl conformance::calls::Fixture for Calls {
    async fn calls(&self) -> SharedCalls {
        Arc::new(self.0.clone())
    }
}

mod calls {
    eventlog::calls_suite!(super::Calls(super::MemoryCalls::new()));
}

mod entries {
    eventlog::entries_suite!(super::Entries(super::MemoryEntries::new()));
}

mod log {
    eventlog::log_suite!(super::Memory(super::MemoryLog::new()));
}

mod queue {
    eventlog::queue_suite!(super::Queue(super::MemoryQueue::new()));
}

mod logs {
    eventlog::logs_suite!(super::Logs(super::MemoryLogs::new(super::LIMITS)));
}
