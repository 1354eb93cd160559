//! Which of several projectors does the work.
//!
//! Projectors of the same program stand by until the one that leads is gone. Two programs, as there are while
//! a platform is upgraded, share it out: whoever came first keeps what both write alike, and each builds or
//! follows what only it knows. A projection that a newer program has made and keeps up is left to it.
//!
//! All of this saves work only. What is written is kept apart by the checkpoints (see `apply`).

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;
use tracing::info;

use super::{Projector, ProjectorError, checkpoint};
use crate::projection::Projection;
use crate::store::{Lead, ReadStore};

/// How often whoever stands by looks whether it has to take over, and how far the read models are.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// What a projection is led by: its name and its version.
pub(super) fn key(name: &str, version: u32) -> String {
    format!("{name} {version}")
}

/// What all projectors of this program share.
fn key_of_all(projections: &[Projection]) -> String {
    let keys: Vec<_> =
        projections.iter().map(|projection| key(projection.name, projection.version)).collect();
    keys.join(", ")
}

/// What this projector leads in. On `SQLite`, which has one process, in everything.
pub(super) struct Leading {
    lead: Option<Lead>,
}

impl Leading {
    pub(super) async fn begin(store: &ReadStore) -> Result<Self, ProjectorError> {
        Ok(Self { lead: store.lead().await? })
    }

    async fn take(&mut self, key: &str) -> Result<bool, ProjectorError> {
        match &mut self.lead {
            None => Ok(true),
            Some(lead) => Ok(lead.take(key).await?),
        }
    }

    /// The projections that nobody else leads in.
    pub(super) async fn share(
        &mut self,
        projections: &[Projection],
    ) -> Result<Vec<Projection>, ProjectorError> {
        let mut ours = vec![];
        for projection in projections {
            if self.take(&key(projection.name, projection.version)).await? {
                ours.push(*projection);
            }
        }
        Ok(ours)
    }

    /// Returns when the lead is lost, or when there is more to lead in: nobody leads in one of `others` any
    /// more.
    pub(super) async fn hold(&mut self, others: &[String]) -> Result<Infallible, ProjectorError> {
        let Some(lead) = &mut self.lead else { return std::future::pending().await };
        loop {
            lead.wait().await?;
            for key in others {
                if lead.take(key).await? {
                    return Err(ProjectorError::Regroup);
                }
            }
        }
    }

    /// Gives everything back at once, so that nobody has to wait until the server notices.
    pub(super) async fn end(self) {
        if let Some(lead) = self.lead {
            lead.end().await;
        }
    }
}

impl Projector {
    /// Waits until this projector leads. Until then it tells how far the one that does has come.
    pub(super) async fn stand_by(&self, leading: &mut Leading) -> Result<(), ProjectorError> {
        let key = key_of_all(&self.projections);
        if leading.take(&key).await? {
            return Ok(());
        }
        info!("another projector does the work; this one stands by");
        self.board.stands_by(true);
        loop {
            self.board.observed(&checkpoint::all(&self.store).await?, &[]);
            self.board.trouble(None);
            self.board.head(self.log.head().await?);
            sleep(LOOK).await;
            if leading.take(&key).await? {
                info!("this projector takes over");
                self.board.stands_by(false);
                return Ok(());
            }
        }
    }

    /// Tells how far others have come with what they lead in, for ever.
    pub(super) async fn observe(&self, ours: &[&str]) -> Result<Infallible, ProjectorError> {
        if self.projections.iter().all(|projection| ours.contains(&projection.name)) {
            return std::future::pending().await;
        }
        loop {
            self.board.observed(&checkpoint::all(&self.store).await?, ours);
            sleep(LOOK).await;
        }
    }
}
