//! What is asked of a deployment's state.

use super::step::Fence;
use super::{Deployment, Facts, Progress, Task};
use crate::service::Subject;
use crate::service::release::Build;

impl Deployment {
    /// What is known of it.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Absent => None,
            Self::Running { facts, .. }
            | Self::Stopping { facts, .. }
            | Self::Undoing { facts, .. }
            | Self::Live { facts, .. }
            | Self::Over { facts, .. } => Some(facts),
        }
    }

    /// What is to be done now, or is being done.
    #[must_use]
    pub fn task(&self) -> Option<&Task> {
        match self {
            Self::Absent | Self::Over { .. } => None,
            Self::Running { task, .. }
            | Self::Stopping { task, .. }
            | Self::Undoing { task, .. }
            | Self::Live { task, .. } => Some(task),
        }
    }

    /// Whether whoever has a step of it in hand should let go.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        matches!(self, Self::Stopping { .. })
    }
}

impl Facts {
    /// What was built, once it was.
    #[must_use]
    pub fn build(&self) -> Option<Build> {
        let Subject::Source { source, .. } = &self.subject else { return None };
        Some(Build {
            artifact: self.artifact.clone()?,
            source: source.clone(),
            revision: self.revision.clone(),
            plan: self.plan.as_deref()?.clone(),
        })
    }
}

impl Task {
    /// The fence of the worker that has it in hand.
    #[must_use]
    pub const fn fence(&self) -> Option<Fence> {
        match self.progress {
            Progress::Ready { .. } => None,
            Progress::Underway { fence, .. } => Some(fence),
        }
    }
}
