//! One attempt at a time for each deployment: a later one ends the earlier, and waits until that has cleared
//! away what it had. So the earlier never clears away what is the later's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::DeploymentId;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// How many deployments are remembered. The ids of deployments begin with their time, so the oldest go first.
const REMEMBERED: usize = 10_000;

/// Whose turn it is, for each deployment.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    newest: Mutex<BTreeMap<DeploymentId, Newest>>,
}

/// The newest attempt of a deployment.
#[derive(Debug, Default)]
struct Newest {
    superseded: CancellationToken,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The turn of an attempt, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Cancelled when a later attempt waits for this one to end.
    pub(crate) superseded: CancellationToken,
    _turn: OwnedMutexGuard<()>,
}

impl Turns {
    /// Tells the attempt before that it is over, and returns when it has ended.
    pub(crate) async fn take(&self, deployment: DeploymentId) -> Turn {
        let superseded = CancellationToken::new();
        let turn = {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            let newest_here = newest.entry(deployment).or_default();
            std::mem::replace(&mut newest_here.superseded, superseded.clone()).cancel();
            let turn = Arc::clone(&newest_here.turn);
            if newest.len() > REMEMBERED {
                newest.pop_first();
            }
            turn
        };
        Turn { superseded, _turn: turn.lock_owned().await }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_later_attempt_ends_the_earlier_and_waits_for_it() {
        let (turns, deployment) = (Turns::default(), DeploymentId(Uuid::nil()));
        let first = turns.take(deployment).await;
        let mut second = Box::pin(turns.take(deployment));
        assert!(futures::poll!(&mut second).is_pending());
        assert!(first.superseded.is_cancelled());
        drop(first);
        assert!(!second.await.superseded.is_cancelled());
    }

    #[tokio::test]
    async fn one_of_three_that_waits_is_told_too() {
        let (turns, deployment) = (Turns::default(), DeploymentId(Uuid::nil()));
        let first = turns.take(deployment).await;
        let mut second = Box::pin(turns.take(deployment));
        assert!(futures::poll!(&mut second).is_pending());
        let mut third = Box::pin(turns.take(deployment));
        assert!(futures::poll!(&mut third).is_pending());
        drop(first);
        assert!(second.await.superseded.is_cancelled());
        assert!(!third.await.superseded.is_cancelled());
    }

    #[tokio::test]
    async fn others_do_not_wait() {
        let turns = Turns::default();
        let first = turns.take(DeploymentId(Uuid::from_u128(1))).await;
        turns.take(DeploymentId(Uuid::from_u128(2))).await;
        assert!(!first.superseded.is_cancelled());
    }
}
