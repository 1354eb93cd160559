//! Retire: the instances of the releases before have finished what was in flight, and are stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::deployment::step::Output;
use domain::id::DeploymentId;
use domain::service::Active;
use domain::service::release::ReleaseNumber;
use eventlog::crash_point;

use super::{InHand, roll_out};
use crate::step::StepError;

/// How long an instance has to end by itself when it is asked to.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);

/// Lets go of every earlier release of the service.
///
/// # Errors
/// [`StepError`]; the reconciler takes up what is left.
pub async fn retire(step: &InHand<'_>) -> Result<Output, StepError> {
    let active = step.active().await?;
    let earlier = earlier(&active);
    let drain = active.live.as_ref().map_or(0, |live| live.specification.build.plan.run.drain_ms);
    let mut drained = None;
    for id in step.context.runtime.list().await? {
        let Some(release) = earlier.get(&id.deployment) else { continue };
        if drained != Some(*release) {
            step.context.traffic.drained(step.service(), *release, Duration::from_millis(drain)).await;
            drained = Some(*release);
        }
        // So that what it prints as it ends is stored, whoever has started it.
        roll_out::attach(step.context, step.service(), *release, id).await?;
        crash_point!("retire.before_stop");
        step.context.runtime.stop(id, STOP_GRACE).await?;
    }
    Ok(Output::Retire {})
}

/// Deployments of releases that neither have the traffic nor are about to get it.
fn earlier(active: &Active) -> BTreeMap<DeploymentId, ReleaseNumber> {
    let current = active.live.as_ref().map(|live| live.deployment);
    let next = active.turn.as_ref().map(|turn| turn.deployment);
    let over = |deployment: DeploymentId| Some(deployment) != current && Some(deployment) != next;
    let releases = active.releases.iter().map(|(number, summary)| (summary.deployment, *number));
    releases.filter(|(deployment, _)| over(*deployment)).collect()
}
