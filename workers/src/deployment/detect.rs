//! Detect: it is known how the files are installed, built and started.

use domain::deployment::step::Output;
use domain::plan::Plan;

use super::{InHand, fetch};
use crate::step::StepError;

/// Finds the plan and prints it.
///
/// # Errors
/// [`StepError`] with the codes of [`crate::builder::BuildError`].
pub async fn detect(step: &InHand<'_>) -> Result<Output, StepError> {
    fetch::ensure(step).await?;
    let request = step.build_request().await?;
    let plan = step.context.builder.detect(&request, &step.output).await?;
    for line in in_words(&plan) {
        step.output.say(line).await;
    }
    Ok(Output::Detect { plan: Box::new(plan) })
}

fn in_words(plan: &Plan) -> Vec<String> {
    let mut lines = vec![format!("{} (by {})", plan.language, plan.detected_by)];
    lines.extend(plan.install.iter().map(|command| format!("install: {command}")));
    lines.extend(plan.build.iter().map(|command| format!("build:   {command}")));
    lines.push(format!("start:   {}", plan.run.start));
    lines.extend(plan.run.release.iter().map(|command| format!("release: {command}")));
    lines
}
