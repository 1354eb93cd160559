//! What the fakes of source, builder and registry were asked for, what they did, and what they were made to
//! do wrong.
//!
//! One ledger is shared by all three. An effect that is repeated is written down each time, and is visible
//! only when the world was another after it: of the visible ones there is to be one for each operation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::deployment::step::Fence;
use domain::id::DeploymentId;
use tokio_util::sync::CancellationToken;

use crate::fences::{Fenced, Fences};
use crate::key::StepKey;

pub use crate::runtime::fake::ledger::Fault;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// To fetch a deployment's files.
    Fetch(DeploymentId),
    /// To find out how they are built.
    Detect(DeploymentId),
    /// To build them.
    Build(DeploymentId),
    /// To take in what was built.
    Push(DeploymentId),
    /// To remove what a deployment left.
    Clean(DeploymentId),
}

/// One line of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What was asked for.
    pub operation: Operation,
    /// The fence of whoever asked, where one is given.
    pub fence: Option<Fence>,
    /// Whether the world is another after it.
    pub is_visible: bool,
}

/// Chooses the fault of an operation, when it is asked for the n-th time, from 1.
type Faults = Arc<dyn Fn(&Operation, usize) -> Option<Fault> + Send + Sync>;

/// The ledger.
#[derive(Clone, Default)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    effects: Mutex<Vec<Effect>>,
    asked: Mutex<BTreeMap<Operation, usize>>,
    faults: Mutex<Option<Faults>>,
    fences: Fences,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.effects()).finish()
    }
}

/// Why an operation was not done, or nobody got to know that it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// A later worker has the step.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// It was made to fail.
    #[error("it was made to fail")]
    Failed {
        /// Whether it would fail again.
        permanent: bool,
    },
    /// It was made to give no answer.
    #[error("no answer came in time")]
    NoAnswer,
    /// It was cancelled.
    #[error("it was cancelled")]
    Cancelled,
}

impl Refusal {
    /// Whether trying again would be of no use.
    pub(crate) const fn is_permanent(&self) -> bool {
        match self {
            Self::Failed { permanent } => *permanent,
            Self::Cancelled => true,
            Self::Fenced(_) | Self::NoAnswer => false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// From now on these faults happen; `|_, _| None` heals it.
    pub fn faults(&self, faults: impl Fn(&Operation, usize) -> Option<Fault> + Send + Sync + 'static) {
        *lock(&self.shared.faults) = Some(Arc::new(faults));
    }

    /// All that was done, in its order.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        lock(&self.shared.effects).clone()
    }

    /// How often each operation was visible.
    #[must_use]
    pub fn visible(&self) -> BTreeMap<Operation, usize> {
        let mut counts = BTreeMap::new();
        for effect in self.effects().iter().filter(|effect| effect.is_visible) {
            *counts.entry(effect.operation).or_default() += 1;
        }
        counts
    }

    /// Does something, or not, as the faults want it. The effect answers whether it was visible.
    pub(crate) async fn perform<T>(
        &self,
        operation: Operation,
        key: Option<StepKey>,
        cancel: Option<&CancellationToken>,
        effect: impl FnOnce() -> (T, bool),
    ) -> Result<T, Refusal> {
        if let Some(key) = key {
            self.shared.fences.enter(key)?;
        }
        let nth = {
            let mut asked = lock(&self.shared.asked);
            let nth = asked.entry(operation).or_default();
            *nth += 1;
            *nth
        };
        let faults = lock(&self.shared.faults).clone();
        let fault = faults.and_then(|faults| faults(&operation, nth));
        let is_done = match fault {
            None => true,
            Some(Fault::Fail { .. }) => false,
            Some(Fault::NoAnswer { done } | Fault::Hang { done }) => done,
        };
        let value = is_done.then(|| {
            let (value, is_visible) = effect();
            let fence = key.map(|key| key.fence);
            lock(&self.shared.effects).push(Effect { operation, fence, is_visible });
            value
        });
        match (fault, value) {
            (None, Some(value)) => Ok(value),
            (Some(Fault::Fail { permanent }), _) => Err(Refusal::Failed { permanent }),
            (Some(Fault::Hang { .. }), _) => match cancel {
                Some(cancel) => {
                    cancel.cancelled().await;
                    Err(Refusal::Cancelled)
                }
                None => std::future::pending().await,
            },
            (Some(Fault::NoAnswer { .. }) | None, _) => Err(Refusal::NoAnswer),
        }
    }
}
