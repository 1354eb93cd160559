//! What follows from a command to a deployment.

use chrono::{DateTime, TimeDelta, Utc};

use super::step::{Failure, Fence, Output, Step, UNDO_ATTEMPTS, backoff};
use super::{CancelReason, Command, Deployment, Event, Facts, Progress, Rejection, Task, Why, Work};
use crate::context::Context;

type Decision = Result<Vec<Event>, Rejection>;

impl Deployment {
    pub(super) fn decide_command(&self, command: Command, ctx: &Context) -> Decision {
        match (self, command) {
            (Self::Absent, Command::Begin { service, subject }) => {
                Ok(vec![Event::Begun { service, subject }])
            }
            (Self::Absent, _) => Err(Rejection::NotFound),
            (state, Command::Begin { service, subject }) => match state.facts() {
                Some(facts) if facts.service == service && facts.subject == subject => Ok(vec![]),
                Some(_) | None => Err(Rejection::AlreadyBegun),
            },
            (Self::Over { why: Some(Why::Cancelled { .. }), .. }, Command::Cancel { .. }) => Ok(vec![]),
            (Self::Over { why: None, .. }, Command::Cancel { .. }) => Err(Rejection::WentLive),
            (Self::Over { .. }, _) => Err(Rejection::Over),
            (Self::Running { facts, task }, Command::Cancel { reason }) => cancel(facts, task, reason),
            (Self::Stopping { .. }, Command::Cancel { .. }) => Ok(vec![]), // Already on its way.
            (Self::Undoing { why: Why::Cancelled { .. }, .. }, Command::Cancel { .. }) => Ok(vec![]),
            (Self::Undoing { .. }, Command::Cancel { .. }) => Err(Rejection::Over),
            (Self::Live { .. }, Command::Cancel { .. }) => Err(Rejection::WentLive),
            (state, Command::Start { work, limit_ms }) => state.start(work, limit_ms, ctx.now),
            (state, Command::Complete { fence, output }) => state.complete(fence, output),
            (state, Command::CompleteUndo { step, fence }) => state.complete_undo(step, fence),
            (state, Command::Fail { work, fence, failure }) => state.fail(work, fence, failure, ctx.now),
        }
    }

    fn start(&self, work: Work, limit_ms: u32, now: DateTime<Utc>) -> Decision {
        let (Some(task), Some(facts)) = (self.task(), self.facts()) else { return Err(Rejection::Over) };
        if task.work != work {
            return Err(Rejection::NotNow(work));
        }
        let (attempt, fence) = (task.attempt, facts.fence.next());
        let deadline = now + TimeDelta::milliseconds(i64::from(limit_ms));
        Ok(vec![match work {
            Work::Do(step) => Event::StepStarted { step, attempt, fence, deadline },
            Work::Undo(step) => Event::UndoStarted { step, attempt, fence, deadline },
        }])
    }

    /// The task, when it is this work and the worker with this fence has it in hand.
    fn in_hand(&self, work: Work, fence: Fence) -> Result<&Task, Rejection> {
        let (Some(task), Some(facts)) = (self.task(), self.facts()) else { return Err(Rejection::Over) };
        if task.work != work {
            return Err(Rejection::NotNow(work));
        }
        match task.progress {
            Progress::Underway { fence: current, .. } if current == fence => Ok(task),
            Progress::Underway { .. } | Progress::Ready { .. } => {
                Err(Rejection::Fenced { given: fence, newest: facts.fence })
            }
        }
    }

    fn complete(&self, fence: Fence, output: Output) -> Decision {
        let step = output.step();
        self.in_hand(Work::Do(step), fence)?;
        let facts = self.facts().ok_or(Rejection::NotFound)?;
        let built_here = facts.rebuilt.is_some() || (facts.artifact.is_some() && facts.reused.is_none());
        if matches!(output, Output::ArtifactMissing { .. }) && built_here {
            return Err(Rejection::NotNow(Work::Do(step))); // Building it again would go on for ever.
        }
        let mut events = vec![Event::StepSucceeded { fence, output }];
        match (self, facts.release) {
            (Self::Running { .. }, Some(release)) if step == Step::Activate => {
                events.push(Event::WentLive { release });
            }
            (Self::Stopping { reason, .. }, _) if facts.started.is_empty() => {
                events.push(Event::Cancelled { reason: *reason });
            }
            _ => {}
        }
        Ok(events)
    }

    fn complete_undo(&self, step: Step, fence: Fence) -> Decision {
        self.in_hand(Work::Undo(step), fence)?;
        Ok([Event::UndoSucceeded { step, fence }].into_iter().chain(self.end_after_undo()).collect())
    }

    /// The end, when nothing is left to be undone after what is being undone now.
    fn end_after_undo(&self) -> Option<Event> {
        match self {
            Self::Undoing { rest, why, .. } if rest.is_empty() => Some(end(why)),
            Self::Undoing { .. }
            | Self::Absent
            | Self::Running { .. }
            | Self::Stopping { .. }
            | Self::Live { .. }
            | Self::Over { .. } => None,
        }
    }

    fn fail(&self, work: Work, fence: Fence, failure: Failure, now: DateTime<Utc>) -> Decision {
        let task = self.in_hand(work, fence)?;
        let most = match work {
            Work::Do(step) => step.attempts(),
            Work::Undo(_) => UNDO_ATTEMPTS,
        };
        let again = !failure.permanent && task.attempt < most && !self.is_stopping();
        let retry_at = again.then(|| now + backoff(task.attempt));
        let (step, over) = (work.step(), retry_at.is_none());
        match work {
            Work::Undo(_) => {
                let end = if over { self.end_after_undo() } else { None };
                Ok([Event::UndoFailed { step, fence, failure, retry_at }].into_iter().chain(end).collect())
            }
            Work::Do(_) => {
                let end = if over { self.end_after_failure(step, &failure) } else { None };
                Ok([Event::StepFailed { step, fence, failure, retry_at }].into_iter().chain(end).collect())
            }
        }
    }

    /// The end, when the step failed for good and nothing has to be taken away.
    fn end_after_failure(&self, step: Step, failure: &Failure) -> Option<Event> {
        let facts = self.facts()?;
        match self {
            Self::Running { .. } if facts.started.is_empty() => {
                Some(Event::Failed { step, failure: failure.clone() })
            }
            Self::Stopping { reason, .. } if facts.started.is_empty() => {
                Some(Event::Cancelled { reason: *reason })
            }
            Self::Running { .. }
            | Self::Stopping { .. }
            | Self::Absent
            | Self::Undoing { .. }
            // It is live whatever becomes of the one before; the reconciler takes that up.
            | Self::Live { .. }
            | Self::Over { .. } => None,
        }
    }
}

fn cancel(facts: &Facts, task: &Task, reason: CancelReason) -> Decision {
    let was_begun = task.fence().is_some() || task.attempt > 1;
    if task.work == Work::Do(Step::Activate) && was_begun {
        return Err(Rejection::WentLive); // The traffic may have moved; only the service knows.
    }
    let requested = Event::CancelRequested { reason };
    let at_once = task.fence().is_none() && facts.started.is_empty();
    Ok([requested].into_iter().chain(at_once.then_some(Event::Cancelled { reason })).collect())
}

fn end(why: &Why) -> Event {
    match why {
        Why::Failed { step, failure } => Event::Failed { step: *step, failure: failure.clone() },
        Why::Cancelled { reason } => Event::Cancelled { reason: *reason },
    }
}
