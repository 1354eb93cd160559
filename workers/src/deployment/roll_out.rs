//! Roll out: the release's instances are started. They have no traffic yet.

use domain::deployment::step::Output;
use domain::service::Active;
use domain::service::release::{Instance, InstanceId, ReleaseNumber, Specification};
use domain::stream::StreamId;
use eventlog::logs::{LogName, SharedLogs};

use super::{InHand, environment};
use crate::context::Context;
use crate::key::StepKey;
use crate::output::Output as Lines;
use crate::runtime::InstanceRequest;
use crate::step::StepError;

/// Starts every instance of the release; those that an earlier attempt started are found and kept.
///
/// # Errors
/// [`StepError`] with the codes of [`crate::runtime::RuntimeError`].
pub async fn roll_out(step: &InHand<'_>) -> Result<Output, StepError> {
    let active = step.active().await?;
    let (number, specification) = cut_release(step, &active)?;
    let mut instances = vec![];
    for ordinal in 0..specification.replicas {
        let id = InstanceId { deployment: step.job.deployment, ordinal };
        let plan = StartPlan { service: step.service_stream(), active: &active, number, specification };
        let instance = start(step.context, step.key, id, None, &plan).await?;
        instances.push(instance);
    }
    let addresses: Vec<_> = instances.iter().map(|instance| instance.address.to_string()).collect();
    step.output.say(format!("started on {}", addresses.join(", "))).await;
    Ok(Output::RollOut { instances })
}

/// The release that this deployment has cut.
pub(super) fn cut_release<'a>(
    step: &InHand<'_>,
    active: &'a Active,
) -> Result<(ReleaseNumber, &'a Specification), StepError> {
    let turn = active.turn.as_ref().filter(|turn| turn.deployment == step.job.deployment);
    let cut = turn.and_then(|turn| turn.cut.as_ref());
    let lost = || StepError::permanent("release_lost", "the deployment does not have the turn any more");
    cut.map(|(number, specification)| (*number, &**specification)).ok_or_else(lost)
}

/// What is started.
pub(crate) struct StartPlan<'a> {
    /// The service's stream.
    pub(crate) service: StreamId,
    /// The service.
    pub(crate) active: &'a Active,
    /// The release.
    pub(crate) number: ReleaseNumber,
    /// What it fixes.
    pub(crate) specification: &'a Specification,
}

/// Starts one instance, its lines going to the service's log under `v3.0`.
pub(crate) async fn start(
    context: &Context,
    key: StepKey,
    id: InstanceId,
    address: Option<std::net::SocketAddr>,
    plan: &StartPlan<'_>,
) -> Result<Instance, StepError> {
    let StartPlan { service, active, number, specification } = plan;
    let request = InstanceRequest {
        id,
        start: specification.build.plan.run.start.clone(),
        environment: environment::of_release(context, *service, active, *number, specification).await?,
        address,
    };
    let origin = format!("{number}.{}", id.ordinal);
    let log = LogName::Application(service.id.into());
    let (lines, storing) = Lines::to(SharedLogs::clone(&context.logs), log, &origin);
    // Stores for as long as the instance runs; ends when the runtime drops its half.
    tokio::spawn(storing);
    Ok(context.runtime.start(key.fence, &request, lines).await?)
}
