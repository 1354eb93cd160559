//! The end of a service, also while a deployment has the turn.

use std::collections::BTreeMap;

use crate::service::{Command, Event, Outcome, Rejection, Service};
use crate::testing::given;
use crate::testing::history::{admitted, created, cut, ended, requested, service_with_release};
use crate::testing::values::{build, deployment, from_source};

fn end(n: u32) -> Command {
    Command::EndDeployment { deployment: deployment(n), outcome: Outcome::Cancelled }
}

#[test]
fn a_service_is_deleted_once() {
    given::<Service>(service_with_release(1)).when(Command::Delete).then([Event::Deleted {}]);
    given::<Service>([created(), Event::Deleted {}]).when(Command::Delete).then([]);
}

#[test]
fn what_waits_is_withdrawn_with_the_service() {
    given::<Service>([created(), requested(1), admitted(1), requested(2)])
        .when(Command::Delete)
        .then([Event::DeploymentWithdrawn { deployment: deployment(2) }, Event::Deleted {}]);
}

#[test]
fn a_deleted_service_takes_no_commands() {
    let deleted: Vec<_> = service_with_release(1).into_iter().chain([Event::Deleted {}]).collect();
    for command in [
        super::create("web"),
        Command::Scale { replicas: 2, deploy: None },
        Command::Deploy { deployment: deployment(9), subject: from_source() },
        Command::CutRelease { deployment: deployment(1), build: Some(Box::new(build(1))) },
        Command::Activate { deployment: deployment(1), instances: vec![] },
    ] {
        given::<Service>(deleted.clone()).when(command).then_rejected(&Rejection::NotFound);
    }
}

#[test]
fn the_deployment_that_had_the_turn_gives_it_back_to_a_deleted_service_too() {
    let held = [created(), requested(1), admitted(1), Event::Deleted {}];
    given::<Service>(held.clone()).when(end(1)).then([ended(1, Outcome::Cancelled)]);
    given::<Service>(held.clone()).when(end(2)).then([]);
    let over: Vec<_> = held.into_iter().chain([ended(1, Outcome::Cancelled)]).collect();
    given::<Service>(over.clone()).when(end(1)).then([]);
    assert_eq!(given::<Service>(over).state(), Service::Deleted { turn: None });
}

#[test]
fn a_deleted_service_remembers_what_the_deployment_with_the_turn_brings() {
    let history = [created(), requested(1), admitted(1), cut(1, 1, BTreeMap::new()), Event::Deleted {}];
    let state = given::<Service>(history).state();
    let Service::Deleted { turn: Some(turn) } = state else { panic!("the turn is forgotten: {state:?}") };
    assert_eq!((turn.deployment, turn.subject), (deployment(1), from_source()));
}
