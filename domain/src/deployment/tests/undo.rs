//! Taking away what was left: the newest first, tried again, parked at last.

use chrono::{DateTime, TimeDelta, Utc};

use super::{cancel_requested, cancelled, fail, failed, start};
use crate::deployment::step::{Failure, Fence, Step, UNDO_ATTEMPTS, backoff};
use crate::deployment::{Command, Deployment, Event, Rejection, Work};
use crate::testing::history::{LIMIT_MS, deployment_before, deployment_doing};
use crate::testing::values::{permanent, transient};
use crate::testing::{NOW, given};

fn undo_started(step: Step, attempt: u32, fence: u32) -> Event {
    let deadline = NOW + TimeDelta::milliseconds(i64::from(LIMIT_MS));
    Event::UndoStarted { step, attempt, fence: Fence(fence), deadline }
}

fn undo_succeeded(step: Step, fence: u32) -> Event {
    Event::UndoSucceeded { step, fence: Fence(fence) }
}

fn undo_failed(step: Step, fence: u32, failure: Failure, retry_at: Option<DateTime<Utc>>) -> Event {
    Event::UndoFailed { step, fence: Fence(fence), failure, retry_at }
}

fn undone(step: Step, fence: u32) -> Command {
    Command::CompleteUndo { step, fence: Fence(fence) }
}

/// Cancelled after its build: build and fetch are to be undone, and three fences were given out.
fn cancelled_after_build() -> Vec<Event> {
    deployment_before(Step::Push).into_iter().chain([cancel_requested()]).collect()
}

#[test]
fn what_every_started_step_left_is_taken_away_the_newest_first() {
    let mut history = deployment_doing(Step::Verify);
    history.push(failed(Step::Verify, 8, permanent(), None));
    for (fence, step) in (9..).zip([Step::RollOut, Step::Prepare, Step::Build]) {
        given::<Deployment>(history.clone())
            .when(start(Work::Undo(step)))
            .then([undo_started(step, 1, fence)]);
        history.push(undo_started(step, 1, fence));
        given::<Deployment>(history.clone()).when(undone(step, fence)).then([undo_succeeded(step, fence)]);
        history.push(undo_succeeded(step, fence));
    }
    history.push(undo_started(Step::Fetch, 1, 12));
    let end = Event::Failed { step: Step::Verify, failure: permanent() };
    given::<Deployment>(history.clone())
        .when(undone(Step::Fetch, 12))
        .then([undo_succeeded(Step::Fetch, 12), end.clone()]);
    let over = given::<Deployment>(history.into_iter().chain([undo_succeeded(Step::Fetch, 12), end])).state();
    assert!(matches!(over, Deployment::Over { why: Some(_), .. }), "{over:?}");
}

#[test]
fn a_step_that_was_tried_often_is_undone_once() {
    let mut history = deployment_doing(Step::Fetch);
    history.push(failed(Step::Fetch, 1, transient(), Some(NOW)));
    history.push(crate::testing::history::step_started(Step::Fetch, 2, 2, NOW));
    history.push(failed(Step::Fetch, 2, permanent(), None));
    history.push(undo_started(Step::Fetch, 1, 3));
    given::<Deployment>(history)
        .when(undone(Step::Fetch, 3))
        .then([undo_succeeded(Step::Fetch, 3), Event::Failed { step: Step::Fetch, failure: permanent() }]);
}

#[test]
fn a_step_that_leaves_nothing_is_not_undone() {
    let history = cancelled_after_build();
    for step in Step::ALL.into_iter().filter(|step| !step.leaves_something()) {
        given::<Deployment>(history.clone())
            .when(start(Work::Undo(step)))
            .then_rejected(&Rejection::NotNow(Work::Undo(step)));
    }
}

#[test]
fn an_undo_that_fails_is_tried_again_after_a_while() {
    let mut history = cancelled_after_build();
    history.push(undo_started(Step::Build, 1, 4));
    given::<Deployment>(history.clone())
        .when(fail(Work::Undo(Step::Build), 4, transient()))
        .then([undo_failed(Step::Build, 4, transient(), Some(NOW + TimeDelta::seconds(1)))]);
    history.push(undo_failed(Step::Build, 4, transient(), Some(NOW + TimeDelta::seconds(1))));
    given::<Deployment>(history).when(start(Work::Undo(Step::Build))).then([undo_started(Step::Build, 2, 5)]);
}

#[test]
fn an_undo_that_fails_too_often_is_parked_and_the_next_one_begins() {
    let mut history = cancelled_after_build();
    for n in 0..UNDO_ATTEMPTS - 1 {
        history.push(undo_started(Step::Build, n + 1, 4 + n));
        history.push(undo_failed(Step::Build, 4 + n, transient(), Some(NOW + backoff(n + 1))));
    }
    let fence = 4 + UNDO_ATTEMPTS - 1;
    history.push(undo_started(Step::Build, UNDO_ATTEMPTS, fence));
    let parked = undo_failed(Step::Build, fence, transient(), None);
    given::<Deployment>(history.clone())
        .when(fail(Work::Undo(Step::Build), fence, transient()))
        .then([parked.clone()]);
    history.push(parked);
    let state = given::<Deployment>(history).state();
    assert_eq!(state.task().map(|task| task.work), Some(Work::Undo(Step::Fetch)));
}

#[test]
fn an_undo_that_is_parked_last_ends_the_deployment() {
    let mut history = cancelled_after_build();
    history.extend([undo_started(Step::Build, 1, 4), undo_succeeded(Step::Build, 4)]);
    history.push(undo_started(Step::Fetch, 1, 5));
    given::<Deployment>(history)
        .when(fail(Work::Undo(Step::Fetch), 5, permanent()))
        .then([undo_failed(Step::Fetch, 5, permanent(), None), cancelled()]);
}

#[test]
fn a_worker_that_was_taken_over_from_cannot_end_the_undo() {
    let mut history = cancelled_after_build();
    history.extend([undo_started(Step::Build, 1, 4), undo_started(Step::Build, 1, 5)]);
    let fenced = Rejection::Fenced { given: Fence(4), newest: Fence(5) };
    given::<Deployment>(history.clone()).when(undone(Step::Build, 4)).then_rejected(&fenced);
    given::<Deployment>(history.clone())
        .when(fail(Work::Undo(Step::Build), 4, permanent()))
        .then_rejected(&fenced);
    given::<Deployment>(history).when(undone(Step::Build, 5)).then([undo_succeeded(Step::Build, 5)]);
}

#[test]
fn the_undo_of_another_step_cannot_be_ended() {
    let mut history = cancelled_after_build();
    history.push(undo_started(Step::Build, 1, 4));
    given::<Deployment>(history)
        .when(undone(Step::Fetch, 4))
        .then_rejected(&Rejection::NotNow(Work::Undo(Step::Fetch)));
}
