//! Verify: the instances work. One that ends, never listens, or does not become healthy never gets traffic.

use std::time::Duration;

use domain::deployment::step::Output;
use domain::service::release::Instance;
use tokio::time::Instant;

use super::health::{Answer, ask};
use super::roll_out::StartPlan;
use super::{InHand, roll_out};
use crate::runtime::InstanceState;
use crate::step::StepError;

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// The pause grows to this while an instance takes its time.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Waits until every instance works.
///
/// # Errors
/// [`StepError`]: `instance_exited`, `wrong_port`, `wrong_address`, `never_listened`, `unhealthy`.
pub async fn verify(step: &InHand<'_>) -> Result<Output, StepError> {
    healthy_instances(step).await?;
    step.output.say("healthy").await;
    Ok(Output::Verify {})
}

/// The instances of the release, each seen to work, and where they are now. One that is not there at all,
/// because it ended with the platform, is started again; one that ended by itself is not.
///
/// # Errors
/// As [`verify`].
pub(super) async fn healthy_instances(step: &InHand<'_>) -> Result<Vec<Instance>, StepError> {
    let active = step.active().await?;
    let (number, specification) = roll_out::cut_release(step, &active)?;
    let plan = StartPlan { service: step.service_stream(), active: &active, number, specification };
    let mut healthy = vec![];
    for instance in &step.facts.instances {
        healthy.push(until_healthy(step, *instance, &plan).await?);
    }
    Ok(healthy)
}

async fn until_healthy(
    step: &InHand<'_>,
    mut instance: Instance,
    plan: &StartPlan<'_>,
) -> Result<Instance, StepError> {
    let (context, health) = (step.context, &plan.specification.build.plan.run.health);
    let limit = Duration::from_millis(health.timeout_ms);
    let deadline = Instant::now() + limit;
    let mut pause = PAUSE;
    loop {
        let answer = match look(step, &mut instance, plan).await {
            Ok(answer) => answer,
            // What runs it is away for a moment: that says nothing of the release.
            Err(error) if !error.permanent && Instant::now() < deadline => Answer::NotListening,
            Err(error) => return Err(error),
        };
        if answer == Answer::Healthy {
            return Ok(instance);
        }
        if Instant::now() >= deadline {
            let listening = context.runtime.listening(instance.id).await?;
            return Err(never(&answer, instance.address.port(), &listening, limit));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(PAUSE_MAX);
    }
}

/// How an instance answers; one that is not there is started first.
async fn look(step: &InHand<'_>, instance: &mut Instance, plan: &StartPlan<'_>) -> Result<Answer, StepError> {
    match step.context.runtime.state(instance.id).await? {
        InstanceState::Running { address } => instance.address = address,
        InstanceState::Exited { exit } => return Err(exited(&exit)),
        InstanceState::Absent => {
            let at = Some(instance.address);
            *instance = roll_out::start(step.context, step.key, instance.id, at, plan).await?;
        }
    }
    Ok(ask(instance.address, &plan.specification.build.plan.run.health).await)
}

fn exited(how: &str) -> StepError {
    StepError::permanent(
        "instance_exited",
        format!(
            "the new release ended by itself ({how}) before it was ready; the last lines of its log say why"
        ),
    )
}

fn never(answer: &Answer, port: u16, listening: &[u16], limit: Duration) -> StepError {
    let limit = limit.as_secs_f64();
    match answer {
        Answer::Unhealthy(how) => StepError::permanent(
            "unhealthy",
            format!("the new release was not healthy within {limit} s: {how}"),
        ),
        Answer::Healthy | Answer::NotListening if listening.is_empty() => StepError::permanent(
            "never_listened",
            format!(
                "the new release did not listen on port {port} within {limit} s; make it listen on \
                 the port in the variable PORT"
            ),
        ),
        Answer::Healthy | Answer::NotListening if listening.contains(&port) => StepError::permanent(
            "wrong_address",
            format!(
                "the new release listens on port {port}, but only on an address of its own such as \
                 127.0.0.1, where nobody reaches it; make it listen on 0.0.0.0"
            ),
        ),
        Answer::Healthy | Answer::NotListening => {
            let found: Vec<_> = listening.iter().map(ToString::to_string).collect();
            let found = found.join(", ");
            StepError::permanent(
                "wrong_port",
                format!(
                    "the new release listens on port {found} instead of {port}; make it listen on \
                     the port in the variable PORT"
                ),
            )
        }
    }
}
