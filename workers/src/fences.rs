//! Fences that an adapter has seen, so that a worker that slept through the start of another is refused.
//!
//! They are kept in memory: a worker of an earlier process of the platform is dead, and so is all that it
//! started.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use domain::deployment::step::{Fence, Step};
use domain::id::DeploymentId;

use crate::key::StepKey;

/// How many steps are remembered. The ids of deployments begin with their time, so the oldest go first: they
/// are over.
const REMEMBERED: usize = 10_000;

/// The highest fence of each step.
#[derive(Debug, Default)]
pub struct Fences {
    highest: Mutex<BTreeMap<(DeploymentId, Step), Fence>>,
}

/// A worker whose step is in the hands of another by now.
#[derive(Debug, thiserror::Error)]
#[error("the step {step} is in the hands of another worker")]
pub struct Fenced {
    /// The step.
    pub step: Step,
}

impl Fences {
    /// Lets a worker in, unless a later one was let in before; from now on all earlier ones are refused.
    ///
    /// # Errors
    /// [`Fenced`].
    pub fn enter(&self, key: StepKey) -> Result<(), Fenced> {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = highest.entry((key.deployment, key.step)).or_insert(key.fence);
        if key.fence < *seen {
            return Err(Fenced { step: key.step });
        }
        *seen = key.fence;
        if highest.len() > REMEMBERED {
            highest.pop_first();
        }
        Ok(())
    }

    /// What a deployment's steps have seen is of no more use: it is over.
    pub fn forget(&self, deployment: DeploymentId) {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        highest.retain(|(of, _), _| *of != deployment);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_earlier_worker_is_refused_and_the_same_one_may_come_again() {
        let fences = Fences::default();
        let key = |step, fence| StepKey { deployment: DeploymentId(Uuid::nil()), step, fence: Fence(fence) };
        assert!(fences.enter(key(Step::Build, 2)).is_ok());
        assert!(fences.enter(key(Step::Build, 2)).is_ok());
        assert!(fences.enter(key(Step::Build, 1)).is_err());
        assert!(fences.enter(key(Step::Fetch, 1)).is_ok());
        assert!(fences.enter(key(Step::Build, 3)).is_ok());
        assert!(fences.enter(key(Step::Build, 2)).is_err());
        fences.forget(DeploymentId(Uuid::nil()));
        assert!(fences.enter(key(Step::Build, 1)).is_ok());
    }

    #[test]
    fn only_the_newest_deployments_are_remembered() {
        let fences = Fences::default();
        let key = |number, fence| {
            let deployment = DeploymentId(Uuid::from_u128(number));
            StepKey { deployment, step: Step::Build, fence: Fence(fence) }
        };
        for number in 0..=REMEMBERED as u128 {
            assert!(fences.enter(key(number, 2)).is_ok());
        }
        assert!(fences.enter(key(1, 1)).is_err());
        assert!(fences.enter(key(0, 1)).is_ok());
    }
}
