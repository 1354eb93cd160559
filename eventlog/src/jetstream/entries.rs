//! Entries on `JetStream`: a key-value bucket, as `nats kv` knows it.
//!
//! Written on the condition of the last sequence of the key's subject, and read from the leader, because a
//! replica may not have yet what was acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::entries::{Entry, EntryError, EntryStore, Key, Revision};
use crate::error::{BoxError, StoreError};
use crate::jetstream::connection::Connection;
use crate::jetstream::publish::{Outcome, insist};
use crate::jetstream::{ConnectError, Settings, durable, streams};

/// What marks a key as deleted.
const OPERATION: &str = "KV-Operation";
const DELETED: &str = "DEL";
const PURGED: &str = "PURGE";
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Entries on `JetStream`. Clones are the same store.
#[derive(Clone)]
pub struct JetStreamEntries {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    stream: Stream<()>,
    /// What the subjects of its keys begin with.
    begin: String,
}

/// The last message of a key.
struct Last {
    sequence: u64,
    /// None when it says that the key was deleted.
    value: Option<Bytes>,
    id: Option<String>,
}

fn unavailable(doing: &'static str) -> impl Fn(BoxError) -> StoreError {
    move |source| StoreError::Unavailable { doing, source }
}

impl JetStreamEntries {
    /// Connects, and makes sure that the bucket is there and as it has to be.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        Self::on(durable::connect(settings).await?).await
    }

    /// On a connection that is there.
    pub(super) async fn on(connection: Connection) -> Result<Self, ConnectError> {
        let (stream, _) = streams::ensure(&connection, streams::entries(&connection)).await?;
        let begin = format!("$KV.{}.", connection.stream("SHARED"));
        Ok(Self { shared: Arc::new(Shared { connection, stream, begin }) })
    }
}

impl Shared {
    fn subject(&self, key: &Key) -> String {
        format!("{}{key}", self.begin)
    }

    async fn last(&self, key: &Key) -> Result<Option<Last>, BoxError> {
        let subject = self.subject(key);
        self.connection.ask(|| last_once(&self.stream, &subject)).await
    }

    async fn publish(&self, key: &Key, write: &Write) -> Result<Outcome, BoxError> {
        insist(&self.connection, &self.subject(key), || write.message()).await
    }

    /// Whether a write stands at its key, of which it is not known.
    async fn stands(&self, key: &Key, write: &Write) -> Result<Option<Revision>, BoxError> {
        let last = self.last(key).await?;
        Ok(last.filter(|last| last.id.as_deref() == Some(&write.id)).map(|last| Revision(last.sequence)))
    }

    /// Writes where nothing stands, or only the mark of something that was deleted.
    async fn create(&self, key: &Key, value: Bytes) -> Result<Option<Revision>, BoxError> {
        let begin = Instant::now();
        let mut write = Write::new(Some(value), Some(0));
        loop {
            let source: BoxError = match self.publish(key, &write).await? {
                Outcome::Stored(sequence) => return Ok(Some(Revision(sequence))),
                Outcome::Raced { .. } => match self.last(key).await? {
                    Some(last) if last.id.as_deref() == Some(&write.id) => {
                        return Ok(Some(Revision(last.sequence)));
                    }
                    Some(Last { value: Some(_), .. }) => return Ok(None),
                    Some(Last { value: None, sequence, .. }) => {
                        write = Write::new(write.value, Some(sequence));
                        "the key is deleted again and again".into()
                    }
                    None => "another write of the key is on its way".into(),
                },
            };
            if begin.elapsed() >= self.connection.settings.ride_out {
                return Err(source);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn replace(&self, key: &Key, value: Bytes, at: Revision) -> Result<Option<Revision>, BoxError> {
        let write = Write::new(Some(value), Some(at.0));
        match self.publish(key, &write).await? {
            Outcome::Stored(sequence) => Ok(Some(Revision(sequence))),
            Outcome::Raced { may_be_ours: true } => self.stands(key, &write).await,
            Outcome::Raced { may_be_ours: false } => Ok(None),
        }
    }

    async fn put(&self, key: &Key, value: Option<Bytes>) -> Result<Revision, BoxError> {
        match self.publish(key, &Write::new(value, None)).await? {
            Outcome::Stored(sequence) => Ok(Revision(sequence)),
            Outcome::Raced { .. } => Err("a write without a condition was refused".into()),
        }
    }
}

/// A write on its way. Its id tells it from others.
struct Write {
    id: String,
    value: Option<Bytes>,
    expected: Option<u64>,
}

impl Write {
    fn new(value: Option<Bytes>, expected: Option<u64>) -> Self {
        Self { id: Uuid::now_v7().to_string(), value, expected }
    }

    fn message(&self) -> PublishMessage {
        let mut message = PublishMessage::build().message_id(&self.id);
        message = match &self.value {
            Some(value) => message.payload(value.clone()),
            None => message.header(OPERATION, DELETED),
        };
        match self.expected {
            Some(sequence) => message.expected_last_subject_sequence(sequence),
            None => message,
        }
    }
}

async fn last_once(stream: &Stream<()>, subject: &str) -> Result<Option<Last>, BoxError> {
    let message = match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => message,
        Err(err) if err.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
        Err(err) => return Err(err.into()),
    };
    let operation = message.headers.get(OPERATION).map(|value| value.as_str().to_owned());
    let is_deleted = operation.is_some_and(|operation| [DELETED, PURGED].contains(&operation.as_str()));
    Ok(Some(Last {
        sequence: message.sequence,
        id: message.headers.get(NATS_MESSAGE_ID).map(ToString::to_string),
        value: (!is_deleted).then_some(message.payload),
    }))
}

#[async_trait]
impl EntryStore for JetStreamEntries {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let last = self.shared.last(key).await.map_err(unavailable("read an entry"))?;
        Ok(last.and_then(|last| Some(Entry { value: last.value?, revision: Revision(last.sequence) })))
    }

    async fn create(&self, key: &Key, value: Bytes) -> Result<Revision, EntryError> {
        let created = self.shared.create(key, value).await.map_err(unavailable("write an entry"))?;
        created.ok_or_else(|| EntryError::Exists { key: key.clone() })
    }

    async fn put(&self, key: &Key, value: Bytes) -> Result<Revision, StoreError> {
        self.shared.put(key, Some(value)).await.map_err(unavailable("write an entry"))
    }

    async fn replace(&self, key: &Key, value: Bytes, revision: Revision) -> Result<Revision, EntryError> {
        let replaced = self.shared.replace(key, value, revision).await;
        let replaced = replaced.map_err(unavailable("write an entry"))?;
        replaced.ok_or_else(|| EntryError::Changed { key: key.clone() })
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let unavailable = unavailable("remove an entry");
        if self.shared.last(key).await.map_err(&unavailable)?.is_some_and(|last| last.value.is_some()) {
            self.shared.put(key, None).await.map_err(&unavailable)?;
        }
        Ok(())
    }
}
