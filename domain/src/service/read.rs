//! What is asked of a service's state.

use super::{Active, End, Service};
use crate::id::DeploymentId;

impl Service {
    /// The service, when it is in use.
    #[must_use]
    pub fn active(&self) -> Option<&Active> {
        match self {
            Self::Active(active) => Some(active),
            Self::Absent | Self::Deleted { .. } => None,
        }
    }
}

impl Active {
    /// What became of a deployment, when it is over and that is not long ago.
    #[must_use]
    pub fn past_end(&self, deployment: DeploymentId) -> Option<End> {
        self.past.iter().rev().find(|(id, _)| *id == deployment).map(|(_, end)| *end)
    }
}
