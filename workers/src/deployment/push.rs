//! Push: what was built is where every runtime finds it, under its digest.

use domain::deployment::step::Output;

use super::{InHand, build, fetch};
use crate::step::StepError;

/// Gives what was built to the registry.
///
/// # Errors
/// [`StepError`] with the codes of [`crate::registry::RegistryError`].
pub async fn push(step: &InHand<'_>) -> Result<Output, StepError> {
    if let Some(artifact) = &step.facts.reused {
        // The files that were fetched for nothing.
        step.context.builder.clean(step.job.deployment).await?;
        return Ok(Output::Push { artifact: artifact.clone() });
    }
    let request = step.build_request().await?;
    let recipe = build::recipe(&request, build::plan(step)?);
    let pushed = match step.context.registry.push(step.key, &request, &recipe).await {
        Err(error) if error.code == "build_missing" => {
            // It was built on another machine, or before its engine was emptied.
            step.output.say("what was built is not here any more; building it again").await;
            fetch::ensure(step).await?;
            let plan = build::plan(step)?;
            step.context.builder.build(step.key, &request, plan, &step.output, step.cancel).await?;
            step.context.registry.push(step.key, &request, &recipe).await
        }
        pushed => pushed,
    };
    let artifact = pushed?;
    step.output.say(format!("image {}", artifact.short())).await;
    Ok(Output::Push { artifact })
}
