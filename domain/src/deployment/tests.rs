//! What a deployment does with each command: given – when – then.

mod cancel;
mod failure;
mod rebuild;
mod steps;
mod undo;

use chrono::{DateTime, Utc};

use super::step::{Failure, Fence, Output, Step};
use super::{CancelReason, Command, Deployment, Event, Rejection, Work};
use crate::id::ServiceId;
use crate::rejection::{Kind, Rejection as _};
use crate::service::Subject;
use crate::testing::history::{LIMIT_MS, deployment_before, output};
use crate::testing::values::{SERVICE, from_source};
use crate::testing::{NOW, given};

fn begin(service: ServiceId, subject: Subject) -> Command {
    Command::Begin { service, subject }
}

fn start(work: Work) -> Command {
    Command::Start { work, limit_ms: LIMIT_MS }
}

fn complete(step: Step, fence: u32) -> Command {
    Command::Complete { fence: Fence(fence), output: output(step, 1) }
}

fn succeeded(step: Step, fence: u32) -> Event {
    Event::StepSucceeded { fence: Fence(fence), output: output(step, 1) }
}

fn fail(work: Work, fence: u32, failure: Failure) -> Command {
    Command::Fail { work, fence: Fence(fence), failure }
}

fn failed(step: Step, fence: u32, failure: Failure, retry_at: Option<DateTime<Utc>>) -> Event {
    Event::StepFailed { step, fence: Fence(fence), failure, retry_at }
}

fn cancel() -> Command {
    Command::Cancel { reason: CancelReason::Requested }
}

fn cancel_requested() -> Event {
    Event::CancelRequested { reason: CancelReason::Requested }
}

fn cancelled() -> Event {
    Event::Cancelled { reason: CancelReason::Requested }
}

/// A deployment that is retiring the release before it, and one that has retired it.
fn over_and_live() -> Vec<Event> {
    let mut events = deployment_before(Step::Retire);
    events.push(crate::testing::history::step_started(Step::Retire, 1, 10, NOW));
    events.push(succeeded(Step::Retire, 10));
    events
}

#[test]
fn a_deployment_begins_once() {
    let begun = Event::Begun { service: SERVICE, subject: from_source() };
    given::<Deployment>([]).when(begin(SERVICE, from_source())).then([begun.clone()]);
    given::<Deployment>([begun]).when(begin(SERVICE, from_source())).then([]);
    given::<Deployment>(over_and_live()).when(begin(SERVICE, from_source())).then([]);
}

#[test]
fn another_deployment_cannot_begin_in_its_stream() {
    let begun = [Event::Begun { service: SERVICE, subject: from_source() }];
    given::<Deployment>(begun.clone())
        .when(begin(SERVICE, Subject::Configuration {}))
        .then_rejected(&Rejection::AlreadyBegun);
    given::<Deployment>(begun)
        .when(begin(ServiceId::default(), from_source()))
        .then_rejected(&Rejection::AlreadyBegun);
}

#[test]
fn a_deployment_that_has_not_begun_refuses_everything_else() {
    for command in [start(Work::Do(Step::Fetch)), complete(Step::Fetch, 1), cancel()] {
        given::<Deployment>([]).when(command).then_rejected(&Rejection::NotFound);
    }
}

#[test]
fn a_deployment_that_is_over_takes_no_work() {
    for command in [
        start(Work::Do(Step::Retire)),
        complete(Step::Retire, 10),
        fail(Work::Do(Step::Retire), 10, crate::testing::values::transient()),
        Command::CompleteUndo { step: Step::Fetch, fence: Fence(1) },
    ] {
        given::<Deployment>(over_and_live()).when(command).then_rejected(&Rejection::Over);
    }
}

#[test]
fn events_before_the_first_and_after_the_last_change_nothing() {
    assert_eq!(given::<Deployment>([cancel_requested()]).state(), Deployment::Absent);
    let over = given::<Deployment>(over_and_live()).state();
    let more = over_and_live().into_iter().chain([succeeded(Step::Fetch, 1), cancel_requested()]);
    assert_eq!(given::<Deployment>(more).state(), over);
}

#[test]
fn every_refusal_has_a_code_of_its_own_and_says_what_is_wrong() {
    let refusals = [
        (Rejection::NotFound, Kind::NotFound),
        (Rejection::AlreadyBegun, Kind::Conflict),
        (Rejection::Over, Kind::Conflict),
        (Rejection::WentLive, Kind::Conflict),
        (Rejection::Fenced { given: Fence(1), newest: Fence(2) }, Kind::Conflict),
        (Rejection::NotNow(Work::Do(Step::Build)), Kind::Conflict),
    ];
    let mut codes: Vec<_> = refusals.iter().map(|(refusal, _)| refusal.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), refusals.len());
    for (refusal, kind) in refusals {
        assert_eq!(refusal.kind(), kind, "{refusal}");
        assert!(refusal.to_string().len() > 15, "{refusal}");
    }
}

#[test]
fn what_a_step_finds_out_belongs_to_that_step() {
    for step in Step::ALL {
        assert_eq!(output(step, 1).step(), step);
    }
    assert!(matches!(output(Step::Build, 1), Output::Build { reused: None }));
}
