//! What a deployment is after an event.

use chrono::{DateTime, Utc};

use super::step::{Fence, Output, Step};
use super::{CancelReason, Deployment, Event, Facts, Progress, Rebuilt, Task, Why, Work, first_step};
use crate::id::ServiceId;
use crate::service::Subject;

impl Deployment {
    pub(super) fn after(self, event: &Event) -> Self {
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

impl Task {
    fn ready(work: Work) -> Self {
        Self { work, attempt: 1, progress: Progress::Ready { not_before: None } }
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
        rebuilt: None,
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
            Output::ArtifactMissing { build } => {
                self.revision.clone_from(&build.revision);
                self.plan = Some(Box::new(build.plan.clone()));
                self.reused = None;
                self.artifact = None;
            }
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

/// What is to be done after a step. What is built again keeps its plan, so nothing is detected; and its cut
/// comes a second time.
fn next(facts: &mut Facts, task: Task, output: &Output) -> Task {
    if let Output::ArtifactMissing { build } = output {
        let rebuilt = Rebuilt { build: (**build).clone(), found_by: task.attempt };
        facts.rebuilt = Some(Box::new(rebuilt));
        return Task::ready(Work::Do(Step::Fetch));
    }
    let step = match (output.step(), &facts.rebuilt) {
        (Step::Fetch, Some(_)) => Some(Step::Build),
        (step, _) => step.next(),
    };
    match (step, &facts.rebuilt) {
        (Some(Step::Cut), Some(rebuilt)) => {
            Task { attempt: rebuilt.found_by + 1, ..Task::ready(Work::Do(Step::Cut)) }
        }
        (Some(step), _) => Task::ready(Work::Do(step)),
        (None, _) => task,
    }
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
            task = next(&mut facts, task, output);
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
