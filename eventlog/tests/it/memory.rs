//! The adapters in memory.

use std::sync::Arc;

use async_trait::async_trait;
use domain::stream::Position;
use eventlog::conformance::log::Fixture;
use eventlog::faults::{FaultyLog, Rates};
use eventlog::log::SharedLog;
use eventlog::memory::MemoryLog;

struct Memory(MemoryLog);

#[async_trait]
impl Fixture for Memory {
    fn log(&self) -> SharedLog {
        Arc::new(self.0.clone())
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

mod log {
    eventlog::log_suite!(super::Memory(super::MemoryLog::new()));
}
