//! What has happened: events of a service and of a deployment, one by one and as whole histories.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::values::{
    ENVIRONMENT, ORGANIZATION, PROJECT, SERVICE, artifact, build, deployment, from_source, hostname,
    instances, plan, revision, specification,
};
use super::{NOW, context};
use crate::deployment::step::{Fence, Output, Step};
use crate::deployment::{self as deployments, first_step};
use crate::id::{CommandId, CommitId, CorrelationId, EventId};
use crate::name::VariableName;
use crate::secret::Sealed;
use crate::service::release::ReleaseNumber;
use crate::service::{self as services, Outcome, Subject};
use crate::stream::{Position, Recorded, StreamId, Version};

/// How long a step may take in tests.
pub const LIMIT_MS: u32 = 60_000;

/// The service exists.
///
/// # Panics
/// Never.
#[must_use]
pub fn created() -> services::Event {
    services::Event::Created {
        project: PROJECT,
        environment: ENVIRONMENT,
        name: "web".parse().expect("a name"),
        hostname: hostname(),
    }
}

/// Somebody wants the n-th deployment, out of the repository.
#[must_use]
pub fn requested(n: u32) -> services::Event {
    services::Event::DeploymentRequested { deployment: deployment(n), subject: from_source() }
}

/// The n-th deployment has the turn.
#[must_use]
pub fn admitted(n: u32) -> services::Event {
    services::Event::DeploymentAdmitted { deployment: deployment(n) }
}

/// The n-th deployment cut this release of the n-th build.
#[must_use]
pub fn cut(n: u32, release: u32, variables: BTreeMap<VariableName, Sealed>) -> services::Event {
    services::Event::ReleaseCut {
        release: ReleaseNumber(release),
        deployment: deployment(n),
        specification: Box::new(specification(n, variables)),
    }
}

/// The n-th deployment moved the traffic to its release.
#[must_use]
pub fn activated(n: u32, release: u32) -> services::Event {
    let release = ReleaseNumber(release);
    services::Event::ReleaseActivated { release, deployment: deployment(n), instances: instances(n, 1) }
}

/// The n-th deployment gave the turn back.
#[must_use]
pub fn ended(n: u32, outcome: Outcome) -> services::Event {
    services::Event::DeploymentEnded { deployment: deployment(n), outcome }
}

/// A service whose newest release is the n-th: all went live one after the other, each by the deployment of
/// its number. With 0 it only exists.
#[must_use]
pub fn service_with_release(n: u32) -> Vec<services::Event> {
    let release = |n| {
        [requested(n), admitted(n), cut(n, n, BTreeMap::new()), activated(n, n), ended(n, Outcome::Succeeded)]
    };
    [created()].into_iter().chain((1..=n).flat_map(release)).collect()
}

/// A worker takes up a step for the first time, with this fence.
#[must_use]
pub fn step_started(step: Step, attempt: u32, fence: u32, now: DateTime<Utc>) -> deployments::Event {
    let deadline = now + TimeDelta::milliseconds(i64::from(LIMIT_MS));
    deployments::Event::StepStarted { step, attempt, fence: Fence(fence), deadline }
}

/// What a step of the n-th deployment finds out.
#[must_use]
pub fn output(step: Step, n: u32) -> Output {
    match step {
        Step::Fetch => Output::Fetch { revision: Some(revision(n)) },
        Step::Detect => Output::Detect { plan: Box::new(plan()) },
        Step::Build => Output::Build { reused: None },
        Step::Push => Output::Push { artifact: artifact(n) },
        Step::Cut => Output::Cut { release: ReleaseNumber(n) },
        Step::Prepare => Output::Prepare {},
        Step::RollOut => Output::RollOut { instances: instances(n, 1) },
        Step::Verify => Output::Verify {},
        Step::Activate => Output::Activate {},
        Step::Retire => Output::Retire {},
    }
}

/// A deployment out of the repository that has done every step before `step`, each at the first try and with
/// the fence that is its place in the order, from 1.
#[must_use]
pub fn deployment_before(step: Step) -> Vec<deployments::Event> {
    deployment_of(from_source(), step)
}

/// The same for anything else that a deployment can bring.
#[must_use]
pub fn deployment_of(subject: Subject, before: Step) -> Vec<deployments::Event> {
    let first = first_step(&subject);
    let steps = Step::ALL.into_iter().filter(|step| (first..before).contains(step));
    let mut events = vec![deployments::Event::Begun { service: SERVICE, subject }];
    for (fence, step) in (1..).zip(steps) {
        events.push(step_started(step, 1, fence, NOW));
        events.push(deployments::Event::StepSucceeded { fence: Fence(fence), output: output(step, 1) });
        if step == Step::Activate {
            events.push(deployments::Event::WentLive { release: ReleaseNumber(1) });
        }
    }
    events
}

/// A deployment that is doing `step`, at the first try.
#[must_use]
pub fn deployment_doing(step: Step) -> Vec<deployments::Event> {
    let mut events = deployment_before(step);
    let fence = (1..).zip(Step::ALL).find(|(_, s)| *s == step).map_or(1, |(fence, _)| fence);
    events.push(step_started(step, 1, fence, NOW));
    events
}

/// The subject of a deployment that brings back what the n-th release ran.
#[must_use]
pub fn back_to(n: u32) -> Subject {
    Subject::Release { release: ReleaseNumber(n), build: Box::new(build(n)) }
}

/// A service's events as they stand in the log: one to a commit, a minute apart, the first at [`NOW`] and
/// position 1.
#[must_use]
pub fn recorded(events: impl IntoIterator<Item = services::Event>) -> Vec<Recorded<services::Event>> {
    recorded_in(StreamId::service(ORGANIZATION, SERVICE), events)
}

/// The same for any stream and any event.
#[must_use]
pub fn recorded_in<E>(stream: StreamId, events: impl IntoIterator<Item = E>) -> Vec<Recorded<E>> {
    let record = |(n, event): (u32, E)| {
        let id = Uuid::from_u128(0xe000_0000 + u128::from(n));
        Recorded {
            id: EventId(id),
            stream,
            version: Version(u64::from(n)),
            position: Position(u64::from(n)),
            commit: CommitId(id),
            at: NOW + TimeDelta::minutes(i64::from(n) - 1),
            actor: context().actor,
            command: CommandId(id),
            correlation: CorrelationId(id),
            causation: None,
            traceparent: None,
            event,
        }
    };
    (1..).zip(events).map(record).collect()
}
