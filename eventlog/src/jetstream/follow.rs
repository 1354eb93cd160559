//! Following the log: a consumer of our own that is made again, from the last position, whenever it stops to
//! be sound.
//!
//! The consumer acknowledges nothing and is remembered by nobody: the position is ours. Heartbeats tell a
//! consumer that is quiet from one that is dead; one whose messages do not come though there are some is made
//! again too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::pull::{self, Stream as Messages};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::stream::Stream;
use domain::stream::Position;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tracing::warn;

use crate::chain::Chains;
use crate::commit::RecordedCommit;
use crate::error::{BoxError, ReadError};
use crate::jetstream::batch::Stored;
use crate::jetstream::read::Shared;
use crate::jetstream::read::{commit_of, subject_of_filter};
use crate::log::Filter;

const BATCH: usize = 500;
const HEARTBEAT: Duration = Duration::from_secs(5);
const EXPIRES: Duration = Duration::from_secs(30);
/// The server forgets a consumer that nobody pulls from for this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// A consumer that is quiet for so long is asked whether it keeps something back.
const QUIET_LIMIT: Duration = Duration::from_secs(30);
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);
/// When no consumer could be made for so long, whoever follows is told.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

struct Follower {
    log: Arc<Shared>,
    filter: Filter,
    /// The last position that was looked at.
    after: Position,
    chains: Chains,
    source: Option<Source>,
    is_over: bool,
}

/// A consumer that is sound so far. The server is told when it is not needed any more.
struct Source {
    stream: Stream<()>,
    consumer: Consumer<pull::Config>,
    messages: Messages,
    /// The number that its next message has to have.
    next: u64,
}

/// As [`crate::log::EventLog::subscribe`].
pub(super) fn follow(
    log: Arc<Shared>,
    after: Position,
    filter: Filter,
) -> BoxStream<'static, Result<RecordedCommit, ReadError>> {
    let (chains, source) = (Chains::default(), None);
    let follower = Follower { log, filter, after, chains, source, is_over: false };
    stream::unfold(follower, |mut follower| async move {
        if follower.is_over {
            return None;
        }
        let next = follower.next().await;
        follower.is_over = next.is_err();
        Some((next, follower))
    })
    .boxed()
}

impl Follower {
    async fn next(&mut self) -> Result<RecordedCommit, ReadError> {
        let mut failing: Option<Instant> = None;
        let mut wait = WAIT_MIN;
        loop {
            match self.take().await {
                Ok(stored) => {
                    if let Some(commit) = self.accept(&stored)? {
                        return Ok(commit);
                    }
                }
                Err(source) => {
                    self.source = None;
                    let since = *failing.get_or_insert_with(Instant::now);
                    if since.elapsed() >= GIVE_UP_AFTER {
                        return Err(ReadError::Unavailable { source });
                    }
                    warn!(error = %source, "following the log after {} begins anew", self.after);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(WAIT_MAX);
                    continue;
                }
            }
            failing = None;
        }
    }

    /// The next message, from a consumer that is made when there is none.
    async fn take(&mut self) -> Result<Stored, BoxError> {
        let source = match &mut self.source {
            Some(source) => source,
            none => none.insert(consume(&self.log, self.after, &self.filter).await?),
        };
        loop {
            match tokio::time::timeout(QUIET_LIMIT, source.messages.next()).await {
                Ok(Some(message)) => return source.stored(&message?),
                Ok(None) => return Err("the consumer ended".into()),
                Err(_) if source.consumer.get_info().await?.num_pending > 0 => {
                    return Err("the consumer keeps back what there is".into());
                }
                Err(_) => {}
            }
        }
    }

    /// The commit of a message; none when the filter leaves it out.
    fn accept(&mut self, stored: &Stored) -> Result<Option<RecordedCommit>, ReadError> {
        let position = Position(stored.sequence);
        if self.filter == Filter::all() && position != self.after.next() {
            let problem = format!("it is missing; the next commit that is there stands at {position}");
            return Err(ReadError::Damaged { position: self.after.next(), problem });
        }
        let commit = commit_of(&self.log.connection, stored)?;
        self.chains.check(&commit)?;
        self.after = position;
        Ok(self.filter.matches(&commit.stream).then_some(commit))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let (stream, name) = (self.stream.clone(), self.consumer.cached_info().name.clone());
        // Without a runtime, and where it does not arrive, the server forgets the consumer by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { stream.delete_consumer(&name).await });
        }
    }
}

impl Source {
    /// Checks that none of the consumer's messages got lost on the way.
    fn stored(&mut self, message: &async_nats::jetstream::Message) -> Result<Stored, BoxError> {
        let info = message.info()?;
        if info.consumer_sequence != self.next {
            return Err(format!("message {} came instead of {}", info.consumer_sequence, self.next).into());
        }
        self.next += 1;
        let (subject, payload) = (message.subject.to_string(), message.payload.clone());
        Ok(Stored { sequence: info.stream_sequence, subject, payload })
    }
}

async fn consume(log: &Shared, after: Position, filter: &Filter) -> Result<Source, BoxError> {
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after.0 + 1 },
        ack_policy: AckPolicy::None,
        filter_subject: subject_of_filter(&log.connection, filter),
        inactive_threshold: FORGOTTEN_AFTER,
        max_deliver: 1,
        num_replicas: 1,
        memory_storage: true,
        ..pull::Config::default()
    };
    let consumer = log.stream.create_consumer(config).await?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(BATCH)
        .heartbeat(HEARTBEAT)
        .expires(EXPIRES)
        .messages()
        .await?;
    Ok(Source { stream: log.stream.clone(), consumer, messages, next: 1 })
}
