//! What is asked of a deployment's state.

use super::step::Fence;
use super::{Deployment, Facts, Progress, Task};
use crate::service::Subject;
use crate::service::release::Build;
use crate::source::Source;

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
        Some(Build {
            artifact: self.artifact.clone()?,
            source: self.source()?.clone(),
            revision: self.revision.clone(),
            plan: self.plan.as_deref()?.clone(),
        })
    }

    /// Where the files come from that it builds, when it builds any.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        match (&self.subject, &self.rebuilt) {
            (Subject::Source { source, .. }, _) => Some(source),
            (_, Some(rebuilt)) => Some(&rebuilt.build.source),
            (Subject::Configuration {} | Subject::Release { .. }, None) => None,
        }
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
