//! What each state asks for, and which events are a reason to look.

use chrono::TimeDelta;

use super::{react, react_to_service, wakes};
use crate::deployment::step::{Fence, Step};
use crate::deployment::{CancelReason, Command, Deployment, Event, Work};
use crate::event::Event as AnyEvent;
use crate::id::DeploymentId;
use crate::saga::Effect;
use crate::service::{Command as ServiceCommand, Event as ServiceEvent, Outcome, Service};
use crate::testing::history::{
    admitted, back_to, created, deployment_before, deployment_doing, deployment_of, ended, requested,
    service_with_release, step_started,
};
use crate::testing::values::{SERVICE, deployment, from_source, permanent, transient};
use crate::testing::{NOW, given};

const ID: DeploymentId = deployment(1);

fn of_deployment(events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
    react(ID, &given::<Deployment>(events).state())
}

fn of_service(events: impl IntoIterator<Item = ServiceEvent>) -> Vec<Effect> {
    react_to_service(SERVICE, &given::<Service>(events).state())
}

fn work(work: Work, attempt: u32) -> Effect {
    Effect::Work { deployment: ID, work, attempt, not_before: None }
}

fn end(outcome: Outcome) -> Effect {
    let command = ServiceCommand::EndDeployment { deployment: ID, outcome };
    Effect::Service { service: SERVICE, command: Box::new(command) }
}

fn command(command: Command) -> Effect {
    Effect::Deployment { deployment: ID, command: Box::new(command) }
}

fn begin() -> Effect {
    command(Command::Begin { service: SERVICE, subject: from_source() })
}

#[test]
fn what_is_not_there_asks_for_nothing() {
    assert_eq!(of_deployment([]), []);
    assert_eq!(of_service([]), []);
}

#[test]
fn a_service_without_a_deployment_asks_for_nothing() {
    assert_eq!(of_service([created()]), []);
    assert_eq!(of_service(service_with_release(2)), []);
}

#[test]
fn the_deployment_with_the_turn_begins() {
    assert_eq!(of_service([created(), requested(1), admitted(1)]), [begin()]);
    assert_eq!(of_service([created(), requested(1), admitted(1), requested(2)]), [begin()]);
}

/// A deployment that has not begun could not be cancelled, and would wait for its end for ever.
#[test]
fn the_deployment_with_the_turn_of_a_deleted_service_is_stopped_even_when_it_had_not_begun() {
    let deleted = [created(), requested(1), admitted(1), ServiceEvent::Deleted {}];
    let cancel = command(Command::Cancel { reason: CancelReason::ServiceDeleted });
    assert_eq!(of_service(deleted.clone()), [begin(), cancel]);
    assert_eq!(of_service(deleted.into_iter().chain([ended(1, Outcome::Cancelled)])), []);
    assert_eq!(of_service([created(), ServiceEvent::Deleted {}]), []);
}

#[test]
fn each_step_asks_for_its_work_before_and_while_it_is_in_hand() {
    for step in Step::ALL.into_iter().filter(|step| *step < Step::Retire) {
        assert_eq!(of_deployment(deployment_before(step)), [work(Work::Do(step), 1)]);
        assert_eq!(of_deployment(deployment_doing(step)), [work(Work::Do(step), 1)]);
    }
}

#[test]
fn a_step_that_is_taken_over_is_still_the_same_item_of_work() {
    let history = deployment_doing(Step::Build).into_iter().chain([step_started(Step::Build, 1, 4, NOW)]);
    assert_eq!(of_deployment(history), [work(Work::Do(Step::Build), 1)]);
}

#[test]
fn a_step_that_is_tried_again_asks_for_it_at_its_time() {
    let retry_at = NOW + TimeDelta::seconds(1);
    let failed = Event::StepFailed {
        step: Step::Push,
        fence: Fence(4),
        failure: transient(),
        retry_at: Some(retry_at),
    };
    let history: Vec<_> = deployment_doing(Step::Push).into_iter().chain([failed]).collect();
    let again =
        |not_before| Effect::Work { deployment: ID, work: Work::Do(Step::Push), attempt: 2, not_before };
    assert_eq!(of_deployment(history.clone()), [again(Some(retry_at))]);
    assert_eq!(
        of_deployment(history.into_iter().chain([step_started(Step::Push, 2, 5, NOW)])),
        [again(None)]
    );
}

#[test]
fn a_step_that_is_to_be_let_go_of_is_still_asked_for_so_that_somebody_does() {
    let cancel = Event::CancelRequested { reason: CancelReason::Requested };
    let history = deployment_doing(Step::Build).into_iter().chain([cancel]);
    assert_eq!(of_deployment(history), [work(Work::Do(Step::Build), 1)]);
}

#[test]
fn what_was_left_is_asked_to_be_taken_away() {
    let cancel = Event::CancelRequested { reason: CancelReason::Requested };
    let history = deployment_before(Step::Push).into_iter().chain([cancel]);
    assert_eq!(of_deployment(history), [work(Work::Undo(Step::Build), 1)]);
}

#[test]
fn a_live_deployment_gives_the_turn_back_and_retires_the_release_before() {
    for history in [deployment_before(Step::Retire), deployment_doing(Step::Retire)] {
        assert_eq!(of_deployment(history), [end(Outcome::Succeeded), work(Work::Do(Step::Retire), 1)]);
    }
}

#[test]
fn a_deployment_that_is_over_gives_the_turn_back() {
    let retired =
        Event::StepFailed { step: Step::Retire, fence: Fence(10), failure: permanent(), retry_at: None };
    let live = deployment_doing(Step::Retire).into_iter().chain([retired]);
    assert_eq!(of_deployment(live), [end(Outcome::Succeeded)]);

    let mut cutting = deployment_of(back_to(1), Step::Cut);
    let reason = CancelReason::Requested;
    let cancelled = [Event::CancelRequested { reason }, Event::Cancelled { reason }];
    assert_eq!(of_deployment(cutting.clone().into_iter().chain(cancelled)), [end(Outcome::Cancelled)]);

    cutting.push(step_started(Step::Cut, 1, 1, NOW));
    let failure = permanent();
    cutting.extend([
        Event::StepFailed { step: Step::Cut, fence: Fence(1), failure: failure.clone(), retry_at: None },
        Event::Failed { step: Step::Cut, failure },
    ]);
    assert_eq!(of_deployment(cutting), [end(Outcome::Failed)]);
}

/// Whoever looks only for these events misses nothing: what the others change is asked for by nobody.
#[test]
fn the_events_that_wake_the_saga_are_those_after_which_a_state_asks_for_something_else() {
    let mut state = Deployment::default();
    for event in deployment_before(Step::Retire) {
        let before = react(ID, &state);
        state = crate::aggregate::Aggregate::evolve(state, &event);
        let changed = react(ID, &state) != before;
        assert!(!changed || wakes(&AnyEvent::Deployment(event.clone())), "{event:?}");
    }
    let mut service = Service::default();
    for event in
        service_with_release(2).into_iter().chain([requested(3), admitted(3), ServiceEvent::Deleted {}])
    {
        let before = react_to_service(SERVICE, &service);
        service = crate::aggregate::Aggregate::evolve(service, &event);
        let asks = react_to_service(SERVICE, &service);
        let changed = asks != before && !asks.is_empty();
        assert!(!changed || wakes(&AnyEvent::Service(event.clone())), "{event:?}");
    }
}
