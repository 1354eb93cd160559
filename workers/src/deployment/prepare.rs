//! Prepare: the release command has run, as a migration does, before any traffic moves.

use domain::deployment::step::Output;
use domain::secret::Secret;

use super::{InHand, environment, roll_out};
use crate::output::Mask;
use crate::step::StepError;

/// Runs the release command, when there is one.
///
/// # Errors
/// [`StepError`]: the release before keeps its traffic.
pub async fn prepare(step: &InHand<'_>) -> Result<Output, StepError> {
    let active = step.active().await?;
    let (number, specification) = roll_out::cut_release(step, &active)?;
    if let Some(command) = &specification.build.plan.run.release {
        step.output.say(format!("release command: {command}")).await;
        let stream = step.service_stream();
        let given = environment::of_release(step.context, stream, &active, number, specification).await?;
        let secrets = specification.variables.keys().filter_map(|name| given.variables.get(name.as_str()));
        let output = step.output.masked(Mask::new(secrets.map(Secret::reveal)));
        step.context.runtime.run(step.key, command, &given, output, step.cancel).await?;
    }
    Ok(Output::Prepare {})
}
