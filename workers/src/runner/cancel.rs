//! Who has which deployment in hand, so that a cancellation in the log reaches them at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::deployment::{Deployment, Event};
use domain::event::Event as AnyEvent;
use domain::stream::{AggregateKind, StreamId};
use eventlog::error::ReadError;
use eventlog::log::Filter;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::context::Context;

/// How long to wait before going on after an error.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// Tokens of the deployments that workers of this process have in hand.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancellations {
    in_hand: Arc<Mutex<HashMap<StreamId, CancellationToken>>>,
}

impl Cancellations {
    /// The token of a deployment; it is cancelled by a cancellation in the log, and when the platform stops.
    /// Registered before the work is taken up, so that no cancellation falls between.
    pub(super) fn register(&self, deployment: StreamId, shutdown: &CancellationToken) -> CancellationToken {
        let token = shutdown.child_token();
        let mut in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        in_hand.insert(deployment, token.clone());
        token
    }

    fn cancel(&self, deployment: StreamId) {
        let mut in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = in_hand.remove(&deployment) {
            token.cancel();
        }
    }

    fn forget(&self, deployment: StreamId) {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).remove(&deployment);
    }

    /// Follows the log from its end, until the platform stops.
    pub(super) async fn watch(&self, context: Context, shutdown: CancellationToken) {
        loop {
            let ended = tokio::select! {
                ended = self.follow(&context) => ended,
                () = shutdown.cancelled() => return,
            };
            if let Err(error) = ended {
                warn!(error = &error as &dyn std::error::Error, "cancellations are not seen for a moment");
            }
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
    }

    /// Looks at everything in hand: what was cancelled before the log was followed is found here.
    async fn catch_up(&self, context: &Context) -> Result<(), ReadError> {
        let in_hand: Vec<StreamId> = {
            let in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
            in_hand.keys().copied().collect()
        };
        for deployment in in_hand {
            if context.bus.state::<Deployment>(deployment).await?.is_stopping() {
                self.cancel(deployment);
            }
        }
        Ok(())
    }

    async fn follow(&self, context: &Context) -> Result<(), ReadError> {
        let log = context.bus.log();
        let mut commits = log.subscribe(log.head().await?, Filter::kinds([AggregateKind::Deployment])).await;
        self.catch_up(context).await?;
        while let Some(commit) = commits.next().await {
            for recorded in commit?.events {
                let AnyEvent::Deployment(event) = recorded.event else { continue };
                match event {
                    Event::CancelRequested { .. } => self.cancel(recorded.stream),
                    Event::Failed { .. } | Event::Cancelled { .. } | Event::WentLive { .. } => {
                        self.forget(recorded.stream);
                    }
                    Event::Begun { .. }
                    | Event::StepStarted { .. }
                    | Event::StepSucceeded { .. }
                    | Event::StepFailed { .. }
                    | Event::UndoStarted { .. }
                    | Event::UndoSucceeded { .. }
                    | Event::UndoFailed { .. } => {}
                }
            }
        }
        Ok(())
    }
}
