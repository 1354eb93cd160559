//! Stopping a deployment: before, while and after its work is in hand.

use super::{cancel, cancel_requested, cancelled, complete, fail, failed, over_and_live, start, succeeded};
use crate::deployment::step::Step;
use crate::deployment::{CancelReason, Command, Deployment, Event, Rejection, Why, Work};
use crate::testing::history::{back_to, deployment_before, deployment_doing, deployment_of, step_started};
use crate::testing::values::{permanent, transient};
use crate::testing::{NOW, given};

fn then<const N: usize>(mut events: Vec<Event>, more: [Event; N]) -> Vec<Event> {
    events.extend(more);
    events
}

#[test]
fn a_deployment_that_left_nothing_is_cancelled_at_once() {
    given::<Deployment>(deployment_before(Step::Fetch))
        .when(cancel())
        .then([cancel_requested(), cancelled()]);
    let history = then(deployment_before(Step::Fetch), [cancel_requested(), cancelled()]);
    let state = given::<Deployment>(history).state();
    let why = Why::Cancelled { reason: CancelReason::Requested };
    assert!(matches!(&state, Deployment::Over { why: Some(found), .. } if *found == why), "{state:?}");
}

#[test]
fn a_deployment_between_two_steps_begins_to_take_away_what_it_left() {
    given::<Deployment>(deployment_before(Step::Push)).when(cancel()).then([cancel_requested()]);
    let state = given::<Deployment>(then(deployment_before(Step::Push), [cancel_requested()])).state();
    let Deployment::Undoing { task, rest, .. } = state else { panic!("{state:?}") };
    assert_eq!((task.work, rest), (Work::Undo(Step::Build), vec![Step::Fetch]));
}

#[test]
fn a_step_in_hand_is_let_go_of_first() {
    given::<Deployment>(deployment_doing(Step::Build)).when(cancel()).then([cancel_requested()]);
    let state = given::<Deployment>(then(deployment_doing(Step::Build), [cancel_requested()])).state();
    assert!(state.is_stopping());
    assert_eq!(state.task().map(|task| task.work), Some(Work::Do(Step::Build)));
}

#[test]
fn a_step_that_is_let_go_of_is_not_tried_again() {
    let stopping = then(deployment_doing(Step::Fetch), [cancel_requested()]);
    let let_go = failed(Step::Fetch, 1, transient(), None);
    given::<Deployment>(stopping.clone())
        .when(fail(Work::Do(Step::Fetch), 1, transient()))
        .then([let_go.clone()]);
    let state = given::<Deployment>(then(stopping, [let_go])).state();
    assert!(matches!(state, Deployment::Undoing { why: Why::Cancelled { .. }, .. }), "{state:?}");
}

#[test]
fn a_step_that_succeeds_all_the_same_is_undone_like_the_others() {
    let stopping = then(deployment_doing(Step::Build), [cancel_requested()]);
    given::<Deployment>(stopping.clone()).when(complete(Step::Build, 3)).then([succeeded(Step::Build, 3)]);
    let state = given::<Deployment>(then(stopping, [succeeded(Step::Build, 3)])).state();
    assert_eq!(state.task().map(|task| task.work), Some(Work::Undo(Step::Build)));
}

#[test]
fn a_deployment_that_left_nothing_is_cancelled_once_its_step_is_let_go_of() {
    let mut stopping = deployment_of(back_to(1), Step::Cut);
    stopping.extend([step_started(Step::Cut, 1, 1, NOW), cancel_requested()]);
    given::<Deployment>(stopping.clone())
        .when(complete(Step::Cut, 1))
        .then([succeeded(Step::Cut, 1), cancelled()]);
    given::<Deployment>(stopping)
        .when(fail(Work::Do(Step::Cut), 1, permanent()))
        .then([failed(Step::Cut, 1, permanent(), None), cancelled()]);
}

#[test]
fn a_step_that_is_to_be_let_go_of_can_be_taken_over_when_its_worker_is_gone() {
    let stopping = then(deployment_doing(Step::Build), [cancel_requested()]);
    given::<Deployment>(stopping.clone()).when(start(Work::Do(Step::Build))).then([step_started(
        Step::Build,
        1,
        4,
        NOW,
    )]);
    let taken_over = then(stopping, [step_started(Step::Build, 1, 4, NOW)]);
    assert!(given::<Deployment>(taken_over.clone()).state().is_stopping());
    given::<Deployment>(taken_over).when(fail(Work::Do(Step::Build), 4, permanent())).then([failed(
        Step::Build,
        4,
        permanent(),
        None,
    )]);
}

#[test]
fn cancelling_again_changes_nothing() {
    let stopping = then(deployment_doing(Step::Build), [cancel_requested()]);
    let undoing = then(deployment_before(Step::Push), [cancel_requested()]);
    let over = then(deployment_before(Step::Fetch), [cancel_requested(), cancelled()]);
    for history in [stopping, undoing, over] {
        for reason in [CancelReason::Requested, CancelReason::ServiceDeleted] {
            given::<Deployment>(history.clone()).when(Command::Cancel { reason }).then([]);
        }
    }
}

#[test]
fn the_first_reason_stays() {
    let stopping = then(
        deployment_doing(Step::Fetch),
        [Event::CancelRequested { reason: CancelReason::ServiceDeleted }],
    );
    let state = given::<Deployment>(then(stopping, [failed(Step::Fetch, 1, permanent(), None)])).state();
    let why = Why::Cancelled { reason: CancelReason::ServiceDeleted };
    assert!(matches!(&state, Deployment::Undoing { why: found, .. } if *found == why), "{state:?}");
}

#[test]
fn a_deployment_that_has_failed_already_is_not_cancelled() {
    let undoing = then(deployment_doing(Step::Build), [failed(Step::Build, 3, permanent(), None)]);
    given::<Deployment>(undoing).when(cancel()).then_rejected(&Rejection::Over);
    let mut cutting = deployment_of(back_to(1), Step::Cut);
    cutting.extend([
        step_started(Step::Cut, 1, 1, NOW),
        failed(Step::Cut, 1, permanent(), None),
        Event::Failed { step: Step::Cut, failure: permanent() },
    ]);
    given::<Deployment>(cutting).when(cancel()).then_rejected(&Rejection::Over);
}

#[test]
fn a_deployment_that_moves_its_traffic_is_not_cancelled() {
    given::<Deployment>(deployment_before(Step::Activate)).when(cancel()).then([cancel_requested()]);
    given::<Deployment>(deployment_doing(Step::Activate)).when(cancel()).then_rejected(&Rejection::WentLive);
}

#[test]
fn a_deployment_that_may_have_moved_its_traffic_is_not_cancelled() {
    let waits = failed(Step::Activate, 9, transient(), Some(NOW));
    given::<Deployment>(then(deployment_doing(Step::Activate), [waits]))
        .when(cancel())
        .then_rejected(&Rejection::WentLive);
}

#[test]
fn a_deployment_that_went_live_is_not_cancelled() {
    for history in [deployment_before(Step::Retire), deployment_doing(Step::Retire), over_and_live()] {
        given::<Deployment>(history).when(cancel()).then_rejected(&Rejection::WentLive);
    }
}
