//! What a service does with each command: given – when – then.

mod configuration;
mod deletion;
mod releases;
mod requests;
mod rollback;

use super::release::ReleaseNumber;
use super::{Command, Event, Rejection, Service};
use crate::rejection::{Kind, Rejection as _};
use crate::testing::given;
use crate::testing::history::created;
use crate::testing::values::{ENVIRONMENT, PROJECT, deployment, hostname};

fn create(name: &str) -> Command {
    Command::Create {
        project: PROJECT,
        environment: ENVIRONMENT,
        name: name.parse().expect("valid"),
        hostname: hostname(),
    }
}

#[test]
fn a_service_is_made_once() {
    given::<Service>([]).when(create("web")).then([created()]);
    given::<Service>([created()]).when(create("web")).then([]);
}

#[test]
fn another_service_cannot_be_made_in_its_stream() {
    given::<Service>([created()]).when(create("api")).then_rejected(&Rejection::AlreadyExists);
}

#[test]
fn a_service_that_is_not_there_refuses_everything_else() {
    for command in [
        Command::Delete,
        Command::Withdraw { deployment: deployment(1) },
        Command::CutRelease { deployment: deployment(1), build: None },
        Command::Scale { replicas: 1, deploy: None },
    ] {
        given::<Service>([]).when(command).then_rejected(&Rejection::NotFound);
    }
}

#[test]
fn every_refusal_has_a_code_of_its_own_and_says_what_is_wrong() {
    let refusals = [
        (Rejection::NotFound, Kind::NotFound),
        (Rejection::AlreadyExists, Kind::Conflict),
        (Rejection::TooManyVariables(101), Kind::Invalid),
        (Rejection::Replicas(0), Kind::Invalid),
        (Rejection::ReleaseNotFound { wanted: ReleaseNumber(9), there: "x".into() }, Kind::NotFound),
        (Rejection::ReleaseNeverRan(ReleaseNumber(2)), Kind::Conflict),
        (Rejection::ReleaseIsCurrent(ReleaseNumber(2)), Kind::Conflict),
        (Rejection::NothingDeployed, Kind::Conflict),
        (Rejection::NotItsTurn(deployment(1)), Kind::Conflict),
        (Rejection::NothingBuilt(deployment(1)), Kind::Conflict),
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

/// What the service says of a history that it may not know: nothing is ever refused, whatever the order.
#[test]
fn events_before_the_first_one_change_nothing() {
    assert_eq!(given::<Service>([Event::Deleted {}, Event::Scaled { replicas: 3 }]).state(), Service::Absent);
}
