//! Following the log: a subscription that begins again, after the last commit, whenever it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::stream::Position;
use eventstore::ResolvedEvent;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tracing::{debug, warn};

use crate::chain::Chains;
use crate::commit::RecordedCommit;
use crate::error::{BoxError, ReadError};
use crate::kurrentdb::connection::Problem;
use crate::kurrentdb::read::Shared;
use crate::kurrentdb::source::{Seen, Source};
use crate::log::Filter;

/// A subscription that is quiet for so long begins again: nobody tells one that is dead from one that has
/// nothing.
const QUIET_LIMIT: Duration = Duration::from_secs(60);
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);
/// When no subscription could be made for so long, whoever follows is told.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

struct Follower {
    log: Arc<Shared>,
    filter: Filter,
    /// The last position that was looked at.
    after: Position,
    chains: Chains,
    source: Source,
    is_over: bool,
}

/// As [`crate::log::EventLog::subscribe`].
pub(super) async fn follow(
    log: Arc<Shared>,
    after: Position,
    filter: Filter,
) -> BoxStream<'static, Result<RecordedCommit, ReadError>> {
    let source = Source::open(&log, after, &filter).await;
    let follower = Follower { log, filter, after, chains: Chains::default(), source, is_over: false };
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
            match self.source.next_within(&self.log, QUIET_LIMIT).await {
                Ok(Seen::Event(event)) => {
                    if let Some(commit) = self.accept(&event)? {
                        return Ok(commit);
                    }
                }
                Ok(Seen::Other) => {}
                Err(Problem::Late) => {
                    debug!("following the log after {} was quiet and begins anew", self.after);
                }
                Err(problem) => {
                    let since = *failing.get_or_insert_with(Instant::now);
                    let source = BoxError::from(problem);
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

    /// The commit of an event; none when the filter leaves it out, or it came before.
    fn accept(&mut self, event: &ResolvedEvent) -> Result<Option<RecordedCommit>, ReadError> {
        let commit = self.log.stored(event)?.commit;
        if commit.head.position <= self.after {
            return Ok(None);
        }
        self.chains.check(&commit)?;
        self.after = commit.head.position;
        Ok(self.filter.matches(&commit.stream).then_some(commit))
    }
}
