//! Verify: the instances work. One that ends, never listens, or does not become healthy never gets traffic.

use std::time::Duration;

use domain::deployment::step::Output;
use domain::plan::Health;
use domain::service::release::Instance;
use tokio::time::Instant;

use super::health::{Answer, ask};
use super::{InHand, roll_out};
use crate::runtime::{InstanceState, Runtime};
use crate::step::StepError;

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// The pause grows to this while an instance takes its time.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Waits until every instance works.
///
/// # Errors
/// [`StepError`]: `instance_exited`, `wrong_port`, `never_listened`, `unhealthy`.
pub async fn verify(step: &InHand<'_>) -> Result<Output, StepError> {
    let active = step.active().await?;
    let (_, specification) = roll_out::cut_release(step, &active)?;
    let health = &specification.build.plan.run.health;
    for instance in &step.facts.instances {
        let limit = Duration::from_millis(health.timeout_ms);
        until_healthy(&*step.context.runtime, instance, health, limit).await?;
    }
    step.output.say("healthy").await;
    Ok(Output::Verify {})
}

async fn until_healthy(
    runtime: &dyn Runtime,
    instance: &Instance,
    health: &Health,
    limit: Duration,
) -> Result<(), StepError> {
    let deadline = Instant::now() + limit;
    let mut pause = PAUSE;
    loop {
        let listening = match runtime.state(instance.id).await? {
            InstanceState::Running { listening, .. } => listening,
            InstanceState::Exited { exit } => return Err(exited(&exit)),
            InstanceState::Absent => return Err(exited("and left nothing")),
        };
        let answer = ask(instance.address, health).await;
        if answer == Answer::Healthy {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(never(&answer, instance.address.port(), &listening, limit));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
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
                "the new release did not listen on port {port} within {limit} s; make it listen on the port in the \
                 variable PORT"
            ),
        ),
        Answer::Healthy | Answer::NotListening => {
            let found: Vec<_> = listening.iter().map(ToString::to_string).collect();
            let found = found.join(", ");
            StepError::permanent(
                "wrong_port",
                format!(
                    "the new release listens on port {found} instead of {port}; make it listen on the port in the \
                     variable PORT"
                ),
            )
        }
    }
}
