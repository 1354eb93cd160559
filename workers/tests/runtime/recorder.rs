//! A log store in memory, whose readers wait for a line.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::id::DeploymentId;
use eventlog::error::StoreError;
use eventlog::logs::{Channel, Line, LogName, LogStore, NewLine};
use futures::stream::{self, BoxStream, StreamExt};
use switchback_workers::output::Output;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::installation::LIMIT;

#[derive(Default)]
pub(crate) struct Recorder {
    lines: Mutex<Vec<NewLine>>,
    count: AtomicUsize,
    /// Whether only the last line is kept.
    counts: bool,
    blocked: watch::Sender<bool>,
    grown: Notify,
}

impl Recorder {
    /// A recorder, and an output into it. The output is at its end when the task is.
    pub(crate) fn start() -> (Arc<Self>, Output, JoinHandle<()>) {
        Self::begin(Self::default())
    }

    /// A recorder that keeps only the last line.
    pub(crate) fn counting() -> (Arc<Self>, Output, JoinHandle<()>) {
        Self::begin(Self { counts: true, ..Self::default() })
    }

    /// A recorder that counts, and takes nothing until it is unblocked.
    pub(crate) fn blocked() -> (Arc<Self>, Output, JoinHandle<()>) {
        let (blocked, _) = watch::channel(true);
        Self::begin(Self { counts: true, blocked, ..Self::default() })
    }

    pub(crate) fn unblock(&self) {
        self.blocked.send_replace(false);
    }

    fn begin(recorder: Self) -> (Arc<Self>, Output, JoinHandle<()>) {
        let recorder = Arc::new(recorder);
        let log = LogName::Build(DeploymentId(uuid::Uuid::nil()));
        let (output, store) = Output::to(recorder.clone(), log, "test");
        (recorder, output, tokio::spawn(store))
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().iter().map(|line| line.text.clone()).collect()
    }

    /// How many lines there were.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn channels(&self) -> Vec<(Channel, String)> {
        self.lines.lock().unwrap().iter().map(|line| (line.channel, line.text.clone())).collect()
    }

    /// Waits until as many lines begin with a text.
    pub(crate) async fn wait_for(&self, begin: &str, count: usize) -> Vec<String> {
        let wait = async {
            loop {
                let grown = self.grown.notified();
                let found: Vec<String> =
                    self.lines().into_iter().filter(|line| line.starts_with(begin)).collect();
                if found.len() >= count {
                    return found;
                }
                grown.await;
            }
        };
        let found = tokio::time::timeout(LIMIT, wait).await;
        found.unwrap_or_else(|_| panic!("no {count} lines begin with {begin:?}: {:?}", self.lines()))
    }
}

#[async_trait]
impl LogStore for Recorder {
    async fn append(&self, _: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        let mut blocked = self.blocked.subscribe();
        blocked.wait_for(|blocked| !blocked).await.expect("the sender is here");
        self.count.fetch_add(lines.len(), Ordering::Relaxed);
        let mut kept = self.lines.lock().unwrap();
        kept.extend(lines);
        if self.counts {
            let last = kept.len().saturating_sub(1);
            kept.drain(..last);
        }
        drop(kept);
        self.grown.notify_waiters();
        Ok(())
    }

    async fn append_new(&self, log: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        self.append(log, lines).await
    }

    async fn read(&self, _: LogName, _: u64, _: usize) -> Result<Vec<Line>, StoreError> {
        Ok(vec![])
    }

    async fn last(&self, _: LogName, _: usize) -> Result<Vec<Line>, StoreError> {
        Ok(vec![])
    }

    async fn follow(&self, _: LogName, _: u64) -> BoxStream<'static, Result<Line, StoreError>> {
        stream::empty().boxed()
    }

    async fn remove(&self, _: LogName) -> Result<(), StoreError> {
        Ok(())
    }
}
