//! What deployments came to, derived from the events themselves.
//!
//! Each event is looked at once, by the process that appended it: two workers do not count the same thing
//! twice, and neither does a restart, which appends nothing again. How long something took is the time
//! between two events of the log, so a step that moved to another worker counts from when the other began.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::deployment::Event;
use domain::deployment::step::{Fence, Output, Step};
use domain::event::Event as AnyEvent;
use domain::service;
use domain::stream::{Recorded, StreamId, Version};
use eventlog::commit::Commit;
use eventlog::log::SharedLog;
use eventlog::measure::{Metric, Observer, WORK};
use tokio::sync::mpsc;
use tracing::debug;

/// How many commits may wait to be looked at; more than these are not counted.
const WAITING_MAX: usize = 1024;
/// How a deployment can end.
const ENDS: [&str; 3] = ["live", "failed", "cancelled"];

/// Deployments that ended.
pub const DEPLOYMENTS: Metric = Metric::counter(
    "switchback_deployments_total",
    &["outcome"],
    "Deployments that ended; outcome: live, failed, cancelled.",
);
/// How long they took.
pub const DEPLOYMENT_DURATION: Metric = Metric::histogram(
    "switchback_deployment_duration_seconds",
    WORK,
    &["outcome"],
    "Time from a deployment's turn to its end; outcome: live, failed, cancelled.",
);
/// Steps that ended.
pub const STEPS: Metric = Metric::counter(
    "switchback_steps_total",
    &["step", "outcome"],
    "Tries of steps that ended; outcome: succeeded, failed, undone, undo_failed.",
);
/// How long they took.
pub const STEP_DURATION: Metric = Metric::histogram(
    "switchback_step_duration_seconds",
    WORK,
    &["step", "outcome"],
    "Time from the start of a try of a step to its end; outcome as above.",
);
/// How long builds took.
pub const BUILD_DURATION: Metric = Metric::histogram(
    "switchback_build_duration_seconds",
    WORK,
    &["outcome"],
    "Time of the step that builds; outcome: built, reused, failed.",
);
/// Instances that ended by themselves.
pub const EXITS: Metric = Metric::counter(
    "switchback_instance_exits_total",
    &[],
    "Instances of live releases that ended by themselves.",
);
/// Instances that were started again.
pub const RESTARTS: Metric = Metric::counter(
    "switchback_instance_restarts_total",
    &[],
    "Instances of live releases that the reconciler started again.",
);

/// Who does what only one process does.
pub const LEADER: Metric = Metric::gauge(
    "switchback_leader",
    &["duty"],
    "1 while this process does what one process does for all; duty: router, reconciler.",
);

/// What this crate measures.
pub const METRICS: &[Metric] =
    &[DEPLOYMENTS, DEPLOYMENT_DURATION, STEPS, STEP_DURATION, BUILD_DURATION, EXITS, RESTARTS, LEADER];

/// A duty that is done for as long as this lives.
#[derive(Debug)]
pub(crate) struct Duty(&'static str);

impl Duty {
    pub(crate) fn begin(duty: &'static str) -> Self {
        LEADER.set(1.0, [duty]);
        Self(duty)
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        LEADER.set(0.0, [self.0]);
    }
}

/// Shows what can be shown before anything has happened.
pub fn begin() {
    for end in ENDS {
        DEPLOYMENTS.begin([end]);
        DEPLOYMENT_DURATION.begin([end]);
    }
    for step in Step::ALL {
        for outcome in ["succeeded", "failed"] {
            STEPS.begin([step.as_str(), outcome]);
            STEP_DURATION.begin([step.as_str(), outcome]);
        }
    }
    for outcome in ["built", "reused", "failed"] {
        BUILD_DURATION.begin([outcome]);
    }
    for duty in ["router", "reconciler"] {
        LEADER.begin([duty]);
    }
    EXITS.begin([]);
    RESTARTS.begin([]);
}

/// Looks at what is appended to a log, beside the way of the appends: nothing waits for it. It ends with the
/// observer.
#[must_use]
pub fn observer(log: SharedLog) -> Observer {
    let (sender, mut commits) = mpsc::channel::<(StreamId, Vec<Fact>)>(WAITING_MAX);
    tokio::spawn(async move {
        while let Some((stream, facts)) = commits.recv().await {
            look(&log, stream, facts).await;
        }
    });
    Box::new(move |commit: &Commit| {
        let facts: Vec<Fact> = commit.events.iter().filter_map(|(_, event)| fact(event, commit)).collect();
        if !facts.is_empty() && sender.try_send((commit.stream, facts)).is_err() {
            debug!("so much is appended that not everything is counted");
        }
    })
}

/// Something to be counted.
#[derive(Clone, Debug, PartialEq)]
enum Fact {
    /// A try of a step came to its end.
    Step { step: Step, fence: Fence, outcome: &'static str, build: Option<&'static str>, at: DateTime<Utc> },
    /// A deployment did.
    End { outcome: &'static str, at: DateTime<Utc> },
    /// An instance ended by itself.
    Exit,
}

fn fact(event: &AnyEvent, commit: &Commit) -> Option<Fact> {
    let at = commit.metadata.at;
    let ended = |step: Step, fence: Fence, outcome| {
        let build = (step == Step::Build && outcome == "failed").then_some("failed");
        Some(Fact::Step { step, fence, outcome, build, at })
    };
    match event {
        AnyEvent::Deployment(event) => match event {
            Event::StepSucceeded { fence, output } => {
                let build = match output {
                    Output::Build { reused: Some(_) } => Some("reused"),
                    Output::Build { reused: None } => Some("built"),
                    Output::Fetch { .. }
                    | Output::Detect { .. }
                    | Output::Push { .. }
                    | Output::Cut { .. }
                    | Output::ArtifactMissing { .. }
                    | Output::Prepare {}
                    | Output::RollOut { .. }
                    | Output::Verify {}
                    | Output::Activate {}
                    | Output::Retire {} => None,
                };
                Some(Fact::Step { step: output.step(), fence: *fence, outcome: "succeeded", build, at })
            }
            Event::StepFailed { step, fence, .. } => ended(*step, *fence, "failed"),
            Event::UndoSucceeded { step, fence } => ended(*step, *fence, "undone"),
            Event::UndoFailed { step, fence, .. } => ended(*step, *fence, "undo_failed"),
            Event::WentLive { .. } => Some(Fact::End { outcome: "live", at }),
            Event::Failed { .. } => Some(Fact::End { outcome: "failed", at }),
            Event::Cancelled { .. } => Some(Fact::End { outcome: "cancelled", at }),
            Event::Begun { .. }
            | Event::StepStarted { .. }
            | Event::UndoStarted { .. }
            | Event::CancelRequested { .. } => None,
        },
        AnyEvent::Service(service::Event::InstanceExited { .. }) => Some(Fact::Exit),
        AnyEvent::Service(_)
        | AnyEvent::User(_)
        | AnyEvent::Organization(_)
        | AnyEvent::Project(_)
        | AnyEvent::Claim(_) => None,
    }
}

/// Counts facts; how long something took is read from the stream. When that cannot be read, what happened
/// counts all the same.
async fn look(log: &SharedLog, stream: StreamId, facts: Vec<Fact>) {
    let times = facts.iter().any(|fact| *fact != Fact::Exit);
    let history = if times { log.read(&stream, Version::ZERO).await.ok() } else { None };
    let events = history.map(|slice| slice.events).unwrap_or_default();
    for fact in facts {
        match fact {
            Fact::Exit => EXITS.count::<&str, 0>([]),
            Fact::End { outcome, at } => {
                DEPLOYMENTS.count([outcome]);
                if let Some(took) = began(&events).and_then(|began| (at - began).to_std().ok()) {
                    DEPLOYMENT_DURATION.observe(took, [outcome]);
                }
            }
            Fact::Step { step, fence, outcome, build, at } => {
                STEPS.count([step.as_str(), outcome]);
                // A clock that was set back in between tells nothing.
                let took: Option<Duration> =
                    started(&events, fence).and_then(|began| (at - began).to_std().ok());
                if let Some(took) = took {
                    STEP_DURATION.observe(took, [step.as_str(), outcome]);
                    if let Some(build) = build {
                        BUILD_DURATION.observe(took, [build]);
                    }
                }
            }
        }
    }
}

fn began(events: &[Recorded]) -> Option<DateTime<Utc>> {
    let begun = |recorded: &&Recorded| matches!(recorded.event, AnyEvent::Deployment(Event::Begun { .. }));
    events.iter().find(begun).map(|recorded| recorded.at)
}

fn started(events: &[Recorded], by: Fence) -> Option<DateTime<Utc>> {
    let starts = |recorded: &&Recorded| {
        matches!(
            &recorded.event,
            AnyEvent::Deployment(Event::StepStarted { fence, .. } | Event::UndoStarted { fence, .. })
                if *fence == by
        )
    };
    events.iter().rev().find(starts).map(|recorded| recorded.at)
}

/// A log that counts what deployments come to, for a process that works.
#[must_use]
pub fn measured(log: SharedLog) -> SharedLog {
    let observer = observer(SharedLog::clone(&log));
    Arc::new(eventlog::measured::MeasuredLog::new(log, Some(observer)))
}
