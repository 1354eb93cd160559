//! What the effects of a step are named by.

use domain::deployment::step::{Fence, Step};
use domain::id::DeploymentId;

/// A step of a deployment, in the hands of one worker. What the step makes in the world is named by the
/// deployment and the step, never by the fence: a second worker finds and takes over what the first one left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The step.
    pub step: Step,
    /// The worker's fence.
    pub fence: Fence,
}
