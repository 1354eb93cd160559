//! What is live follows the log: what there is, then each commit as it comes, many at once when many have
//! come.

use std::convert::Infallible;
use std::time::Duration;

use domain::stream::Position;
use eventlog::commit::RecordedCommit;
use eventlog::error::ReadError;
use eventlog::log::{Filter, MAX_PAGE};
use futures::future::Fuse;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::checkpoint::Line;
use super::{BATCH, Projector, ProjectorError, apply};

/// How often the end of the log is looked up.
const MEASURE: Duration = Duration::from_secs(1);

impl Projector {
    /// Follows the log for ever. What is built joins when it has caught up.
    pub(super) async fn follow(
        &self,
        mut lines: Vec<Line>,
        newly_live: oneshot::Receiver<Vec<Line>>,
    ) -> Result<Infallible, ProjectorError> {
        let mut newly_live = newly_live.fuse();
        loop {
            let built = self.follow_until(&mut newly_live, &mut lines).await?;
            lines.extend(built);
        }
    }

    /// Follows the log until there are more lines to follow it with. A batch that has begun is never left
    /// half way: its lines would be behind what they have written.
    async fn follow_until(
        &self,
        newly_live: &mut Fuse<oneshot::Receiver<Vec<Line>>>,
        lines: &mut Vec<Line>,
    ) -> Result<Vec<Line>, ProjectorError> {
        let Some(from) = lines.iter().map(|line| line.position).min() else {
            return Ok(newly_live.await.unwrap_or_default());
        };
        let mut commits = self.log.subscribe(from, Filter::all()).await.ready_chunks(BATCH);
        loop {
            tokio::select! {
                Ok(built) = &mut *newly_live => return Ok(built),
                commits = commits.next() => self.take(lines, commits.unwrap_or_default()).await?,
            }
        }
    }

    /// Looks up the end of the log, for ever, to know how far the read models are behind it.
    pub(super) async fn measure(&self) -> Result<Infallible, ProjectorError> {
        let mut measure = interval(MEASURE);
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            measure.tick().await;
            self.board.head(self.log.head().await?);
        }
    }

    /// Applies what came, up to the first error.
    async fn take(
        &self,
        lines: &mut Vec<Line>,
        came: Vec<Result<RecordedCommit, ReadError>>,
    ) -> Result<(), ProjectorError> {
        let is_over = came.is_empty();
        let mut commits = Vec::with_capacity(came.len());
        let mut trouble = None;
        for commit in came {
            match commit {
                Ok(commit) => commits.push(commit),
                Err(error) => {
                    trouble = Some(error);
                    break;
                }
            }
        }
        self.write(lines, &commits).await?;
        match trouble {
            Some(error) => Err(error.into()),
            None if is_over => Err(ReadError::Unavailable { source: "the log ended".into() }.into()),
            None => Ok(()),
        }
    }

    async fn write(&self, lines: &mut Vec<Line>, commits: &[RecordedCommit]) -> Result<(), ProjectorError> {
        let poisoned = apply::apply(&self.store, lines, commits).await?;
        self.stop(poisoned).await?;
        self.board.moved(lines);
        Ok(())
    }

    /// Follows the log up to a position.
    pub(super) async fn follow_to(
        &self,
        lines: &mut Vec<Line>,
        until: Position,
    ) -> Result<(), ProjectorError> {
        while let Some(from) = lines.iter().map(|line| line.position).min().filter(|from| *from < until) {
            let page = self.log.read_all(from, &Filter::all(), MAX_PAGE).await?;
            if page.commits.is_empty() {
                break;
            }
            self.write(lines, &page.commits).await?;
        }
        Ok(())
    }
}
