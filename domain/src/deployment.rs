//! A deployment: one attempt to make something of a service run.
//!
//! `Absent → Running → Live → Over`, or `Running (→ Stopping) → Undoing → Over`. A deployment that is over never
//! changes again; one that does not come to its end leaves nothing behind; one that went live is never cancelled.

pub mod step;

mod decide;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::step::{Failure, Fence, Output, Step};
use crate::aggregate::Aggregate;
use crate::context::Context;
use crate::digest::Digest;
use crate::id::ServiceId;
use crate::plan::Plan;
use crate::rejection::{self, Kind};
use crate::service::Subject;
use crate::service::release::{Build, Instance, ReleaseNumber};
use crate::source::Revision;
use crate::stream::AggregateKind;

/// Why a deployment is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// Somebody asked for it.
    Requested,
    /// Its service was deleted.
    ServiceDeleted,
}

/// What is to be done for a step: the step itself, or taking away what it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// The step.
    Do(Step),
    /// Its compensation.
    Undo(Step),
}

impl Work {
    /// The step it is about.
    #[must_use]
    pub const fn step(self) -> Step {
        match self {
            Self::Do(step) | Self::Undo(step) => step,
        }
    }
}

/// Orders.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Begin: the service has given it the turn.
    Begin {
        /// The service.
        service: ServiceId,
        /// What it brings.
        subject: Subject,
    },
    /// A worker takes up what is to be done next, or takes it over from one that is gone.
    Start {
        /// What.
        work: Work,
        /// How long it may take, in milliseconds.
        limit_ms: u32,
    },
    /// The worker has done the step.
    Complete {
        /// The worker's fence.
        fence: Fence,
        /// What it found out.
        output: Output,
    },
    /// The worker has taken away what the step left.
    CompleteUndo {
        /// The step.
        step: Step,
        /// The worker's fence.
        fence: Fence,
    },
    /// The worker could not.
    Fail {
        /// What.
        work: Work,
        /// The worker's fence.
        fence: Fence,
        /// Why.
        failure: Failure,
    },
    /// Stop it.
    Cancel {
        /// Why.
        reason: CancelReason,
    },
}

/// Facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It has begun.
    Begun {
        /// The service.
        service: ServiceId,
        /// What it brings.
        subject: Subject,
    },
    /// A worker is about to do a step. Stands in the log before anything of it is done.
    StepStarted {
        /// The step.
        step: Step,
        /// The how-manieth try.
        attempt: u32,
        /// The worker's fence.
        fence: Fence,
        /// When it will be ended.
        deadline: DateTime<Utc>,
    },
    /// The step is done.
    StepSucceeded {
        /// The worker's fence.
        fence: Fence,
        /// What it found out, and which step it was.
        output: Output,
    },
    /// The step failed.
    StepFailed {
        /// The step.
        step: Step,
        /// The worker's fence.
        fence: Fence,
        /// Why.
        failure: Failure,
        /// When it is tried again; never, when it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<DateTime<Utc>>,
    },
    /// It is to be stopped.
    CancelRequested {
        /// Why.
        reason: CancelReason,
    },
    /// A worker is about to take away what a step left.
    UndoStarted {
        /// The step.
        step: Step,
        /// The how-manieth try.
        attempt: u32,
        /// The worker's fence.
        fence: Fence,
        /// When it will be ended.
        deadline: DateTime<Utc>,
    },
    /// Nothing of the step is left.
    UndoSucceeded {
        /// The step.
        step: Step,
        /// The worker's fence.
        fence: Fence,
    },
    /// Something of the step may be left.
    UndoFailed {
        /// The step.
        step: Step,
        /// The worker's fence.
        fence: Fence,
        /// Why.
        failure: Failure,
        /// When it is tried again; when it is not said, it is parked and an operator has to look.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<DateTime<Utc>>,
    },
    /// Its release has the traffic.
    WentLive {
        /// The release.
        release: ReleaseNumber,
    },
    /// It failed, and what it left was taken away.
    Failed {
        /// The step that failed.
        step: Step,
        /// Why.
        failure: Failure,
    },
    /// It was stopped, and what it left was taken away.
    Cancelled {
        /// Why.
        reason: CancelReason,
    },
}

/// How far one piece of work is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// To be taken up.
    Ready {
        /// Not before this.
        not_before: Option<DateTime<Utc>>,
    },
    /// Taken up.
    Underway {
        /// By the worker with this fence.
        fence: Fence,
        /// When it will be ended.
        deadline: DateTime<Utc>,
    },
}

/// One piece of work, the how-manieth try of it, and how far that is.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What is to be done.
    pub work: Work,
    /// The how-manieth try, from 1.
    pub attempt: u32,
    /// How far it is.
    pub progress: Progress,
}

/// What a deployment does not come to its end for.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// A step failed.
    Failed {
        /// Which.
        step: Step,
        /// Why.
        failure: Failure,
    },
    /// It was stopped.
    Cancelled {
        /// Why.
        reason: CancelReason,
    },
}

/// What a deployment is about and has found out so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The service.
    pub service: ServiceId,
    /// What it brings.
    pub subject: Subject,
    /// The highest fence given out.
    pub fence: Fence,
    /// Steps that may have left something, oldest first.
    pub started: Vec<Step>,
    /// The revision that was fetched.
    pub revision: Option<Revision>,
    /// How it is built and run.
    pub plan: Option<Box<Plan>>,
    /// The artifact of an earlier build that was the same.
    pub reused: Option<Digest>,
    /// What was built.
    pub artifact: Option<Digest>,
    /// The release that was cut.
    pub release: Option<ReleaseNumber>,
    /// What was started.
    pub instances: Vec<Instance>,
}

/// The state of a deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Deployment {
    /// Not begun.
    #[default]
    Absent,
    /// Going from step to step.
    Running {
        /// What is known.
        facts: Box<Facts>,
        /// What is done now.
        task: Task,
    },
    /// To be stopped, while a worker still has a step in hand.
    Stopping {
        /// What is known.
        facts: Box<Facts>,
        /// What the worker has in hand.
        task: Task,
        /// Why.
        reason: CancelReason,
    },
    /// Taking away what it left.
    Undoing {
        /// What is known.
        facts: Box<Facts>,
        /// What is done now.
        task: Task,
        /// What is to be undone after that, next one last.
        rest: Vec<Step>,
        /// Why.
        why: Why,
    },
    /// Has the traffic; the release before is being retired.
    Live {
        /// What is known.
        facts: Box<Facts>,
        /// The retiring.
        task: Task,
    },
    /// Nothing is left to be done.
    Over {
        /// What is known.
        facts: Box<Facts>,
        /// Why it did not come to its end; it did, when nothing is said.
        why: Option<Why>,
    },
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// Not there.
    #[error("there is no such deployment; `switchback deployments` shows those there are")]
    NotFound,
    /// Another of the same id.
    #[error("a deployment of this id has begun already, for something else")]
    AlreadyBegun,
    /// Nothing can be changed any more.
    #[error("the deployment is over, so there is nothing left to stop")]
    Over,
    /// Its traffic moves or has moved.
    #[error(
        "the deployment has gone live and cannot be cancelled; `switchback rollback` brings the release before back"
    )]
    WentLive,
    /// The worker is not the one that has the work in hand.
    #[error("another worker has taken this over (fence {given:?}, the newest is {newest:?})")]
    Fenced {
        /// The worker's fence.
        given: Fence,
        /// The newest.
        newest: Fence,
    },
    /// Not what is to be done now.
    #[error("{0:?} is not what is to be done now")]
    NotNow(Work),
}

impl rejection::Rejection for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "deployment_not_found",
            Self::AlreadyBegun => "deployment_begun",
            Self::Over => "deployment_over",
            Self::WentLive => "deployment_went_live",
            Self::Fenced { .. } => "deployment_fenced",
            Self::NotNow(_) => "deployment_not_now",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NotFound => Kind::NotFound,
            Self::AlreadyBegun | Self::Over | Self::WentLive | Self::Fenced { .. } | Self::NotNow(_) => {
                Kind::Conflict
            }
        }
    }
}

impl Deployment {
    /// What is known of it.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Absent => None,
            Self::Running { facts, .. }
            | Self::Stopping { facts, .. }
            | Self::Undoing { facts, .. }
            | Self::Live { facts, .. }
            | Self::Over { facts, .. } => Some(facts),
        }
    }

    /// What is to be done now, or is being done.
    #[must_use]
    pub fn task(&self) -> Option<&Task> {
        match self {
            Self::Absent | Self::Over { .. } => None,
            Self::Running { task, .. }
            | Self::Stopping { task, .. }
            | Self::Undoing { task, .. }
            | Self::Live { task, .. } => Some(task),
        }
    }

    /// Whether whoever has a step of it in hand should let go.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        matches!(self, Self::Stopping { .. })
    }
}

impl Facts {
    /// What was built, once it was.
    #[must_use]
    pub fn build(&self) -> Option<Build> {
        let Subject::Source { source, .. } = &self.subject else { return None };
        Some(Build {
            artifact: self.artifact.clone()?,
            source: source.clone(),
            revision: self.revision.clone(),
            plan: self.plan.as_deref()?.clone(),
        })
    }
}

impl Task {
    fn ready(work: Work) -> Self {
        Self { work, attempt: 1, progress: Progress::Ready { not_before: None } }
    }

    /// The fence of the worker that has it in hand.
    #[must_use]
    pub const fn fence(&self) -> Option<Fence> {
        match self.progress {
            Progress::Ready { .. } => None,
            Progress::Underway { fence, .. } => Some(fence),
        }
    }
}

/// The first step of a deployment that brings `subject`: what is built already is not built again.
#[must_use]
pub const fn first_step(subject: &Subject) -> Step {
    match subject {
        Subject::Source { .. } => Step::Fetch,
        Subject::Configuration {} | Subject::Release { .. } => Step::Cut,
    }
}

impl Aggregate for Deployment {
    const KIND: AggregateKind = AggregateKind::Deployment;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, ctx: &Context) -> Result<Vec<Event>, Rejection> {
        self.decide_command(command, ctx)
    }

    fn evolve(self, event: &Event) -> Self {
        match (self, event) {
            (Self::Absent, Event::Begun { service, subject }) => begun(*service, subject),
            (other @ (Self::Absent | Self::Over { .. }), _) => other,
            (Self::Running { facts, task }, event) => forward(facts, task, event),
            (Self::Stopping { facts, task, reason }, event) => stopping(facts, task, reason, event),
            (Self::Undoing { facts, task, rest, why }, event) => undoing(facts, task, rest, why, event),
            (Self::Live { facts, task }, event) => live(facts, task, event),
        }
    }
}

fn begun(service: ServiceId, subject: &Subject) -> Deployment {
    let facts = Facts {
        service,
        subject: subject.clone(),
        fence: Fence::default(),
        started: vec![],
        revision: None,
        plan: None,
        reused: None,
        artifact: None,
        release: None,
        instances: vec![],
    };
    let task = Task::ready(Work::Do(first_step(subject)));
    Deployment::Running { facts: Box::new(facts), task }
}

impl Facts {
    fn learn(&mut self, output: &Output) {
        match output {
            Output::Fetch { revision } => self.revision.clone_from(revision),
            Output::Detect { plan } => self.plan = Some(plan.clone()),
            Output::Build { reused } => self.reused.clone_from(reused),
            Output::Push { artifact } => self.artifact = Some(artifact.clone()),
            Output::Cut { release } => self.release = Some(*release),
            Output::RollOut { instances } => self.instances.clone_from(instances),
            Output::Prepare {} | Output::Verify {} | Output::Activate {} | Output::Retire {} => {}
        }
    }

    fn start(&mut self, step: Step, fence: Fence) {
        self.fence = fence;
        if step.leaves_something() && !self.started.contains(&step) {
            self.started.push(step);
        }
    }
}

/// Takes up `task`, or takes it over.
fn underway(task: &mut Task, attempt: u32, fence: Fence, deadline: DateTime<Utc>) {
    task.attempt = attempt;
    task.progress = Progress::Underway { fence, deadline };
}

fn retry(task: &mut Task, retry_at: DateTime<Utc>) {
    task.attempt += 1;
    task.progress = Progress::Ready { not_before: Some(retry_at) };
}

/// Begins to take away what was left, the newest first.
fn undo(facts: Box<Facts>, why: Why) -> Deployment {
    let mut rest = facts.started.clone();
    match rest.pop() {
        Some(step) => Deployment::Undoing { facts, task: Task::ready(Work::Undo(step)), rest, why },
        None => Deployment::Over { facts, why: Some(why) },
    }
}

fn forward(mut facts: Box<Facts>, mut task: Task, event: &Event) -> Deployment {
    match event {
        Event::StepStarted { step, attempt, fence, deadline } => {
            facts.start(*step, *fence);
            underway(&mut task, *attempt, *fence, *deadline);
        }
        Event::StepSucceeded { output, .. } => {
            facts.learn(output);
            if let Some(next) = output.step().next() {
                task = Task::ready(Work::Do(next));
            }
        }
        Event::StepFailed { retry_at: Some(retry_at), .. } => retry(&mut task, *retry_at),
        Event::StepFailed { step, failure, retry_at: None, .. } => {
            return undo(facts, Why::Failed { step: *step, failure: failure.clone() });
        }
        Event::CancelRequested { reason } => {
            return match task.progress {
                Progress::Underway { .. } => Deployment::Stopping { facts, task, reason: *reason },
                Progress::Ready { .. } => undo(facts, Why::Cancelled { reason: *reason }),
            };
        }
        Event::WentLive { .. } => return Deployment::Live { facts, task },
        Event::Begun { .. }
        | Event::UndoStarted { .. }
        | Event::UndoSucceeded { .. }
        | Event::UndoFailed { .. }
        | Event::Failed { .. }
        | Event::Cancelled { .. } => {}
    }
    Deployment::Running { facts, task }
}

fn stopping(mut facts: Box<Facts>, mut task: Task, reason: CancelReason, event: &Event) -> Deployment {
    match event {
        Event::StepStarted { step, attempt, fence, deadline } => {
            facts.start(*step, *fence);
            underway(&mut task, *attempt, *fence, *deadline);
        }
        Event::StepSucceeded { output, .. } => {
            facts.learn(output);
            return undo(facts, Why::Cancelled { reason });
        }
        Event::StepFailed { .. } => return undo(facts, Why::Cancelled { reason }),
        Event::Begun { .. }
        | Event::CancelRequested { .. }
        | Event::UndoStarted { .. }
        | Event::UndoSucceeded { .. }
        | Event::UndoFailed { .. }
        | Event::WentLive { .. }
        | Event::Failed { .. }
        | Event::Cancelled { .. } => {}
    }
    Deployment::Stopping { facts, task, reason }
}

fn undoing(
    mut facts: Box<Facts>,
    mut task: Task,
    mut rest: Vec<Step>,
    why: Why,
    event: &Event,
) -> Deployment {
    match event {
        Event::UndoStarted { attempt, fence, deadline, .. } => {
            facts.fence = *fence;
            underway(&mut task, *attempt, *fence, *deadline);
        }
        Event::UndoSucceeded { .. } | Event::UndoFailed { retry_at: None, .. } => {
            if let Some(step) = rest.pop() {
                task = Task::ready(Work::Undo(step));
            }
        }
        Event::UndoFailed { retry_at: Some(retry_at), .. } => retry(&mut task, *retry_at),
        Event::Failed { .. } | Event::Cancelled { .. } => {
            return Deployment::Over { facts, why: Some(why) };
        }
        Event::Begun { .. }
        | Event::StepStarted { .. }
        | Event::StepSucceeded { .. }
        | Event::StepFailed { .. }
        | Event::CancelRequested { .. }
        | Event::WentLive { .. } => {}
    }
    Deployment::Undoing { facts, task, rest, why }
}

fn live(mut facts: Box<Facts>, mut task: Task, event: &Event) -> Deployment {
    match event {
        Event::StepStarted { attempt, fence, deadline, .. } => {
            facts.fence = *fence;
            underway(&mut task, *attempt, *fence, *deadline);
        }
        Event::StepFailed { retry_at: Some(retry_at), .. } => retry(&mut task, *retry_at),
        Event::StepSucceeded { .. } | Event::StepFailed { retry_at: None, .. } => {
            return Deployment::Over { facts, why: None };
        }
        Event::Begun { .. }
        | Event::CancelRequested { .. }
        | Event::UndoStarted { .. }
        | Event::UndoSucceeded { .. }
        | Event::UndoFailed { .. }
        | Event::WentLive { .. }
        | Event::Failed { .. }
        | Event::Cancelled { .. } => {}
    }
    Deployment::Live { facts, task }
}
