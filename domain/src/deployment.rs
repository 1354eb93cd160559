//! A deployment: one attempt to make something of a service run.
//!
//! `Absent → Running → Live → Over`, or `Running (→ Stopping) → Undoing → Over`. A deployment that is over
//! never changes again; one that does not come to its end leaves nothing behind; one that went live is never
//! cancelled.

pub mod step;

mod decide;
mod evolve;
mod read;
mod rejection;
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

/// Something that was built before, was found missing, and is built again.
#[derive(Clone, Debug, PartialEq)]
pub struct Rebuilt {
    /// What it was, and how it came to be.
    pub build: Build,
    /// Which try of the cut found that out. The next one has a higher number: each try is one item of work.
    pub found_by: u32,
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
    /// What an earlier deployment had built and is built again, because it is not there any more.
    pub rebuilt: Option<Box<Rebuilt>>,
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
        "the deployment has gone live and cannot be cancelled; `switchback rollback` brings the release \
         before back"
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
        self.after(event)
    }
}
