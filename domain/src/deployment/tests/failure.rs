//! Steps that fail: tried again, given up, and what follows from it.

use chrono::TimeDelta;

use super::{complete, fail, failed, start};
use crate::deployment::step::{Fence, Step, backoff};
use crate::deployment::{Deployment, Event, Progress, Rejection, Why, Work};
use crate::testing::history::{back_to, deployment_before, deployment_doing, deployment_of, step_started};
use crate::testing::values::{permanent, transient};
use crate::testing::{NOW, given};

/// A deployment whose `step` failed this many times and is taken up once more; fences count from `fence`.
fn failed_often(step: Step, times: u32, fence: u32) -> Vec<Event> {
    let mut events = deployment_before(step);
    for n in 0..times {
        events.push(step_started(step, n + 1, fence + n, NOW));
        events.push(failed(step, fence + n, transient(), Some(NOW + backoff(n + 1))));
    }
    events.push(step_started(step, times + 1, fence + times, NOW));
    events
}

#[test]
fn a_failure_that_may_pass_is_tried_again_after_a_while() {
    given::<Deployment>(deployment_doing(Step::Push))
        .when(fail(Work::Do(Step::Push), 4, transient()))
        .then([failed(Step::Push, 4, transient(), Some(NOW + TimeDelta::seconds(1)))]);
    given::<Deployment>(failed_often(Step::Push, 1, 4))
        .when(fail(Work::Do(Step::Push), 5, transient()))
        .then([failed(Step::Push, 5, transient(), Some(NOW + TimeDelta::seconds(2)))]);
}

#[test]
fn the_next_try_waits_for_its_time_and_has_the_next_number() {
    let retry_at = NOW + TimeDelta::seconds(1);
    let history =
        deployment_doing(Step::Push).into_iter().chain([failed(Step::Push, 4, transient(), Some(retry_at))]);
    let state = given::<Deployment>(history.clone()).state();
    let task = state.task().expect("it goes on");
    assert_eq!((task.work, task.attempt), (Work::Do(Step::Push), 2));
    assert_eq!(task.progress, Progress::Ready { not_before: Some(retry_at) });
    given::<Deployment>(history).when(start(Work::Do(Step::Push))).then([step_started(
        Step::Push,
        2,
        5,
        NOW,
    )]);
}

#[test]
fn a_step_is_given_up_after_as_many_tries_as_it_has() {
    for step in [Step::Fetch, Step::Push, Step::Cut, Step::RollOut] {
        let first = given::<Deployment>(deployment_doing(step)).state().facts().expect("begun").fence.0;
        let last = step.attempts();
        let fence = first + last - 1;
        given::<Deployment>(failed_often(step, last - 1, first))
            .when(fail(Work::Do(step), fence, transient()))
            .then([failed(step, fence, transient(), None)]);
    }
}

#[test]
fn a_step_that_can_only_fail_again_is_tried_once() {
    for step in [Step::Detect, Step::Build, Step::Prepare, Step::Verify] {
        let fence = given::<Deployment>(deployment_doing(step)).state().facts().expect("begun").fence.0;
        given::<Deployment>(deployment_doing(step))
            .when(fail(Work::Do(step), fence, transient()))
            .then([failed(step, fence, transient(), None)]);
    }
}

#[test]
fn a_failure_that_will_not_pass_is_not_tried_again() {
    given::<Deployment>(deployment_doing(Step::Push))
        .when(fail(Work::Do(Step::Push), 4, permanent()))
        .then([failed(Step::Push, 4, permanent(), None)]);
}

#[test]
fn a_deployment_that_left_nothing_fails_at_once() {
    let mut cutting = deployment_of(back_to(1), Step::Cut);
    cutting.push(step_started(Step::Cut, 1, 1, NOW));
    let end = Event::Failed { step: Step::Cut, failure: permanent() };
    let events = [failed(Step::Cut, 1, permanent(), None), end];
    given::<Deployment>(cutting.clone()).when(fail(Work::Do(Step::Cut), 1, permanent())).then(events.clone());
    let state = given::<Deployment>(cutting.into_iter().chain(events)).state();
    let why = Why::Failed { step: Step::Cut, failure: permanent() };
    assert!(matches!(&state, Deployment::Over { why: Some(found), .. } if *found == why), "{state:?}");
}

#[test]
fn a_deployment_that_left_something_takes_it_away_first() {
    let history =
        deployment_doing(Step::Build).into_iter().chain([failed(Step::Build, 3, permanent(), None)]);
    let state = given::<Deployment>(history).state();
    let Deployment::Undoing { task, rest, .. } = state else { panic!("{state:?}") };
    assert_eq!((task.work, rest), (Work::Undo(Step::Build), vec![Step::Fetch]));
}

#[test]
fn a_worker_that_was_taken_over_from_cannot_fail_the_step() {
    let history = deployment_doing(Step::Build).into_iter().chain([step_started(Step::Build, 1, 4, NOW)]);
    given::<Deployment>(history)
        .when(fail(Work::Do(Step::Build), 3, permanent()))
        .then_rejected(&Rejection::Fenced { given: Fence(3), newest: Fence(4) });
}

/// Nobody but the service knows whether the traffic has moved, so nothing may be taken away before it has
/// said so.
#[test]
fn moving_the_traffic_is_tried_until_it_is_known_whether_it_moved() {
    let tries = 50;
    given::<Deployment>(failed_often(Step::Activate, tries, 9))
        .when(fail(Work::Do(Step::Activate), 9 + tries, transient()))
        .then([failed(Step::Activate, 9 + tries, transient(), Some(NOW + TimeDelta::seconds(30)))]);
}

#[test]
fn a_deployment_whose_traffic_was_refused_takes_away_what_it_left() {
    given::<Deployment>(deployment_doing(Step::Activate))
        .when(fail(Work::Do(Step::Activate), 9, permanent()))
        .then([failed(Step::Activate, 9, permanent(), None)]);
}

#[test]
fn a_release_before_that_cannot_be_retired_does_not_matter() {
    given::<Deployment>(deployment_doing(Step::Retire))
        .when(fail(Work::Do(Step::Retire), 10, transient()))
        .then([failed(Step::Retire, 10, transient(), Some(NOW + TimeDelta::seconds(1)))]);
    let last = Step::Retire.attempts();
    let fence = 10 + last - 1;
    let history = failed_often(Step::Retire, last - 1, 10);
    let given_up = failed(Step::Retire, fence, transient(), None);
    given::<Deployment>(history.clone())
        .when(fail(Work::Do(Step::Retire), fence, transient()))
        .then([given_up.clone()]);
    let state = given::<Deployment>(history.into_iter().chain([given_up])).state();
    assert!(matches!(state, Deployment::Over { why: None, .. }), "{state:?}");
}

#[test]
fn a_step_that_failed_once_can_still_succeed() {
    given::<Deployment>(failed_often(Step::Fetch, 2, 1))
        .when(complete(Step::Fetch, 3))
        .then([super::succeeded(Step::Fetch, 3)]);
}
