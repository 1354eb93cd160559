//! The log store in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::sync::watch;

use crate::error::StoreError;
use crate::lines::{self, Pieces};
use crate::logs::{Limits, Line, LogName, LogStore, MAX_LINES, NewLine};
use crate::marks::Marks;

/// A log store that is gone with the process. Clones are the same store.
#[derive(Clone, Default)]
pub struct MemoryLogs {
    logs: Arc<Mutex<HashMap<LogName, Log>>>,
    limits: Limits,
}

#[derive(Default)]
struct Log {
    lines: VecDeque<Line>,
    bytes: u64,
    is_cut: bool,
    marks: Marks,
    grown: watch::Sender<u64>,
}

impl Log {
    fn last(&self) -> u64 {
        *self.grown.borrow()
    }

    fn push(&mut self, line: Line) {
        self.bytes += line.text.len() as u64;
        self.marks.note(&line.origin, line.channel, line.at);
        self.grown.send_replace(line.number);
        self.lines.push_back(line);
    }

    fn append(&mut self, name: LogName, line: NewLine, limits: &Limits) {
        let number = self.last() + 1;
        match name {
            LogName::Build(_) if self.is_cut => {}
            LogName::Build(_) if self.bytes >= limits.build_bytes || number > limits.build_lines => {
                self.is_cut = true;
                self.push(lines::limit_reached(number));
            }
            LogName::Build(_) => self.push(lines::keep(number, line)),
            LogName::Application(_) => {
                self.push(lines::keep(number, line));
                while self.bytes > limits.segment_bytes * limits.segments as u64 && self.lines.len() > 1 {
                    let gone = self.lines.pop_front().map_or(0, |line| line.text.len());
                    self.bytes -= gone as u64;
                }
            }
        }
    }

    fn after(&self, number: u64, limit: usize) -> Vec<Line> {
        let begin = self.lines.partition_point(|line| line.number <= number);
        self.lines.range(begin..).take(limit.min(MAX_LINES)).cloned().collect()
    }
}

impl MemoryLogs {
    /// An empty store.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { logs: Arc::default(), limits }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LogName, Log>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader {
    store: MemoryLogs,
    name: LogName,
    after: u64,
}

#[async_trait]
impl Pieces for Reader {
    async fn next(&mut self, limit: usize) -> Result<Vec<Line>, StoreError> {
        let lines = self.store.read(self.name, self.after, limit).await?;
        self.after = lines.last().map_or(self.after, |line| line.number);
        Ok(lines)
    }
}

#[async_trait]
impl LogStore for MemoryLogs {
    async fn append(&self, log: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        let mut logs = self.lock();
        let kept = logs.entry(log).or_default();
        for line in lines {
            kept.append(log, line, &self.limits);
        }
        Ok(())
    }

    async fn append_new(&self, log: LogName, mut lines: Vec<NewLine>) -> Result<(), StoreError> {
        let mut logs = self.lock();
        let kept = logs.entry(log).or_default();
        lines.retain(|line| kept.marks.is_new(line));
        for line in lines {
            kept.append(log, line, &self.limits);
        }
        Ok(())
    }

    async fn read(&self, log: LogName, after: u64, limit: usize) -> Result<Vec<Line>, StoreError> {
        Ok(self.lock().get(&log).map(|log| log.after(after, limit)).unwrap_or_default())
    }

    async fn last(&self, log: LogName, count: usize) -> Result<Vec<Line>, StoreError> {
        let count = count.min(MAX_LINES);
        let logs = self.lock();
        Ok(logs
            .get(&log)
            .map(|log| log.after(log.last().saturating_sub(count as u64), count))
            .unwrap_or_default())
    }

    async fn follow(&self, log: LogName, after: u64) -> BoxStream<'static, Result<Line, StoreError>> {
        let grown = self.lock().entry(log).or_default().grown.subscribe();
        lines::follow(Reader { store: self.clone(), name: log, after }, grown)
    }

    async fn remove(&self, log: LogName) -> Result<(), StoreError> {
        self.lock().remove(&log);
        Ok(())
    }
}
