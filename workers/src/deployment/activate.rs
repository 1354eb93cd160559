//! Activate: the traffic is the release's. One event moves it; the edge reads its routes from the log.

use std::time::Duration;

use domain::deployment::step::Output;
use domain::service::{Command, Outcome, Service};
use eventlog::crash_point;

use super::{InHand, verify};
use crate::step::StepError;

/// How long the edge has to hear of it, before the deployment counts as live all the same.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(5);

/// Moves the traffic. A failure is only reported once it is certain that the traffic has not moved and will
/// not.
///
/// # Errors
/// [`StepError`]: as [`verify::verify`], when an instance does not work any more.
pub async fn activate(step: &InHand<'_>) -> Result<Output, StepError> {
    if let Err(error) = move_traffic(step).await
        && !(error.permanent && has_moved_after_all(step).await?)
    {
        return Err(error);
    }
    crash_point!("activate.after_move");
    if let Some(release) = step.facts.release {
        step.context.traffic.arrived(step.service(), release, ARRIVAL_LIMIT).await;
    }
    Ok(Output::Activate {})
}

async fn move_traffic(step: &InHand<'_>) -> Result<(), StepError> {
    if is_live(step).await? {
        return Ok(()); // Done before we crashed.
    }
    // They were seen to work a moment ago, but the platform may have been killed since.
    let instances = verify::healthy_instances(step).await?;
    let command = Command::Activate { deployment: step.job.deployment, instances };
    step.context.bus.dispatch::<Service>(&step.job.request(), step.service_stream(), command).await?;
    Ok(())
}

/// Gives the turn back, so that no worker that is still on its way can move the traffic any more, and looks
/// whether one has.
async fn has_moved_after_all(step: &InHand<'_>) -> Result<bool, StepError> {
    let command = Command::EndDeployment { deployment: step.job.deployment, outcome: Outcome::Failed };
    step.context.bus.dispatch::<Service>(&step.job.request(), step.service_stream(), command).await?;
    is_live(step).await
}

/// Whether the traffic is this deployment's.
pub(super) async fn is_live(step: &InHand<'_>) -> Result<bool, StepError> {
    let service = step.context.bus.state::<Service>(step.service_stream()).await?;
    let live = service.active().and_then(|active| active.live.as_ref());
    Ok(live.is_some_and(|live| live.deployment == step.job.deployment))
}
