//! What is to be done next, as a pure function of what is: the deciding half of the sagas.
//!
//! A saga reacts to a *state*, not to an event: events only say when to look. So an event that comes twice,
//! late or not at all changes nothing, and starting again from the first position is the same as going on
//! (`docs/decisions/0004-sagas-react-to-states.md`). The other half, in `workers/`, carries effects out.

pub mod deployment;

use chrono::{DateTime, Utc};

use crate::deployment::Work;
use crate::id::{DeploymentId, ServiceId};
use crate::{deployment as deployments, service as services};

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A worker is to do a piece of work on a deployment.
    Work {
        /// The deployment.
        deployment: DeploymentId,
        /// What.
        work: Work,
        /// The how-manieth try. Each try is one item of work, however often it is asked for.
        attempt: u32,
        /// Not before this.
        not_before: Option<DateTime<Utc>>,
    },
    /// A command is to be given to a service.
    Service {
        /// The service.
        service: ServiceId,
        /// The command; giving it again changes nothing.
        command: Box<services::Command>,
    },
    /// A command is to be given to a deployment.
    Deployment {
        /// The deployment.
        deployment: DeploymentId,
        /// The command; giving it again changes nothing.
        command: Box<deployments::Command>,
    },
}
