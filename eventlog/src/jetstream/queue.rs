//! The work queue on `JetStream`.
//!
//! An item is a message on a subject of its own, so it is there once; each lane is a durable consumer; a
//! lease is a delivery that was not acknowledged yet. The server takes the acknowledgement of a lease that is
//! over for that of the next one, so whether a lease is over is decided here, by a clock that only goes
//! forward.
//!
//! The period of leases belongs to the lane: `extend` gives another period of the lane, whatever it is asked
//! for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::AckKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, Stream};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::stream::Position;
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::error::{BoxError, StoreError};
use crate::jetstream::batch::next_from_leader;
use crate::jetstream::connection::Connection;
use crate::jetstream::lane::{Delayed, Held, Lane, StoredItem, Waiter};
use crate::jetstream::publish::{Answer, publish};
use crate::jetstream::{ConnectError, Settings, durable, streams};
use crate::queue::{Item, Lease, WorkQueue};

/// How many workers of one lane may wait at once; the next one waits for a place.
const WAITING_MAX: usize = 1024;
/// Beyond so many leases those that are over are forgotten.
const LEASES_SWEPT_AT: usize = 1024;
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// When a delay is over, what is known of it is kept for so long.
const DELAY_KEPT: Duration = Duration::from_secs(60);
/// A cluster that has acknowledged the end of an item removes it within this time.
const REMOVAL_LIMIT: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The work queue on `JetStream`. Clones are the same queue.
#[derive(Clone)]
pub struct JetStreamQueue {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    work: Stream<()>,
    /// What else has to be remembered.
    queue: Stream<()>,
    /// When the stream of items was made. A position is worth nothing with another stream.
    made: String,
    lanes: Mutex<HashMap<String, mpsc::Sender<Waiter>>>,
    leases: Mutex<HashMap<String, Held>>,
}

#[derive(Serialize, Deserialize)]
struct Parked {
    item: StoredItem,
    reason: String,
}

#[derive(Serialize, Deserialize)]
struct Routed {
    position: Position,
    /// When the stream of items was made.
    of: String,
}

fn unavailable(doing: &'static str) -> impl Fn(BoxError) -> StoreError {
    move |source| StoreError::Unavailable { doing, source }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last part of an item's subjects.
fn token_of(id: &str) -> String {
    hex::encode(&Sha256::digest(id.as_bytes())[..16])
}

impl JetStreamQueue {
    /// Connects, and makes sure that the streams are there and as they have to be.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        let connection = durable::connect(settings).await?;
        let ensure = async |config: Config| streams::ensure(&connection, config).await;
        let (work, info) = ensure(streams::work(&connection)).await?;
        let (queue, _) = ensure(streams::queue(&connection)).await?;
        let (lanes, leases, made) = (Mutex::default(), Mutex::default(), info.created.to_string());
        Ok(Self { shared: Arc::new(Shared { connection, work, queue, made, lanes, leases }) })
    }
}

impl Shared {
    fn lane(&self, name: &str) -> mpsc::Sender<Waiter> {
        let mut lanes = lock(&self.lanes);
        if let Some(lane) = lanes.get(name) {
            return lane.clone();
        }
        let (lane, waiters) = mpsc::channel(WAITING_MAX);
        let connection = self.connection.clone();
        let (work, queue) = (self.work.clone(), self.queue.clone());
        tokio::spawn(Lane { connection, work, queue, name: name.to_owned(), waiters }.run());
        lanes.insert(name.to_owned(), lane.clone());
        lane
    }

    /// Publishes a message that may stand there twice, or that replaces the one before it.
    async fn put(
        &self,
        subject: &str,
        payload: &impl Serialize,
        forgotten_after: Option<Duration>,
    ) -> Result<(), BoxError> {
        let payload = serde_json::to_vec(payload)?;
        let begin = Instant::now();
        loop {
            let mut message = PublishMessage::build().payload(payload.clone().into());
            if let Some(after) = forgotten_after {
                message = message.ttl(after);
            }
            let source = match publish(&self.connection, subject, message).await {
                Answer::Stored(_) | Answer::Duplicate(_) => return Ok(()),
                Answer::Raced => "the subject has no expectations".into(),
                Answer::Refused(source) => return Err(source),
                Answer::NotDone(source) | Answer::Doubtful(source) => source,
            };
            if begin.elapsed() >= self.connection.settings.ride_out {
                return Err(source);
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// Publishes an item unless one stands on its subject. Answers whether it did.
    async fn add(&self, item: &Item) -> Result<bool, BoxError> {
        let token = token_of(&item.id);
        let parked = self.connection.subject(&format!("parked.{token}"));
        if next_from_leader(&self.connection, &self.queue, &parked, 1).await?.is_some() {
            return Ok(false);
        }
        let subject = self.connection.subject(&format!("work.{}.{token}", item.lane));
        let payload = serde_json::to_vec(&StoredItem::from(item))?;
        // Another each time: an item that was finished may come again at once.
        let id = Uuid::now_v7().to_string();
        let (begin, mut is_doubtful) = (Instant::now(), false);
        loop {
            let message = PublishMessage::build()
                .payload(payload.clone().into())
                .message_id(&id)
                .expected_last_subject_sequence(0);
            let source = match publish(&self.connection, &subject, message).await {
                Answer::Stored(_) | Answer::Duplicate(_) => return Ok(true),
                // One is there, or on its way; which may be ours, if an answer got lost before.
                Answer::Raced => return Ok(is_doubtful),
                Answer::Refused(source) => return Err(source),
                Answer::NotDone(source) => source,
                Answer::Doubtful(source) => {
                    is_doubtful = true;
                    source
                }
            };
            if begin.elapsed() >= self.connection.settings.ride_out {
                return Err(source);
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// The lease, unless it is over.
    fn held(&self, lease: &Lease) -> Result<Held, StoreError> {
        let held = lock(&self.leases).get(&lease.token).copied();
        held.filter(|held| held.until > Instant::now())
            .ok_or_else(|| StoreError::LeaseLost { item: lease.item.id.clone() })
    }

    /// Tells the server what becomes of an item, and waits until it has heard it.
    async fn tell(&self, lease: &Lease, kind: AckKind) -> Result<(), BoxError> {
        let client = &self.connection.client;
        let told = async || Ok(client.request(lease.token.clone(), kind.into()).await?);
        self.connection.ask(told).await.map(drop)
    }

    /// The work is over: the message goes, and is gone when this is answered, so that the item may come
    /// again. A cluster acknowledges first and removes the message a little later.
    async fn remove(&self, lease: &Lease, doing: &'static str) -> Result<(), StoreError> {
        let sequence = self.held(lease)?.sequence;
        self.end(lease, AckKind::Ack, doing).await?;
        if self.connection.settings.replicas == 1 {
            return Ok(());
        }
        let (lane, token) = (&lease.item.lane, token_of(&lease.item.id));
        let subject = self.connection.subject(&format!("work.{lane}.{token}"));
        let begin = Instant::now();
        while begin.elapsed() < REMOVAL_LIMIT {
            let left = next_from_leader(&self.connection, &self.work, &subject, 1).await;
            if left.map_err(unavailable(doing))?.is_none_or(|left| left.sequence != sequence) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(unavailable(doing)("the item is still there".into()))
    }

    /// Ends a lease.
    async fn end(&self, lease: &Lease, kind: AckKind, doing: &'static str) -> Result<(), StoreError> {
        self.held(lease)?;
        self.tell(lease, kind).await.map_err(unavailable(doing))?;
        lock(&self.leases).remove(&lease.token);
        Ok(())
    }
}

#[async_trait]
impl WorkQueue for JetStreamQueue {
    async fn enqueue(&self, item: &Item) -> Result<bool, StoreError> {
        debug_assert!(item.is_well_formed(), "{item:?}");
        self.shared.add(item).await.map_err(unavailable("enqueue an item"))
    }

    async fn lease(&self, lane: &str, period: Duration) -> Result<Lease, StoreError> {
        let unavailable = unavailable("lease an item");
        let (answer, answered) = oneshot::channel();
        let waiter = Waiter { period, answer };
        let sent = self.shared.lane(lane).send(waiter).await;
        sent.map_err(|_| unavailable("the lane is closed".into()))?;
        let grant = answered.await.map_err(|source| unavailable(source.into()))?.map_err(&unavailable)?;
        let (lease, held) = grant.take().ok_or_else(|| unavailable("a lease was taken twice".into()))?;
        let mut leases = lock(&self.shared.leases);
        if leases.len() >= LEASES_SWEPT_AT {
            let now = Instant::now();
            leases.retain(|_, held| held.until > now);
        }
        leases.insert(lease.token.clone(), held);
        Ok(lease)
    }

    async fn extend(&self, lease: &Lease, _period: Duration) -> Result<(), StoreError> {
        let held = self.shared.held(lease)?;
        let until = Instant::now() + held.period;
        self.shared.tell(lease, AckKind::Progress).await.map_err(unavailable("extend a lease"))?;
        lock(&self.shared.leases).insert(lease.token.clone(), Held { until, ..held });
        Ok(())
    }

    async fn delay(&self, lease: &Lease, until: DateTime<Utc>) -> Result<(), StoreError> {
        const DOING: &str = "delay an item";
        let delay = (until - Utc::now()).to_std().ok();
        if let Some(delay) = delay {
            self.shared.held(lease)?;
            let subject = self.shared.connection.subject(&format!("delayed.{}", token_of(&lease.item.id)));
            let forgotten_after = Some(delay + DELAY_KEPT);
            let put = self.shared.put(&subject, &Delayed { until }, forgotten_after).await;
            put.map_err(unavailable(DOING))?;
        }
        self.shared.end(lease, AckKind::Nak(delay), DOING).await
    }

    async fn finish(&self, lease: &Lease) -> Result<(), StoreError> {
        self.shared.remove(lease, "finish an item").await
    }

    async fn park(&self, lease: &Lease, reason: &str) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.held(lease)?;
        // First there, then not here any more: it is never nowhere.
        let subject = shared.connection.subject(&format!("parked.{}", token_of(&lease.item.id)));
        let parked = Parked { item: (&lease.item).into(), reason: reason.to_owned() };
        shared.put(&subject, &parked, None).await.map_err(unavailable("park an item"))?;
        shared.remove(lease, "park an item").await
    }

    async fn parked(&self) -> Result<Vec<(Item, String)>, StoreError> {
        let unavailable = unavailable("read what is parked");
        let Shared { connection, queue, .. } = &*self.shared;
        let subject = connection.subject("parked.*");
        let (mut found, mut from) = (Vec::new(), 1);
        while let Some(stored) =
            next_from_leader(connection, queue, &subject, from).await.map_err(&unavailable)?
        {
            let parked: Parked =
                serde_json::from_slice(&stored.payload).map_err(|source| unavailable(source.into()))?;
            found.push((parked.item.into(), parked.reason));
            from = stored.sequence + 1;
        }
        Ok(found)
    }

    async fn depth(&self, lane: &str) -> Result<usize, StoreError> {
        let subjects = self.shared.connection.subject(&format!("work.{lane}.*"));
        let count = async || {
            let found = self.shared.work.info_with_subjects(&subjects).await?;
            Ok(found.try_fold(0, |sum, (_, count)| std::future::ready(Ok(sum + count))).await?)
        };
        self.shared.connection.ask(count).await.map_err(unavailable("count items"))
    }

    async fn clear(&self) -> Result<(), StoreError> {
        let unavailable = unavailable("clear the queue");
        // The position first: without items and with the position, nothing would be derived again.
        for stream in [&self.shared.queue, &self.shared.work] {
            let purged = self.shared.connection.ask(async || Ok(stream.purge().await?)).await;
            purged.map_err(&unavailable)?;
        }
        lock(&self.shared.leases).clear();
        Ok(())
    }

    async fn routed(&self) -> Result<Position, StoreError> {
        let unavailable = unavailable("read how far events were routed");
        let Shared { connection, queue, made, .. } = &*self.shared;
        let subject = connection.subject("routed");
        let found = next_from_leader(connection, queue, &subject, 1).await.map_err(&unavailable)?;
        let Some(stored) = found else { return Ok(Position::ZERO) };
        let routed: Routed =
            serde_json::from_slice(&stored.payload).map_err(|err| unavailable(err.into()))?;
        Ok(if routed.of == *made { routed.position } else { Position::ZERO })
    }

    async fn set_routed(&self, position: Position) -> Result<(), StoreError> {
        let routed = Routed { position, of: self.shared.made.clone() };
        let subject = self.shared.connection.subject("routed");
        self.shared.put(&subject, &routed, None).await.map_err(unavailable("note how far events were routed"))
    }
}
