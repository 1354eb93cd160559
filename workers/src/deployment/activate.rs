//! Activate: the traffic is the release's. One event moves it; the edge reads its routes from the log.

use std::time::Duration;

use domain::deployment::step::Output;
use domain::service::{Command, Service};
use eventlog::crash_point;

use super::InHand;
use crate::runtime::InstanceState;
use crate::step::StepError;

/// How long the edge has to hear of it, before the deployment counts as live all the same.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(5);

/// Moves the traffic.
///
/// # Errors
/// [`StepError`]: `instance_exited` when an instance ended since it was seen to work.
pub async fn activate(step: &InHand<'_>) -> Result<Output, StepError> {
    for instance in &step.facts.instances {
        if let InstanceState::Exited { exit } = step.context.runtime.state(instance.id).await? {
            let message = format!("the new release ended by itself ({exit}) before it got traffic");
            return Err(StepError::permanent("instance_exited", message));
        }
    }
    let deployment = step.job.deployment;
    let command = Command::Activate { deployment, instances: step.facts.instances.clone() };
    step.context.bus.dispatch::<Service>(&step.job.request(), step.service_stream(), command).await?;
    crash_point!("activate.after_move");
    if let Some(release) = step.facts.release {
        step.context.traffic.arrived(step.service(), release, ARRIVAL_LIMIT).await;
    }
    Ok(Output::Activate {})
}
