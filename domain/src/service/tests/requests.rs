//! Whose turn it is: requests, those that wait, and the end of a deployment.

use crate::service::release::ReleaseNumber;
use crate::service::{Active, Command, Event, Outcome, PAST_MAX, Rejection, Service, Subject};
use crate::testing::given;
use crate::testing::history::{admitted, back_to, created, ended, requested, service_with_release};
use crate::testing::values::{build, deployment, from_source};

fn deploy(n: u32) -> Command {
    Command::Deploy { deployment: deployment(n), subject: from_source() }
}

fn end(n: u32, outcome: Outcome) -> Command {
    Command::EndDeployment { deployment: deployment(n), outcome }
}

fn withdraw(n: u32) -> Command {
    Command::Withdraw { deployment: deployment(n) }
}

fn withdrawn(n: u32) -> Event {
    Event::DeploymentWithdrawn { deployment: deployment(n) }
}

fn superseded(n: u32, by: u32) -> Event {
    Event::DeploymentSuperseded { deployment: deployment(n), by: deployment(by) }
}

fn active(events: impl IntoIterator<Item = Event>) -> Active {
    given::<Service>(events).state().active().expect("it is in use").clone()
}

#[test]
fn the_first_deployment_has_the_turn_at_once() {
    given::<Service>([created()]).when(deploy(1)).then([requested(1), admitted(1)]);
}

#[test]
fn a_second_deployment_waits() {
    given::<Service>([created(), requested(1), admitted(1)]).when(deploy(2)).then([requested(2)]);
    let state = active([created(), requested(1), admitted(1), requested(2)]);
    assert_eq!(state.turn.map(|r| r.deployment), Some(deployment(1)));
    assert_eq!(state.waiting.map(|r| r.deployment), Some(deployment(2)));
}

#[test]
fn a_newer_deployment_supersedes_the_one_that_waits() {
    given::<Service>([created(), requested(1), admitted(1), requested(2)])
        .when(deploy(3))
        .then([superseded(2, 3), requested(3)]);
}

#[test]
fn a_superseded_deployment_does_not_have_the_turn_when_it_comes_round() {
    let history = [created(), requested(1), admitted(1), requested(2), superseded(2, 3), requested(3)];
    given::<Service>(history).when(end(1, Outcome::Failed)).then([ended(1, Outcome::Failed), admitted(3)]);
}

#[test]
fn a_deployment_asked_for_again_changes_nothing() {
    given::<Service>([created(), requested(1), admitted(1)]).when(deploy(1)).then([]);
    given::<Service>([created(), requested(1), admitted(1), requested(2)]).when(deploy(2)).then([]);
    given::<Service>(service_with_release(1)).when(deploy(1)).then([]);
}

#[test]
fn a_deployment_asked_for_again_after_its_end_changes_nothing() {
    let history = [created(), requested(1), admitted(1), ended(1, Outcome::Failed)];
    given::<Service>(history).when(deploy(1)).then([]);
    let history = [created(), requested(1), admitted(1), requested(2), superseded(2, 3), requested(3)];
    given::<Service>(history).when(deploy(2)).then([]);
    let history = [created(), requested(1), admitted(1), requested(2), withdrawn(2)];
    given::<Service>(history).when(deploy(2)).then([]);
    // The release before the current one: it is over, and the service does not look at what is live only.
    given::<Service>(service_with_release(2)).when(deploy(1)).then([]);
}

#[test]
fn only_so_many_ended_deployments_are_remembered() {
    let over = |n| [requested(n), admitted(n), ended(n, Outcome::Failed)];
    let many = u32::try_from(PAST_MAX).expect("small") + 1;
    let state = active([created()].into_iter().chain((1..=many).flat_map(over)));
    assert_eq!(state.past.len(), PAST_MAX);
    assert!(state.past_end(deployment(1)).is_none());
    assert!(state.past_end(deployment(2)).is_some());
}

#[test]
fn the_end_of_a_deployment_frees_the_turn() {
    for outcome in [Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled] {
        given::<Service>([created(), requested(1), admitted(1)])
            .when(end(1, outcome))
            .then([ended(1, outcome)]);
    }
    assert_eq!(active([created(), requested(1), admitted(1), ended(1, Outcome::Failed)]).turn, None);
}

#[test]
fn the_end_of_a_deployment_gives_the_turn_on() {
    given::<Service>([created(), requested(1), admitted(1), requested(2)])
        .when(end(1, Outcome::Failed))
        .then([ended(1, Outcome::Failed), admitted(2)]);
    let history =
        [created(), requested(1), admitted(1), requested(2), ended(1, Outcome::Failed), admitted(2)];
    let state = active(history);
    assert_eq!(state.turn.map(|r| r.deployment), Some(deployment(2)));
    assert_eq!(state.waiting, None);
}

#[test]
fn the_end_of_a_deployment_that_does_not_have_the_turn_changes_nothing() {
    given::<Service>([created(), requested(1), admitted(1), requested(2)])
        .when(end(2, Outcome::Failed))
        .then([]);
    given::<Service>(service_with_release(1)).when(end(1, Outcome::Succeeded)).then([]);
}

#[test]
fn a_deployment_that_waits_can_be_taken_back_and_again_changes_nothing() {
    let waits = [created(), requested(1), admitted(1), requested(2)];
    given::<Service>(waits.clone()).when(withdraw(2)).then([withdrawn(2)]);
    let taken_back = waits.into_iter().chain([withdrawn(2)]);
    given::<Service>(taken_back.clone()).when(withdraw(2)).then([]);
    assert_eq!(active(taken_back).waiting, None);
}

#[test]
fn a_deployment_that_does_not_wait_cannot_be_taken_back() {
    let history = [created(), requested(1), admitted(1)];
    for n in [1, 2] {
        given::<Service>(history.clone())
            .when(withdraw(n))
            .then_rejected(&Rejection::NotItsTurn(deployment(n)));
    }
    given::<Service>(service_with_release(1))
        .when(withdraw(1))
        .then_rejected(&Rejection::NotItsTurn(deployment(1)));
}

#[test]
fn the_configuration_cannot_be_deployed_where_nothing_is_live() {
    given::<Service>([created()])
        .when(Command::Deploy { deployment: deployment(1), subject: Subject::Configuration {} })
        .then_rejected(&Rejection::NothingDeployed);
}

#[test]
fn a_release_that_is_there_can_be_deployed_again_and_one_that_is_not_cannot() {
    let again = |release| Command::Deploy { deployment: deployment(9), subject: back_to(release) };
    given::<Service>(service_with_release(2))
        .when(again(1))
        .then([Event::DeploymentRequested { deployment: deployment(9), subject: back_to(1) }, admitted(9)]);
    given::<Service>(service_with_release(2)).when(again(3)).then_rejected(&Rejection::ReleaseNotFound {
        wanted: ReleaseNumber(3),
        there: "the newest is v2".into(),
    });
    given::<Service>([created()]).when(again(1)).then_rejected(&Rejection::ReleaseNotFound {
        wanted: ReleaseNumber(1),
        there: "nothing was released yet".into(),
    });
}

#[test]
fn what_a_deployment_brings_is_kept_for_when_it_has_the_turn() {
    let subject = Subject::Release { release: ReleaseNumber(1), build: Box::new(build(1)) };
    let asked = Event::DeploymentRequested { deployment: deployment(9), subject: subject.clone() };
    let state = active(service_with_release(1).into_iter().chain([asked, admitted(9)]));
    assert_eq!(state.turn.map(|r| r.subject), Some(subject));
}
