//! Following a log that can be read in pages: what there is, then what comes, from one place only, so that
//! there is no seam between the two where something could be lost or come twice.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use domain::stream::Position;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;

use crate::chain::Chains;
use crate::commit::RecordedCommit;
use crate::error::ReadError;
use crate::log::{Filter, Page};

/// How many commits a follower reads at once.
const PAGE: usize = 500;

/// A log that can be read in pages, and tells when it has grown.
#[async_trait]
pub(crate) trait Pages: Send + Sync + 'static {
    /// As [`crate::log::EventLog::read_all`].
    async fn page(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, ReadError>;

    /// The position of the last commit that [`Pages::page`] shows. Closed when the log is.
    fn grown(&self) -> watch::Receiver<Position>;
}

struct Follower<P> {
    log: Arc<P>,
    filter: Filter,
    after: Position,
    grown: watch::Receiver<Position>,
    chains: Chains,
    ready: VecDeque<RecordedCommit>,
    is_over: bool,
}

impl<P: Pages> Follower<P> {
    async fn next(&mut self) -> Result<RecordedCommit, ReadError> {
        loop {
            if let Some(commit) = self.ready.pop_front() {
                self.chains.check(&commit)?;
                return Ok(commit);
            }
            // Marked as seen before the page is read: what comes while it is read wakes us again.
            let head = *self.grown.borrow_and_update();
            if head > self.after {
                let page = self.log.page(self.after, &self.filter, PAGE).await?;
                self.after = page.reached;
                self.ready = page.commits.into();
                continue;
            }
            self.grown.changed().await.map_err(|source| ReadError::Unavailable { source: source.into() })?;
        }
    }
}

/// As [`crate::log::EventLog::subscribe`].
pub(crate) fn follow<P: Pages>(
    log: Arc<P>,
    after: Position,
    filter: Filter,
) -> BoxStream<'static, Result<RecordedCommit, ReadError>> {
    let grown = log.grown();
    let (chains, ready) = (Chains::default(), VecDeque::new());
    let follower = Follower { log, filter, after, grown, chains, ready, is_over: false };
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
