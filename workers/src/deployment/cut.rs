//! Cut: what will run is fixed in the service's stream, under the next number.

use domain::deployment::step::Output;
use domain::service::release::Build;
use domain::service::{Command, Service, Subject};

use super::InHand;
use crate::step::StepError;

/// Cuts the release, unless what it would run was built before and is not there any more: then it is built
/// again first. The number is read back from the service: a repeat finds the one that is there.
///
/// # Errors
/// [`StepError`].
pub async fn cut(step: &InHand<'_>) -> Result<Output, StepError> {
    let deployment = step.job.deployment;
    if let Some(build) = missing(step).await? {
        let what = match &build.revision {
            Some(revision) => format!("from revision {}", revision.id.short()),
            None => "from what was uploaded".to_owned(),
        };
        let image = build.artifact.short();
        step.output.say(format!("image {image} is not there any more; it is built again {what}")).await;
        return Ok(Output::ArtifactMissing { build: Box::new(build) });
    }
    let command = Command::CutRelease { deployment, build: step.facts.build().map(Box::new) };
    step.context.bus.dispatch::<Service>(&step.job.request(), step.service_stream(), command).await?;
    let active = step.active().await?;
    let release = active.releases.iter().rev().find(|(_, summary)| summary.deployment == deployment);
    let lost = || StepError::permanent("release_lost", "the release that was cut is not in the log");
    let (release, _) = release.ok_or_else(lost)?;
    step.output.say(format!("release {release}")).await;
    Ok(Output::Cut { release: *release })
}

/// What was built by an earlier deployment, and is not there any more.
async fn missing(step: &InHand<'_>) -> Result<Option<Build>, StepError> {
    if step.facts.rebuilt.is_some() || (step.facts.reused.is_none() && step.facts.artifact.is_some()) {
        return Ok(None); // Built a moment ago.
    }
    let active = step.active().await?;
    let turn = active.turn.as_ref().filter(|turn| turn.deployment == step.job.deployment);
    if turn.is_none_or(|turn| turn.cut.is_some()) {
        return Ok(None); // Cut before we crashed; or not ours to cut, which the service will say.
    }
    let build = match (&step.facts.subject, step.facts.build()) {
        (Subject::Source { .. }, build) => build,
        (Subject::Configuration {}, _) => active.live.as_ref().map(|live| live.specification.build.clone()),
        (Subject::Release { build, .. }, _) => Some((**build).clone()),
    };
    let Some(build) = build else { return Ok(None) };
    match step.context.registry.locate(step.service(), &build).await {
        Err(error) if error.code == "artifact_missing" => Ok(Some(build)),
        // Whatever else is wrong with it is seen when it is started.
        Ok(_) | Err(_) => Ok(None),
    }
}
