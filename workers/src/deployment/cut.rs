//! Cut: what will run is fixed in the service's stream, under the next number.

use domain::deployment::step::Output;
use domain::service::{Command, Service};

use super::InHand;
use crate::step::StepError;

/// Cuts the release. Its number is read back from the service: a repeat finds the one that is there.
///
/// # Errors
/// [`StepError`].
pub async fn cut(step: &InHand<'_>) -> Result<Output, StepError> {
    let deployment = step.job.deployment;
    let command = Command::CutRelease { deployment, build: step.facts.build().map(Box::new) };
    step.context.bus.dispatch::<Service>(&step.job.request(), step.service_stream(), command).await?;
    let active = step.active().await?;
    let release = active.releases.iter().rev().find(|(_, summary)| summary.deployment == deployment);
    let lost = || StepError::permanent("release_lost", "the release that was cut is not in the log");
    let (release, _) = release.ok_or_else(lost)?;
    step.output.say(format!("release {release}")).await;
    Ok(Output::Cut { release: *release })
}
