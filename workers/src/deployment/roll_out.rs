//! Roll out: the release's instances are started. They have no traffic yet.

use domain::deployment::step::Output;
use domain::id::ServiceId;
use domain::service::Active;
use domain::service::release::{Instance, InstanceId, ReleaseNumber, Specification};
use domain::stream::StreamId;
use eventlog::logs::{LogName, SharedLogs};

use super::{InHand, environment};
use crate::context::Context;
use crate::key::StepKey;
use crate::output::{Output as Lines, stored_until};
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
    let lines = lines(context, service.id.into(), *number, id);
    let instance = context.runtime.start(key.fence, &request, lines).await?;
    // It may be one that another process has started.
    attach(context, service.id.into(), *number, id).await?;
    Ok(instance)
}

/// Where the lines of an instance go. They are stored for as long as the runtime holds it.
pub(crate) fn lines(context: &Context, service: ServiceId, number: ReleaseNumber, id: InstanceId) -> Lines {
    let (log, origin) = place(service, number, id);
    let (lines, storing) = Lines::to(SharedLogs::clone(&context.logs), log, &origin);
    tokio::spawn(storing);
    lines
}

fn place(service: ServiceId, number: ReleaseNumber, id: InstanceId) -> (LogName, String) {
    (LogName::Application(service), format!("{number}.{}", id.ordinal))
}

/// Sees to it that what an instance prints is stored, from where the store ends.
///
/// # Errors
/// [`StepError`].
pub(crate) async fn attach(
    context: &Context,
    service: ServiceId,
    number: ReleaseNumber,
    id: InstanceId,
) -> Result<(), StepError> {
    if context.runtime.is_attached(id) {
        return Ok(());
    }
    let (log, origin) = place(service, number, id);
    let stored = stored_until(&*context.logs, log, &origin).await.map_err(|error| StepError {
        code: "log_unavailable",
        message: format!("what {origin} has printed cannot be read: {error}"),
        permanent: false,
        source: Some(Box::new(error)),
    })?;
    Ok(context.runtime.attach(id, stored, lines(context, service, number, id)).await?)
}
