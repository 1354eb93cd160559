//! The log store on `JetStream`: the stream `SB_LOGS`, a subject for each log, some lines in each message.
//!
//! A message is appended on the condition of the last one of its subject, and says which number its lines
//! begin with, so that numbers have no gaps although several processes append. Lines fall away by age and by
//! the bytes of all logs together, as the stream's limits say, and by the bytes of one application's log,
//! which whoever appends sees to. So that an application's numbers go on when all of its lines have fallen
//! away, a few thousand at a time are reserved in an entry.

mod append;
mod end;
mod follow;
mod piece;
mod read;
mod trim;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::jetstream::stream::Stream;
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::error::{BoxError, StoreError};
use crate::jetstream::connection::Connection;
use crate::jetstream::logs::append::Append;
use crate::jetstream::logs::end::End;
use crate::jetstream::{ConnectError, JetStreamEntries, Retention, Settings, durable, streams};
use crate::logs::{Limits, Line, LogName, LogStore, NewLine};

/// How many logs' ends are remembered when nobody appends to them.
const OPEN_MAX: usize = 1024;

/// The log store on `JetStream`. Clones are the same store.
#[derive(Clone)]
pub struct JetStreamLogs {
    shared: Arc<Shared>,
}

/// The end of a log as this process knows it. One at a time appends.
type Slot = Arc<tokio::sync::Mutex<Option<End>>>;

struct Shared {
    connection: Connection,
    stream: Stream<()>,
    stream_name: String,
    entries: JetStreamEntries,
    limits: Limits,
    open: Mutex<HashMap<LogName, Slot>>,
}

fn unavailable(doing: &'static str) -> impl Fn(BoxError) -> StoreError {
    move |source| StoreError::Unavailable { doing, source }
}

impl JetStreamLogs {
    /// Connects, and makes sure that the stream is there and as it has to be. What is kept may be set anew at
    /// each start.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        settings: &Settings,
        limits: Limits,
        retention: Retention,
    ) -> Result<Self, ConnectError> {
        let connection = durable::connect(settings).await?;
        let entries = JetStreamEntries::on(connection.clone()).await?;
        let (stream, info) =
            streams::ensure_limits(&connection, streams::logs(&connection, &retention)).await?;
        let (stream_name, open) = (info.config.name, Mutex::default());
        Ok(Self { shared: Arc::new(Shared { connection, stream, stream_name, entries, limits, open }) })
    }
}

impl Shared {
    /// The subject of a log.
    fn subject(&self, log: LogName) -> String {
        self.connection.subject(&format!("log.{}", log.to_string().replace('/', ".")))
    }

    /// Where it is told that a log was removed.
    fn removal(&self, log: LogName) -> String {
        self.connection.subject(&format!("removed.{}", log.to_string().replace('/', ".")))
    }

    fn slot(&self, log: LogName) -> Slot {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(open.entry(log).or_default())
    }

    /// Removes a log's lines, then what is known of its numbers.
    async fn remove(&self, log: LogName) -> Result<(), BoxError> {
        let slot = self.slot(log);
        let mut end = slot.lock().await;
        *end = None;
        // The numbers first: lines that stay when we are killed here know them too, and a writer that is
        // quicker than we are begins anew.
        self.forget_numbers(log).await?;
        let subject = self.subject(log);
        self.connection.ask(async || Ok(self.stream.purge().filter(&subject).await?)).await?;
        // Whoever does not hear it looks now and then.
        let _ = self.connection.client.publish(self.removal(log), "".into()).await;
        Ok(())
    }
}

#[async_trait]
impl LogStore for JetStreamLogs {
    async fn append(&self, log: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        let append = Append { shared: &self.shared, log, only_new: false };
        append.run(lines).await.map_err(unavailable("append to a log"))
    }

    async fn append_new(&self, log: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        let append = Append { shared: &self.shared, log, only_new: true };
        append.run(lines).await.map_err(unavailable("append to a log"))
    }

    async fn read(&self, log: LogName, after: u64, limit: usize) -> Result<Vec<Line>, StoreError> {
        self.shared.read(log, after, limit).await.map_err(unavailable("read a log"))
    }

    async fn last(&self, log: LogName, count: usize) -> Result<Vec<Line>, StoreError> {
        self.shared.last(log, count).await.map_err(unavailable("read the end of a log"))
    }

    async fn follow(&self, log: LogName, after: u64) -> BoxStream<'static, Result<Line, StoreError>> {
        follow::follow(Arc::clone(&self.shared), log, after).await
    }

    async fn remove(&self, log: LogName) -> Result<(), StoreError> {
        self.shared.remove(log).await.map_err(unavailable("remove a log"))
    }

    async fn size(&self) -> Result<Option<u64>, StoreError> {
        let Shared { connection, stream, .. } = &*self.shared;
        let ask = async || Ok(stream.get_info().await?.state.bytes);
        connection.ask(ask).await.map(Some).map_err(unavailable("measure the logs"))
    }
}
