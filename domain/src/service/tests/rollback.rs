//! An earlier release made current again.

use std::collections::BTreeMap;

use crate::service::release::{Build, ReleaseNumber, Specification};
use crate::service::{Command, Event, Outcome, Rejection, Service};
use crate::testing::given;
use crate::testing::history::{
    activated, admitted, back_to, created, cut, ended, requested, service_with_release,
};
use crate::testing::values::{artifact, build, deployment, names, specification, variables};

fn roll_back(n: u32, to: u32, then: Specification) -> Command {
    Command::RollBack { deployment: deployment(n), to: ReleaseNumber(to), then: Box::new(then) }
}

fn rollback_requested(n: u32, from: u32, to: u32) -> Event {
    Event::RollbackRequested {
        from: Some(ReleaseNumber(from)),
        to: ReleaseNumber(to),
        deployment: deployment(n),
    }
}

fn asked(n: u32, to: u32) -> Event {
    Event::DeploymentRequested { deployment: deployment(n), subject: back_to(to) }
}

fn plain(n: u32) -> Specification {
    specification(n, BTreeMap::new())
}

#[test]
fn an_earlier_release_comes_back_as_a_deployment_of_what_it_ran() {
    given::<Service>(service_with_release(2)).when(roll_back(3, 1, plain(1))).then([
        rollback_requested(3, 2, 1),
        asked(3, 1),
        admitted(3),
    ]);
}

#[test]
fn the_release_that_comes_back_has_a_new_number_and_needs_no_build() {
    let history =
        service_with_release(2).into_iter().chain([rollback_requested(3, 2, 1), asked(3, 1), admitted(3)]);
    given::<Service>(history).when(Command::CutRelease { deployment: deployment(3), build: None }).then([
        Event::ReleaseCut {
            release: ReleaseNumber(3),
            deployment: deployment(3),
            specification: Box::new(plain(1)),
        },
    ]);
}

#[test]
fn what_had_to_be_built_again_is_run_and_nothing_else_of_it_is_taken() {
    let history =
        service_with_release(2).into_iter().chain([rollback_requested(3, 2, 1), asked(3, 1), admitted(3)]);
    let rebuilt = Some(Box::new(build(7)));
    let specification = Specification { build: Build { artifact: artifact(7), ..build(1) }, ..plain(1) };
    given::<Service>(history).when(Command::CutRelease { deployment: deployment(3), build: rebuilt }).then([
        Event::ReleaseCut {
            release: ReleaseNumber(3),
            deployment: deployment(3),
            specification: Box::new(specification),
        },
    ]);
}

#[test]
fn its_variables_come_back_with_it() {
    let then = specification(1, variables([("A", "then"), ("SAME", "x"), ("GONE", "then")]));
    let now = Event::VariablesChanged {
        set: variables([("A", "now"), ("SAME", "x"), ("NEW", "now")]),
        unset: names([]),
    };
    let history = service_with_release(2).into_iter().chain([now]);
    given::<Service>(history).when(roll_back(3, 1, then)).then([
        rollback_requested(3, 2, 1),
        Event::VariablesChanged { set: variables([("A", "then"), ("GONE", "then")]), unset: names(["NEW"]) },
        asked(3, 1),
        admitted(3),
    ]);
}

#[test]
fn its_scale_comes_back_with_it() {
    let scaled = |replicas| Event::Scaled { replicas };
    let history = service_with_release(2).into_iter().chain([scaled(5)]);
    given::<Service>(history).when(roll_back(3, 1, plain(1))).then([
        rollback_requested(3, 2, 1),
        scaled(1),
        asked(3, 1),
        admitted(3),
    ]);
}

#[test]
fn a_rollback_waits_while_another_deployment_has_the_turn() {
    let history = service_with_release(2).into_iter().chain([requested(3), admitted(3)]);
    given::<Service>(history)
        .when(roll_back(4, 1, plain(1)))
        .then([rollback_requested(4, 2, 1), asked(4, 1)]);
}

#[test]
fn a_rollback_supersedes_what_waits() {
    let history = service_with_release(2).into_iter().chain([requested(3), admitted(3), requested(4)]);
    given::<Service>(history).when(roll_back(5, 1, plain(1))).then([
        rollback_requested(5, 2, 1),
        Event::DeploymentSuperseded { deployment: deployment(4), by: deployment(5) },
        asked(5, 1),
    ]);
}

#[test]
fn a_rollback_asked_for_again_changes_nothing_before_and_after_its_end() {
    let on_its_way: Vec<_> = service_with_release(2)
        .into_iter()
        .chain([rollback_requested(3, 2, 1), asked(3, 1), admitted(3)])
        .collect();
    given::<Service>(on_its_way.clone()).when(roll_back(3, 1, plain(1))).then([]);
    let live: Vec<_> = on_its_way
        .into_iter()
        .chain([cut(3, 3, BTreeMap::new()), activated(3, 3), ended(3, Outcome::Succeeded)])
        .collect();
    given::<Service>(live).when(roll_back(3, 1, plain(1))).then([]);
}

#[test]
fn a_release_that_never_ran_cannot_come_back() {
    let failed = [requested(3), admitted(3), cut(3, 3, BTreeMap::new()), ended(3, Outcome::Failed)];
    given::<Service>(service_with_release(2).into_iter().chain(failed))
        .when(roll_back(4, 3, plain(3)))
        .then_rejected(&Rejection::ReleaseNeverRan(ReleaseNumber(3)));
    let on_its_way = [requested(3), admitted(3), cut(3, 3, BTreeMap::new())];
    given::<Service>(service_with_release(2).into_iter().chain(on_its_way))
        .when(roll_back(4, 3, plain(3)))
        .then_rejected(&Rejection::ReleaseNeverRan(ReleaseNumber(3)));
}

#[test]
fn the_current_release_cannot_come_back() {
    given::<Service>(service_with_release(2))
        .when(roll_back(3, 2, plain(2)))
        .then_rejected(&Rejection::ReleaseIsCurrent(ReleaseNumber(2)));
}

#[test]
fn a_release_that_does_not_exist_cannot_come_back_and_the_newest_is_named() {
    given::<Service>(service_with_release(2)).when(roll_back(3, 7, plain(1))).then_rejected(
        &Rejection::ReleaseNotFound { wanted: ReleaseNumber(7), there: "the newest is v2".into() },
    );
    given::<Service>([created()]).when(roll_back(3, 1, plain(1))).then_rejected(
        &Rejection::ReleaseNotFound { wanted: ReleaseNumber(1), there: "nothing was released yet".into() },
    );
}

#[test]
fn a_variable_that_was_not_there_then_goes_though_no_other_changes() {
    let new = Event::VariablesChanged { set: variables([("NEW", "now")]), unset: names([]) };
    let gone = Event::VariablesChanged { set: BTreeMap::new(), unset: names(["NEW"]) };
    given::<Service>(service_with_release(2).into_iter().chain([new]))
        .when(roll_back(3, 1, plain(1)))
        .then([rollback_requested(3, 2, 1), gone, asked(3, 1), admitted(3)]);
}
