//! Variables and scale: what changes them, and when a change asks for a deployment.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::DeploymentId;
use crate::manifest::MAX_REPLICAS;
use crate::name::VariableName;
use crate::secret::Sealed;
use crate::service::{Command, Event, MAX_VARIABLES, Outcome, Rejection, Service, Subject};
use crate::testing::given;
use crate::testing::history::{activated, admitted, created, cut, ended, requested, service_with_release};
use crate::testing::values::{deployment, names, sealed, variables};

fn set<const N: usize>(values: [(&str, &str); N], deploy: Option<DeploymentId>) -> Command {
    Command::ChangeVariables { set: variables(values), unset: BTreeSet::new(), deploy }
}

fn unset<const N: usize>(gone: [&str; N], deploy: Option<DeploymentId>) -> Command {
    Command::ChangeVariables { set: BTreeMap::new(), unset: names(gone), deploy }
}

fn changed<const N: usize, const M: usize>(values: [(&str, &str); N], gone: [&str; M]) -> Event {
    Event::VariablesChanged { set: variables(values), unset: names(gone) }
}

fn of_configuration(n: u32) -> Event {
    Event::DeploymentRequested { deployment: deployment(n), subject: Subject::Configuration {} }
}

fn values_of(events: impl IntoIterator<Item = Event>) -> BTreeMap<VariableName, Sealed> {
    given::<Service>(events).state().active().expect("it is in use").variables.clone()
}

#[test]
fn variables_are_set_changed_and_removed() {
    let state = [created(), changed([("A", "1"), ("B", "1")], [])];
    given::<Service>([created()])
        .when(set([("A", "1"), ("B", "1")], None))
        .then([changed([("A", "1"), ("B", "1")], [])]);
    given::<Service>(state.clone()).when(set([("A", "2")], None)).then([changed([("A", "2")], [])]);
    given::<Service>(state.clone()).when(unset(["A"], None)).then([changed([], ["A"])]);
    let events = state.into_iter().chain([changed([("A", "2")], ["B"])]);
    assert_eq!(values_of(events), variables([("A", "2")]));
}

#[test]
fn what_is_so_already_is_not_set_or_removed() {
    let state = [created(), changed([("A", "1")], [])];
    given::<Service>(state.clone()).when(set([("A", "1")], Some(deployment(1)))).then([]);
    given::<Service>(state.clone()).when(unset(["B"], Some(deployment(1)))).then([]);
    given::<Service>(state).when(set([("A", "1"), ("B", "2")], None)).then([changed([("B", "2")], [])]);
}

#[test]
fn the_same_value_sealed_another_time_is_no_change() {
    let (name, mut value) = sealed("A", "1");
    value.data = "another nonce".into();
    given::<Service>([created(), changed([("A", "1")], [])])
        .when(Command::ChangeVariables {
            set: BTreeMap::from([(name, value)]),
            unset: BTreeSet::new(),
            deploy: None,
        })
        .then([]);
}

#[test]
fn a_variable_that_is_set_and_removed_at_once_is_set() {
    let both = |value| Command::ChangeVariables {
        set: variables([("A", value)]),
        unset: names(["A"]),
        deploy: None,
    };
    let state = [created(), changed([("A", "1")], [])];
    given::<Service>(state.clone()).when(both("2")).then([changed([("A", "2")], [])]);
    given::<Service>(state).when(both("1")).then([]); // Set already, and not removed for that.
}

#[test]
fn a_service_has_a_hundred_variables_and_not_one_more() {
    let many = |count: usize| -> BTreeMap<VariableName, Sealed> {
        (0..count).map(|n| sealed(&format!("V{n}"), "x")).collect()
    };
    let give = |count| Command::ChangeVariables { set: many(count), unset: BTreeSet::new(), deploy: None };
    given::<Service>([created()])
        .when(give(MAX_VARIABLES))
        .then([Event::VariablesChanged { set: many(MAX_VARIABLES), unset: BTreeSet::new() }]);
    given::<Service>([created()])
        .when(give(MAX_VARIABLES + 1))
        .then_rejected(&Rejection::TooManyVariables(101));
    let full = [created(), Event::VariablesChanged { set: many(MAX_VARIABLES), unset: BTreeSet::new() }];
    given::<Service>(full.clone())
        .when(set([("ONE_MORE", "1")], None))
        .then_rejected(&Rejection::TooManyVariables(101));
    given::<Service>(full.clone()).when(set([("V0", "y")], None)).then([changed([("V0", "y")], [])]);
    given::<Service>(full)
        .when(Command::ChangeVariables {
            set: variables([("ONE_MORE", "1")]),
            unset: names(["V0"]),
            deploy: None,
        })
        .then([changed([("ONE_MORE", "1")], ["V0"])]);
}

#[test]
fn a_change_of_what_runs_is_deployed() {
    given::<Service>(service_with_release(1)).when(set([("A", "1")], Some(deployment(2)))).then([
        changed([("A", "1")], []),
        of_configuration(2),
        admitted(2),
    ]);
}

#[test]
fn a_change_with_no_deploy_waits_for_the_next_deployment() {
    given::<Service>(service_with_release(1)).when(set([("A", "1")], None)).then([changed([("A", "1")], [])]);
}

#[test]
fn a_change_before_anything_runs_is_not_deployed() {
    given::<Service>([created()])
        .when(set([("A", "1")], Some(deployment(1))))
        .then([changed([("A", "1")], [])]);
}

#[test]
fn a_deployment_on_its_way_that_has_not_cut_its_release_takes_the_change_with_it() {
    let building = service_with_release(1).into_iter().chain([requested(2), admitted(2)]);
    given::<Service>(building).when(set([("A", "1")], Some(deployment(3)))).then([changed([("A", "1")], [])]);
}

#[test]
fn a_deployment_that_waits_takes_the_change_with_it() {
    let waits = [requested(2), admitted(2), cut(2, 2, BTreeMap::new()), requested(3)];
    given::<Service>(service_with_release(1).into_iter().chain(waits))
        .when(set([("A", "1")], Some(deployment(4))))
        .then([changed([("A", "1")], [])]);
}

#[test]
fn a_deployment_that_has_cut_its_release_does_not_and_another_one_follows_it() {
    let first = [created(), requested(1), admitted(1), cut(1, 1, BTreeMap::new())];
    given::<Service>(first.clone())
        .when(set([("A", "1")], Some(deployment(2))))
        .then([changed([("A", "1")], []), of_configuration(2)]);
    let live = first.into_iter().chain([activated(1, 1), ended(1, Outcome::Succeeded)]);
    given::<Service>(live).when(set([("A", "1")], Some(deployment(2)))).then([
        changed([("A", "1")], []),
        of_configuration(2),
        admitted(2),
    ]);
}

#[test]
fn a_service_is_scaled_from_1_to_the_most() {
    let scale = |replicas| Command::Scale { replicas, deploy: None };
    for replicas in [1, MAX_REPLICAS] {
        given::<Service>([created()]).when(scale(replicas)).then([Event::Scaled { replicas }]);
    }
    for replicas in [0, MAX_REPLICAS + 1] {
        given::<Service>([created()]).when(scale(replicas)).then_rejected(&Rejection::Replicas(replicas));
    }
}

#[test]
fn scaling_is_deployed_like_any_change_and_scaling_again_is_no_change() {
    let scale = Command::Scale { replicas: 3, deploy: Some(deployment(2)) };
    let scaled = Event::Scaled { replicas: 3 };
    given::<Service>(service_with_release(1)).when(scale.clone()).then([
        scaled.clone(),
        of_configuration(2),
        admitted(2),
    ]);
    given::<Service>(service_with_release(1).into_iter().chain([scaled])).when(scale).then([]);
}

#[test]
fn that_somebody_saw_values_is_recorded_and_changes_nothing() {
    let revealed = Event::VariablesRevealed { names: names(["A"]) };
    given::<Service>([created()])
        .when(Command::RecordReveal { names: names(["A"]) })
        .then([revealed.clone()]);
    given::<Service>([created()]).when(Command::RecordReveal { names: names([]) }).then([]);
    let after = given::<Service>([created(), revealed]).state();
    assert_eq!(after, given::<Service>([created()]).state());
}

/// A command that was given twice, with another's change in between.
#[test]
fn a_change_that_comes_late_is_not_deployed_under_an_id_that_was_used() {
    let change = |value: &str| changed([("A", value)], []);
    let deployed = [change("1"), of_configuration(2), admitted(2), ended(2, Outcome::Failed), change("2")];
    given::<Service>(service_with_release(1).into_iter().chain(deployed))
        .when(set([("A", "1")], Some(deployment(2))))
        .then([change("1")]);
}
