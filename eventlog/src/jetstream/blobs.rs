//! Blobs on `JetStream`: an object store, in the layout that `nats object` knows (NATS ADR-20).
//!
//! The pieces of a blob are messages on a subject of its own; it is visible when its description is written,
//! which comes last. Pieces that no description names are removed when nothing came for a while.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::header::NATS_ROLLUP;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::object_store::ObjectInfo;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::digest::Digest;
use futures::TryStreamExt as _;
use futures::stream::{self, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};
use uuid::Uuid;

use crate::blobs::{BlobError, BlobStore, Content, checked};
use crate::error::{BoxError, StoreError};
use crate::jetstream::batch::{self, BATCH_MAX, next_from_leader};
use crate::jetstream::connection::Connection;
use crate::jetstream::publish::{Outcome, insist};
use crate::jetstream::{ConnectError, Retention, Settings, durable, streams};

/// How much is in one message.
const CHUNK: usize = 128 * 1024;
/// How many messages are read at once.
const CHUNKS_AT_ONCE: usize = 16;
/// How often it is looked for what is broken off.
const SWEPT_EVERY: Duration = Duration::from_hours(1);

/// A piece that was on its way has arrived after this time.
const LATE_AFTER: Duration = Duration::from_secs(1);

/// Blobs on `JetStream`. Clones are the same store.
#[derive(Clone)]
pub struct JetStreamBlobs {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    stream: Stream<()>,
    stream_name: String,
    bucket: String,
    bytes_max: u64,
    sweeping: Mutex<Sweeping>,
}

/// What the last look for pieces without a description saw.
#[derive(Default)]
struct Sweeping {
    at: Option<Instant>,
    /// How many pieces each had, and since when.
    nameless: HashMap<String, (usize, Instant)>,
}

fn unavailable(doing: &'static str) -> impl Fn(BoxError) -> StoreError {
    move |source| StoreError::Unavailable { doing, source }
}

impl JetStreamBlobs {
    /// Connects, and makes sure that the object store is there and as it has to be. A blob falls away at the
    /// age; when there are as many bytes, no more are taken.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(settings: &Settings, retention: Retention) -> Result<Self, ConnectError> {
        let connection = durable::connect(settings).await?;
        let wanted = streams::uploads(&connection, &retention);
        let (stream, info) = streams::ensure_limits(&connection, wanted).await?;
        let (stream_name, bucket) = (info.config.name, connection.stream("UPLOADS"));
        let (bytes_max, sweeping) = (retention.bytes, Mutex::default());
        Ok(Self { shared: Arc::new(Shared { connection, stream, stream_name, bucket, bytes_max, sweeping }) })
    }

    /// Removes what puts left that broke off, where nothing came for `quiet`, as far as this process saw: so
    /// it takes two calls.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sweep(&self, quiet: Duration) -> Result<(), StoreError> {
        self.shared.sweep(quiet).await.map_err(unavailable("look for what is broken off"))
    }

    fn sweep_now_and_then(&self) {
        let is_due = {
            let mut sweeping = self.shared.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = sweeping.at.is_none_or(|at| at.elapsed() >= SWEPT_EVERY);
            sweeping.at = if is_due { Some(Instant::now()) } else { sweeping.at };
            is_due
        };
        if is_due {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                if let Err(err) = shared.sweep(SWEPT_EVERY).await {
                    warn!(error = %err, "what uploads left that broke off is looked for later");
                }
            });
        }
    }
}

impl Shared {
    fn chunks(&self, id: &str) -> String {
        format!("$O.{}.C.{id}", self.bucket)
    }

    fn description(&self, digest: &Digest) -> String {
        use base64::Engine as _;

        let name = base64::engine::general_purpose::URL_SAFE.encode(digest.hex());
        format!("$O.{}.M.{name}", self.bucket)
    }

    /// The description of a blob, as the leader has it.
    async fn find(&self, digest: &Digest) -> Result<Option<ObjectInfo>, BoxError> {
        let subject = self.description(digest);
        let find = async || match self.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Ok(Some(serde_json::from_slice::<ObjectInfo>(&message.payload)?)),
            Err(err) if err.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(err) => Err(err.into()),
        };
        Ok(self.connection.ask(find).await?.filter(|found| !found.deleted))
    }

    async fn describe(&self, digest: &Digest, info: &ObjectInfo) -> Result<(), BoxError> {
        let (payload, id) = (Bytes::from(serde_json::to_vec(info)?), Uuid::now_v7().to_string());
        // Replaces the one before it.
        let message =
            || PublishMessage::build().payload(payload.clone()).message_id(&id).header(NATS_ROLLUP, "sub");
        stored(insist(&self.connection, &self.description(digest), message).await?)
    }

    async fn drop_chunks(&self, id: &str) -> Result<(), BoxError> {
        let subject = self.chunks(id);
        self.connection.ask(async || Ok(self.stream.purge().filter(&subject).await?)).await.map(drop)
    }

    async fn is_full(&self) -> Result<bool, BoxError> {
        let bytes = async || Ok(self.stream.get_info().await?.state.bytes);
        Ok(self.connection.ask(bytes).await? >= self.bytes_max)
    }

    async fn sweep(&self, quiet: Duration) -> Result<(), BoxError> {
        // The pieces first: those of a blob that is described meanwhile are known by then.
        let subjects = self.chunks("*");
        let count = async || {
            let found = self.stream.info_with_subjects(&subjects).await?;
            Ok(found.try_collect::<Vec<(String, usize)>>().await?)
        };
        let found = self.connection.ask(count).await?;
        let named = self.named().await?;
        let now = Instant::now();
        let mut broken = Vec::new();
        {
            let mut sweeping = self.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::take(&mut sweeping.nameless);
            for (subject, count) in found {
                let id = subject.rsplit('.').next().unwrap_or_default().to_owned();
                if named.contains(&id) {
                    continue;
                }
                let since =
                    before.get(&id).filter(|(seen, _)| *seen == count).map_or(now, |(_, since)| *since);
                if before.contains_key(&id) && now.duration_since(since) >= quiet {
                    broken.push(id);
                } else {
                    sweeping.nameless.insert(id, (count, since));
                }
            }
        }
        for id in broken {
            self.drop_chunks(&id).await?;
            info!("pieces of an upload that broke off are removed");
        }
        Ok(())
    }

    /// The ids of all blobs that are described.
    async fn named(&self) -> Result<HashSet<String>, BoxError> {
        let (subject, mut from, mut named) = (format!("$O.{}.M.*", self.bucket), 1, HashSet::new());
        loop {
            let found = batch::get(&self.connection, &self.stream_name, &subject, from, BATCH_MAX).await?;
            for stored in &found.messages {
                from = stored.sequence + 1;
                let info: ObjectInfo = serde_json::from_slice(&stored.payload)?;
                named.extend((!info.deleted).then_some(info.nuid));
            }
            if found.has_more {
                continue;
            }
            // What the replica does not have yet.
            let Some(stored) = next_from_leader(&self.connection, &self.stream, &subject, from).await? else {
                return Ok(named);
            };
            from = stored.sequence;
            let info: ObjectInfo = serde_json::from_slice(&stored.payload)?;
            named.insert(info.nuid);
            from += 1;
        }
    }
}

/// A message without a condition.
fn stored(outcome: Outcome) -> Result<(), BoxError> {
    match outcome {
        Outcome::Stored(_) => Ok(()),
        Outcome::Raced { .. } => Err("a message without a condition was refused".into()),
    }
}

/// A blob on its way in. What there is of it is removed when it does not become whole.
struct Incoming {
    shared: Arc<Shared>,
    id: String,
    chunks: usize,
    /// Something of it may be stored.
    has_begun: bool,
    is_whole: bool,
}

impl Incoming {
    async fn send(&mut self, payload: Bytes) -> Result<(), BoxError> {
        self.has_begun = true;
        let id = format!("{}-{}", self.id, self.chunks);
        let message = || PublishMessage::build().payload(payload.clone()).message_id(&id);
        stored(insist(&self.shared.connection, &self.shared.chunks(&self.id), message).await?)?;
        self.chunks += 1;
        Ok(())
    }

    /// All of the content, in pieces. Answers with its digest and its length.
    async fn take_in(&mut self, mut content: Content, bytes_max: u64) -> Result<(Digest, usize), BlobError> {
        let failed = unavailable("keep a blob");
        let (mut hash, mut length, mut rest) = (Sha256::new(), 0, BytesMut::with_capacity(CHUNK));
        while let Some(bytes) = content.next().await {
            let bytes = bytes.map_err(BlobError::Interrupted)?;
            length += bytes.len();
            if length as u64 > bytes_max {
                return Err(BlobError::TooLarge(bytes_max));
            }
            hash.update(&bytes);
            rest.extend_from_slice(&bytes);
            while rest.len() >= CHUNK {
                let chunk = rest.split_to(CHUNK).freeze();
                self.send(chunk).await.map_err(&failed)?;
            }
        }
        if !rest.is_empty() {
            self.send(rest.freeze()).await.map_err(&failed)?;
        }
        Ok((Digest::from_sha256(hash.finalize().into()), length))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_whole
            && self.has_begun
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (shared, id) = (Arc::clone(&self.shared), std::mem::take(&mut self.id));
            runtime.spawn(async move {
                // Twice, because a piece may have been on its way. What stays is swept later.
                let _ = shared.drop_chunks(&id).await;
                tokio::time::sleep(LATE_AFTER).await;
                let _ = shared.drop_chunks(&id).await;
            });
        }
    }
}

impl JetStreamBlobs {
    async fn describe(&self, incoming: &mut Incoming, digest: &Digest, size: usize) -> Result<(), BoxError> {
        use base64::Engine as _;

        let before = self.shared.find(digest).await?;
        let raw = hex::decode(digest.hex())?;
        let encoded = base64::engine::general_purpose::URL_SAFE.encode(raw);
        let info = ObjectInfo {
            name: digest.hex().to_owned(),
            description: None,
            metadata: HashMap::new(),
            headers: None,
            options: None,
            bucket: self.shared.bucket.clone(),
            nuid: incoming.id.clone(),
            size,
            chunks: incoming.chunks,
            modified: None,
            digest: Some(format!("SHA-256={encoded}")),
            deleted: false,
        };
        self.shared.describe(digest, &info).await?;
        incoming.is_whole = true;
        if let Some(before) = before {
            // What stays is swept later.
            let _ = self.shared.drop_chunks(&before.nuid).await;
        }
        Ok(())
    }
}

/// A blob on its way out.
struct Outgoing {
    shared: Arc<Shared>,
    subject: String,
    from: u64,
    /// How many messages are still to come.
    left: usize,
    ready: VecDeque<Bytes>,
}

impl Outgoing {
    async fn fill(&mut self) -> Result<(), BoxError> {
        let Shared { connection, stream, stream_name, .. } = &*self.shared;
        let found = batch::get(connection, stream_name, &self.subject, self.from, CHUNKS_AT_ONCE).await?;
        let mut found = found.messages;
        if found.is_empty() {
            // The replica does not have it yet.
            found.extend(next_from_leader(connection, stream, &self.subject, self.from).await?);
        }
        for stored in found {
            self.from = stored.sequence + 1;
            self.left = self.left.saturating_sub(1);
            self.ready.push_back(stored.payload);
        }
        Ok(())
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.ready.is_empty() && self.left > 0 {
            self.fill().await.map_err(io::Error::other)?;
        }
        // When pieces are missing, the digest tells.
        Ok(self.ready.pop_front())
    }
}

#[async_trait]
impl BlobStore for JetStreamBlobs {
    async fn put(&self, content: Content, bytes_max: u64) -> Result<Digest, BlobError> {
        let failed = unavailable("keep a blob");
        self.sweep_now_and_then();
        if self.shared.is_full().await.map_err(&failed)? {
            return Err(BlobError::Full);
        }
        let (shared, id) = (Arc::clone(&self.shared), Uuid::now_v7().simple().to_string());
        let mut incoming = Incoming { shared, id, chunks: 0, has_begun: false, is_whole: false };
        let (digest, length) = incoming.take_in(content, bytes_max).await?;
        self.describe(&mut incoming, &digest, length).await.map_err(&failed)?;
        Ok(digest)
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Content>, StoreError> {
        let failed = unavailable("read a blob");
        let Some(info) = self.shared.find(digest).await.map_err(&failed)? else { return Ok(None) };
        let (shared, subject) = (Arc::clone(&self.shared), self.shared.chunks(&info.nuid));
        let mut outgoing = Outgoing { shared, subject, from: 1, left: info.chunks, ready: VecDeque::new() };
        outgoing.fill().await.map_err(&failed)?;
        if info.chunks > 0 && outgoing.ready.is_empty() {
            return Ok(None); // It fell away a moment ago.
        }
        let content = stream::try_unfold(outgoing, |mut outgoing| async move {
            Ok(outgoing.next().await?.map(|bytes| (bytes, outgoing)))
        });
        Ok(Some(checked(content.boxed(), digest.clone())))
    }

    async fn contains(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.shared.find(digest).await.map_err(unavailable("look for a blob"))?.is_some())
    }

    async fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        let failed = unavailable("remove a blob");
        let Some(mut info) = self.shared.find(digest).await.map_err(&failed)? else { return Ok(()) };
        let id = info.nuid.clone();
        (info.deleted, info.size, info.chunks) = (true, 0, 0);
        self.shared.describe(digest, &info).await.map_err(&failed)?;
        self.shared.drop_chunks(&id).await.map_err(&failed)
    }
}
