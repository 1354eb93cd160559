//! Outputs over a store that fails for a while.

use std::sync::atomic::AtomicU8;

use async_trait::async_trait;
use domain::id::DeploymentId;
use eventlog::error::StoreError;
use eventlog::logs::{Limits, Line, LogStore};
use eventlog::memory::MemoryLogs;
use futures::stream::BoxStream;
use uuid::Uuid;

use super::*;

const LOG: LogName = LogName::Build(DeploymentId(Uuid::from_u128(1)));
const LIMIT: Duration = Duration::from_secs(30);

const FINE: u8 = 0;
/// Nothing is stored.
const AWAY: u8 = 1;
/// What is appended is stored, but the answer gets lost.
const MUTE: u8 = 2;

struct Flaky {
    logs: MemoryLogs,
    state: AtomicU8,
}

impl Flaky {
    fn new() -> Arc<Self> {
        Arc::new(Self { logs: MemoryLogs::new(Limits::default()), state: AtomicU8::new(FINE) })
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
    }

    fn check(&self, but: u8) -> Result<(), StoreError> {
        let state = self.state.load(Ordering::Relaxed);
        if state == FINE || state == but {
            return Ok(());
        }
        Err(StoreError::Unavailable { doing: "append to a log", source: "a fault of the test".into() })
    }

    async fn texts(&self) -> Vec<String> {
        let lines = self.logs.read(LOG, 0, 10_000).await.expect("read");
        lines.into_iter().map(|line| line.text).collect()
    }
}

#[async_trait]
impl LogStore for Flaky {
    async fn append(&self, log: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        self.check(MUTE)?;
        self.logs.append(log, lines).await?;
        self.check(FINE)
    }

    async fn append_new(&self, log: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        self.append(log, lines).await
    }

    async fn read(&self, log: LogName, after: u64, limit: usize) -> Result<Vec<Line>, StoreError> {
        self.logs.read(log, after, limit).await
    }

    async fn last(&self, log: LogName, count: usize) -> Result<Vec<Line>, StoreError> {
        self.check(MUTE)?;
        self.logs.last(log, count).await
    }

    async fn follow(&self, log: LogName, after: u64) -> BoxStream<'static, Result<Line, StoreError>> {
        self.logs.follow(log, after).await
    }

    async fn remove(&self, log: LogName) -> Result<(), StoreError> {
        self.logs.remove(log).await
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it hangs")
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn print(output: &Output, range: std::ops::Range<usize>) {
    for number in range {
        in_time(output.line(Channel::Out, number.to_string())).await;
    }
}

async fn until_it_is_away(output: &Output) {
    let mut away = output.away.clone();
    in_time(away.wait_for(Option::is_some)).await.expect("it ended");
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_gets_every_line_once_and_in_order() {
    let store = Flaky::new();
    let (output, storing) = Output::with_patience(store.clone(), LOG, "build", LIMIT);
    let storing = tokio::spawn(storing);
    let mut printed = 0;
    for state in [AWAY, MUTE, AWAY, MUTE] {
        store.set(state);
        print(&output, printed..printed + 700).await;
        printed += 700;
        until_it_is_away(&output).await;
        store.set(FINE);
        let mut away = output.away.clone();
        in_time(away.wait_for(Option::is_none)).await.expect("it ended");
    }
    drop(output);
    in_time(storing).await.expect("stored");
    assert_eq!(store.texts().await, numbered(0..printed));
}

#[tokio::test]
async fn a_program_that_prints_more_than_can_wait_is_slowed_down() {
    let store = Flaky::new();
    store.set(AWAY);
    let (output, storing) = Output::with_patience(store.clone(), LOG, "build", LIMIT);
    let storing = tokio::spawn(storing);
    print(&output, 0..1).await;
    until_it_is_away(&output).await;
    print(&output, 1..WAITING_MAX + 1).await;
    let program = tokio::spawn(async move { print(&output, WAITING_MAX + 1..WAITING_MAX + 100).await });
    tokio::task::yield_now().await;
    assert!(!program.is_finished());
    store.set(FINE);
    in_time(program).await.expect("printed");
    in_time(storing).await.expect("stored");
    assert_eq!(store.texts().await, numbered(0..WAITING_MAX + 100));
}

#[tokio::test]
async fn what_is_left_out_at_last_is_counted_where_it_would_stand() {
    let store = Flaky::new();
    store.set(AWAY);
    let (output, storing) = Output::with_patience(store.clone(), LOG, "build", Duration::from_millis(1));
    let storing = tokio::spawn(storing);
    print(&output, 0..1).await;
    until_it_is_away(&output).await;
    print(&output, 1..WAITING_MAX + 1).await;
    print(&output, 10_000..10_023).await;
    store.set(FINE);
    let mut away = output.away.clone();
    in_time(away.wait_for(Option::is_none)).await.expect("it ended");
    print(&output, WAITING_MAX + 1..WAITING_MAX + 3).await;
    drop(output);
    in_time(storing).await.expect("stored");
    let mut texts = store.texts().await;
    let note = texts.remove(WAITING_MAX + 1);
    assert_eq!(note, "… 23 lines are missing here: they could not be stored in time");
    assert_eq!(texts, numbered(0..WAITING_MAX + 3));
}

#[tokio::test]
async fn what_is_left_out_at_the_end_is_counted_too() {
    let store = Flaky::new();
    store.set(AWAY);
    let (output, storing) = Output::with_patience(store.clone(), LOG, "build", Duration::from_millis(1));
    let storing = tokio::spawn(storing);
    print(&output, 0..1).await;
    until_it_is_away(&output).await;
    print(&output, 1..WAITING_MAX + 2).await;
    store.set(FINE);
    drop(output);
    in_time(storing).await.expect("stored");
    let texts = store.texts().await;
    assert_eq!(texts.len(), WAITING_MAX + 2);
    assert_eq!(texts.last().expect("lines"), "… 1 line is missing here: they could not be stored in time");
}

#[tokio::test]
async fn a_step_that_is_over_does_not_wait_for_ever() {
    let store = Flaky::new();
    store.set(AWAY);
    let (output, storing) = Output::with_patience(store.clone(), LOG, "build", Duration::from_millis(200));
    print(&output, 0..3).await;
    drop(output);
    in_time(storing).await;
    assert_eq!(store.texts().await, numbered(0..0));
}
