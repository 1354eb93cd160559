//! Releases: how they are cut, how the traffic moves to them, and what becomes of their instances.

use std::collections::BTreeMap;

use crate::service::release::{InstanceId, ReleaseNumber, ReleaseStatus};
use crate::service::{Active, Command, Event, Outcome, Rejection, Service, Subject};
use crate::testing::given;
use crate::testing::history::{activated, admitted, created, cut, ended, requested, service_with_release};
use crate::testing::values::{build, deployment, instances, names, specification, variables};

fn cut_release(n: u32) -> Command {
    Command::CutRelease { deployment: deployment(n), build: Some(Box::new(build(n))) }
}

fn activate(n: u32) -> Command {
    Command::Activate { deployment: deployment(n), instances: instances(n, 1) }
}

fn asked(n: u32, subject: Subject) -> [Event; 2] {
    [Event::DeploymentRequested { deployment: deployment(n), subject }, admitted(n)]
}

fn status(events: impl IntoIterator<Item = Event>, release: u32) -> Option<ReleaseStatus> {
    active(events).releases.get(&ReleaseNumber(release)).map(|summary| summary.status)
}

fn active(events: impl IntoIterator<Item = Event>) -> Active {
    given::<Service>(events).state().active().expect("it is in use").clone()
}

#[test]
fn the_first_release_is_v1() {
    given::<Service>([created(), requested(1), admitted(1)]).when(cut_release(1)).then([cut(
        1,
        1,
        BTreeMap::new(),
    )]);
}

#[test]
fn a_number_is_never_used_again_even_when_its_release_never_ran() {
    let failed = [
        created(),
        requested(1),
        admitted(1),
        cut(1, 1, BTreeMap::new()),
        ended(1, Outcome::Failed),
        requested(2),
        admitted(2),
    ];
    assert_eq!(status(failed.clone(), 1), Some(ReleaseStatus::Failed));
    given::<Service>(failed).when(cut_release(2)).then([cut(2, 2, BTreeMap::new())]);
}

#[test]
fn a_release_fixes_the_configuration_of_the_moment_it_is_cut() {
    let history = [
        created(),
        Event::VariablesChanged { set: variables([("A", "before")]), unset: names([]) },
        requested(1),
        admitted(1),
        Event::VariablesChanged { set: variables([("A", "while it was built")]), unset: names([]) },
        Event::Scaled { replicas: 4 },
    ];
    let fixed = [("A", "while it was built")];
    let mut expected = specification(1, variables(fixed));
    expected.replicas = 4;
    let release = Event::ReleaseCut {
        release: ReleaseNumber(1),
        deployment: deployment(1),
        specification: Box::new(expected.clone()),
    };
    given::<Service>(history.clone()).when(cut_release(1)).then([release.clone()]);

    let later = Event::VariablesChanged { set: variables([("A", "after")]), unset: names([]) };
    let events = history.into_iter().chain([release, later, activated(1, 1)]);
    assert_eq!(active(events).live.map(|live| *live.specification), Some(expected));
}

#[test]
fn a_release_is_cut_once_for_a_deployment() {
    given::<Service>([created(), requested(1), admitted(1), cut(1, 1, BTreeMap::new())])
        .when(cut_release(1))
        .then([]);
}

#[test]
fn the_configuration_is_cut_with_the_build_that_is_live() {
    let history = service_with_release(1).into_iter().chain(asked(2, Subject::Configuration {}));
    let mut expected = specification(1, BTreeMap::new());
    expected.build = build(1);
    given::<Service>(history).when(Command::CutRelease { deployment: deployment(2), build: None }).then([
        Event::ReleaseCut {
            release: ReleaseNumber(2),
            deployment: deployment(2),
            specification: Box::new(expected),
        },
    ]);
}

#[test]
fn the_configuration_cannot_be_cut_when_nothing_has_gone_live_after_all() {
    let history = [created()].into_iter().chain(asked(2, Subject::Configuration {}));
    given::<Service>(history)
        .when(Command::CutRelease { deployment: deployment(2), build: None })
        .then_rejected(&Rejection::NothingDeployed);
}

#[test]
fn what_was_to_be_built_cannot_be_cut_before_it_is() {
    given::<Service>([created(), requested(1), admitted(1)])
        .when(Command::CutRelease { deployment: deployment(1), build: None })
        .then_rejected(&Rejection::NothingBuilt(deployment(1)));
}

#[test]
fn only_the_deployment_with_the_turn_cuts_and_activates() {
    let waits = [created(), requested(1), admitted(1), requested(2)];
    for command in [cut_release(2), activate(2), cut_release(3)] {
        let given = given::<Service>(waits.clone());
        let wrong =
            if let Command::CutRelease { deployment, .. } | Command::Activate { deployment, .. } = &command {
                *deployment
            } else {
                deployment(0)
            };
        given.when(command).then_rejected(&Rejection::NotItsTurn(wrong));
    }
    let over = [created(), requested(1), admitted(1), ended(1, Outcome::Cancelled)];
    given::<Service>(over).when(activate(1)).then_rejected(&Rejection::NotItsTurn(deployment(1)));
}

#[test]
fn the_traffic_moves_to_a_release_that_was_cut() {
    let history =
        service_with_release(1).into_iter().chain([requested(2), admitted(2), cut(2, 2, BTreeMap::new())]);
    given::<Service>(history.clone()).when(activate(2)).then([activated(2, 2)]);

    let moved: Vec<_> = history.chain([activated(2, 2)]).collect();
    assert_eq!(status(moved.clone(), 1), Some(ReleaseStatus::Retired));
    assert_eq!(status(moved.clone(), 2), Some(ReleaseStatus::Live));
    let live = active(moved.clone()).live.expect("it is live");
    assert_eq!((live.number, live.deployment), (ReleaseNumber(2), deployment(2)));
    assert_eq!(live.instances, instances(2, 1));
    assert_eq!(status(moved.into_iter().chain([ended(2, Outcome::Succeeded)]), 2), Some(ReleaseStatus::Live));
}

#[test]
fn moving_the_traffic_again_changes_nothing_even_when_the_turn_has_gone_on() {
    given::<Service>(service_with_release(1)).when(activate(1)).then([]);
}

#[test]
fn the_traffic_does_not_move_before_a_release_is_cut() {
    given::<Service>([created(), requested(1), admitted(1)])
        .when(activate(1))
        .then_rejected(&Rejection::NothingBuilt(deployment(1)));
}

#[test]
fn instances_that_moved_are_recorded_once() {
    let to = instances(1, 2);
    let moved = Event::InstancesMoved { release: ReleaseNumber(1), instances: to.clone() };
    let command = Command::MoveInstances { release: ReleaseNumber(1), instances: to.clone() };
    given::<Service>(service_with_release(1)).when(command.clone()).then([moved.clone()]);
    let history = service_with_release(1).into_iter().chain([moved]);
    assert_eq!(active(history.clone()).live.map(|live| live.instances), Some(to));
    given::<Service>(history).when(command).then([]);
}

#[test]
fn instances_of_a_release_that_is_not_live_are_nobodys_concern() {
    let (release, instance) = (ReleaseNumber(1), InstanceId { deployment: deployment(1), ordinal: 0 });
    given::<Service>(service_with_release(2))
        .when(Command::MoveInstances { release, instances: instances(1, 2) })
        .then([]);
    given::<Service>(service_with_release(2))
        .when(Command::RecordExit { release, instance, exit: "signal 9".into() })
        .then([]);
    given::<Service>([created()])
        .when(Command::RecordExit { release, instance, exit: "signal 9".into() })
        .then([]);
}

#[test]
fn an_instance_that_ended_by_itself_is_recorded_and_keeps_its_address() {
    let (release, instance) = (ReleaseNumber(1), InstanceId { deployment: deployment(1), ordinal: 0 });
    let exited = Event::InstanceExited { release, instance, exit: "exit status 1".into() };
    given::<Service>(service_with_release(1))
        .when(Command::RecordExit { release, instance, exit: "exit status 1".into() })
        .then([exited.clone()]);
    assert_eq!(active(service_with_release(1).into_iter().chain([exited])), active(service_with_release(1)));
}

/// Whoever gives up on moving the traffic cannot know whether it moved; the service can.
#[test]
fn a_deployment_whose_release_has_the_traffic_has_succeeded_whatever_is_said_of_it() {
    let moved = [created(), requested(1), admitted(1), cut(1, 1, BTreeMap::new()), activated(1, 1)];
    for outcome in [Outcome::Failed, Outcome::Cancelled, Outcome::Succeeded] {
        given::<Service>(moved.clone())
            .when(Command::EndDeployment { deployment: deployment(1), outcome })
            .then([ended(1, Outcome::Succeeded)]);
    }
}

#[test]
fn the_traffic_does_not_move_once_the_turn_is_given_back() {
    let given_up =
        [created(), requested(1), admitted(1), cut(1, 1, BTreeMap::new()), ended(1, Outcome::Failed)];
    given::<Service>(given_up).when(activate(1)).then_rejected(&Rejection::NotItsTurn(deployment(1)));
}
