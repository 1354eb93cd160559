//! The workers of this process that wait for items of one lane, and what the server is asked for on their
//! behalf.
//!
//! One task has the lane's inbox. It asks for as many items as workers wait. A worker that stops waiting
//! leaves what was asked for to the next one; an item that nobody waits for any more is given back at once,
//! not when its lease is over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::pull::{self, BatchConfig};
use async_nats::jetstream::consumer::{AckPolicy, Consumer};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, AckKind};
use async_nats::{Client, Message, StatusCode, Subject, Subscriber};
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::error::BoxError;
use crate::jetstream::batch::next_from_leader;
use crate::jetstream::connection::Connection;
use crate::queue::{Item, Lease};

const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// When the server is silent for so long, what was asked for is asked for again.
const SILENCE_LIMIT: Duration = Duration::from_secs(11);

/// An item as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredItem {
    pub(super) id: String,
    pub(super) lane: String,
    pub(super) payload: serde_json::Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) not_before: Option<DateTime<Utc>>,
}

impl From<&Item> for StoredItem {
    fn from(item: &Item) -> Self {
        let Item { id, lane, payload, not_before } = item.clone();
        Self { id, lane, payload, not_before }
    }
}

impl From<StoredItem> for Item {
    fn from(stored: StoredItem) -> Self {
        let StoredItem { id, lane, payload, not_before } = stored;
        Self { id, lane, payload, not_before }
    }
}

/// Until when an item is delayed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Delayed {
    pub(super) until: DateTime<Utc>,
}

/// A worker that waits.
pub(super) struct Waiter {
    pub(super) period: Duration,
    pub(super) answer: oneshot::Sender<Result<Grant, BoxError>>,
}

/// What this process knows of a lease that it gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) until: Instant,
    pub(super) period: Duration,
    /// Of the item's message.
    pub(super) sequence: u64,
}

/// An item on its way to a worker. If the worker is gone before it takes it, it goes back.
pub(super) struct Grant {
    lease: Option<(Lease, Held)>,
    client: Client,
}

impl Grant {
    /// The lease, and what is known of it.
    pub(super) fn take(mut self) -> Option<(Lease, Held)> {
        self.lease.take()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some((lease, _)) = self.lease.take() {
            let client = self.client.clone();
            tokio::spawn(async move { give_back(&client, lease.token, None).await });
        }
    }
}

/// Gives an item back without waiting for an answer: if it does not arrive, the lease ends by itself.
async fn give_back(client: &Client, token: String, delay: Option<Duration>) {
    if let Err(err) = client.publish(token, AckKind::Nak(delay).into()).await {
        warn!(error = %err, "an item was not given back; it is when its lease is over");
    }
}

/// The task.
pub(super) struct Lane {
    pub(super) connection: Connection,
    /// The items.
    pub(super) work: Stream<()>,
    /// What else the queue remembers.
    pub(super) queue: Stream<()>,
    pub(super) name: String,
    pub(super) waiters: mpsc::Receiver<Waiter>,
}

/// What the task has on the server.
struct Source {
    consumer: Consumer<pull::Config>,
    inbox: Subject,
    messages: Subscriber,
    period: Duration,
    /// How many items were asked for and have not come.
    asked: usize,
    heard: Instant,
}

impl Lane {
    /// Serves the workers until the queue is gone.
    pub(super) async fn run(mut self) {
        let mut waiting: VecDeque<Waiter> = VecDeque::new();
        let mut source: Option<Source> = None;
        let mut made = self.connection.made.clone();
        loop {
            waiting.retain(|waiter| !waiter.answer.is_closed());
            if let Err(err) = self.ask(&mut source, &waiting).await {
                source = None;
                answer_all(&mut waiting, &err);
            }
            let silence = silence(source.as_ref());
            let message = async {
                match &mut source {
                    Some(source) => source.messages.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                waiter = self.waiters.recv() => match waiter {
                    Some(waiter) => waiting.push_back(waiter),
                    None => return,
                },
                message = message => {
                    let is_sound = match (&mut source, message) {
                        (Some(source), Some(message)) => self.take(source, message, &mut waiting).await,
                        (_, _) => false,
                    };
                    if !is_sound {
                        source = None;
                    }
                }
                () = tokio::time::sleep(silence) => source = None,
                _ = made.changed() => source = None,
            }
        }
    }

    /// Asks for as many items as workers wait.
    async fn ask(&self, source: &mut Option<Source>, waiting: &VecDeque<Waiter>) -> Result<(), BoxError> {
        let Some(last) = waiting.back() else { return Ok(()) };
        if source.as_ref().is_none_or(|source| source.period != last.period) {
            *source = Some(self.open(last.period).await?);
        }
        let Some(source) = source else { return Ok(()) };
        let missing = waiting.len().saturating_sub(source.asked);
        if missing == 0 {
            return Ok(());
        }
        let batch = BatchConfig {
            batch: missing,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        source.consumer.request_batch(batch, source.inbox.clone()).await?;
        source.asked += missing;
        source.heard = Instant::now();
        Ok(())
    }

    /// Makes the lane's consumer, or changes it to what is wanted now.
    async fn open(&self, period: Duration) -> Result<Source, BoxError> {
        let config = pull::Config {
            durable_name: Some(self.name.clone()),
            filter_subject: self.connection.subject(&format!("work.{}.*", self.name)),
            ack_policy: AckPolicy::Explicit,
            ack_wait: period,
            max_deliver: -1,
            // Items that wait for their time are on this account too.
            max_ack_pending: -1,
            num_replicas: self.connection.settings.replicas,
            ..pull::Config::default()
        };
        let consumer =
            self.connection.ask(async || Ok(self.work.create_consumer(config.clone()).await?)).await?;
        let client = &self.connection.client;
        let inbox = Subject::from(client.new_inbox());
        let messages = client.subscribe(inbox.clone()).await?;
        Ok(Source { consumer, inbox, messages, period, asked: 0, heard: Instant::now() })
    }

    /// Takes what the server sent. Answers whether the source is sound.
    async fn take(&self, source: &mut Source, message: Message, waiting: &mut VecDeque<Waiter>) -> bool {
        source.heard = Instant::now();
        match message.status {
            None => {
                source.asked = source.asked.saturating_sub(1);
                self.deliver(source.period, message, waiting).await;
                true
            }
            Some(StatusCode::IDLE_HEARTBEAT) => true,
            Some(StatusCode::TIMEOUT) => {
                let headers = message.headers.as_ref();
                let left =
                    headers.and_then(|headers| headers.get("Nats-Pending-Messages")?.as_str().parse().ok());
                source.asked = source.asked.saturating_sub(left.unwrap_or(source.asked));
                true
            }
            Some(status) => {
                let why = message.description.as_deref().unwrap_or_default();
                warn!("the consumer of lane {} is made again: {status} {why}", self.name);
                false
            }
        }
    }

    async fn deliver(&self, period: Duration, message: Message, waiting: &mut VecDeque<Waiter>) {
        let client = &self.connection.client;
        let Some(token) = message.reply.as_ref().map(ToString::to_string) else { return };
        let Some((sequence, deliveries)) = self.origin(&message) else { return };
        let item: Item = match serde_json::from_slice::<StoredItem>(&message.payload) {
            Ok(stored) => stored.into(),
            Err(err) => {
                error!(error = %err, "an item of lane {} has no form of ours and is dropped", self.name);
                // It comes again if this does not arrive, and is dropped then.
                let _ = client.publish(token, AckKind::Term.into()).await;
                return;
            }
        };
        let due = if deliveries > 1 { self.delayed(&message).await } else { None };
        if let Some(early) = due.max(item.not_before).and_then(|due| (due - Utc::now()).to_std().ok()) {
            return give_back(client, token, Some(early)).await;
        }
        // The server counts from when it sent it, which was a little before now.
        let held = Held { until: Instant::now() + period - period / 10, period, sequence };
        let lease = Lease { item, deliveries, token };
        let mut grant = Grant { lease: Some((lease, held)), client: client.clone() };
        while let Some(waiter) = waiting.pop_front() {
            match waiter.answer.send(Ok(grant)) {
                Ok(()) => return,
                Err(Ok(back)) => grant = back,
                Err(Err(_)) => return,
            }
        }
        // Nobody waits any more: it goes back as the grant is dropped.
    }

    /// Until when an item was delayed, when it was.
    async fn delayed(&self, message: &Message) -> Option<DateTime<Utc>> {
        let token = message.subject.rsplit('.').next()?;
        let subject = self.connection.subject(&format!("delayed.{token}"));
        let found = next_from_leader(&self.connection, &self.queue, &subject, 1).await;
        // Not known is not delayed: the worker sees for itself that it is early.
        let stored = found.ok()??;
        serde_json::from_slice::<Delayed>(&stored.payload).ok().map(|delayed| delayed.until)
    }

    /// The sequence of a message, and how often it was delivered.
    fn origin(&self, message: &Message) -> Option<(u64, u32)> {
        let context = self.connection.context.clone();
        let message = jetstream::Message { message: message.clone(), context };
        let info = message.info().ok()?;
        Some((info.stream_sequence, u32::try_from(info.delivered).ok()?))
    }
}

fn silence(source: Option<&Source>) -> Duration {
    match source {
        Some(source) if source.asked > 0 => SILENCE_LIMIT.saturating_sub(source.heard.elapsed()),
        Some(_) | None => Duration::MAX,
    }
}

fn answer_all(waiting: &mut VecDeque<Waiter>, err: &BoxError) {
    warn!(error = %err, "items cannot be asked for");
    for waiter in waiting.drain(..) {
        // Whoever waited may have gone.
        let _ = waiter.answer.send(Err(err.to_string().into()));
    }
}
