//! Rollback: found by replay, planned, and made current.

use std::collections::{BTreeMap, BTreeSet};

use commands::service::VariableChange;
use domain::digest::Digest;
use domain::id::{DeploymentId, ServiceId};
use domain::plan::{Language, Plan, Run, Start};
use domain::rollback::Target;
use domain::secret::Secret;
use domain::service::release::{Build, ReleaseNumber};
use domain::service::{Command, Outcome, Service};
use domain::stream::StreamId;

use crate::{HOME, House, by_owner, repository};

fn built(byte: u8) -> Build {
    let run = Run::new(Start::Static { directory: ".".into() });
    let plan = Plan {
        language: Language::Static,
        detected_by: "index.html".into(),
        root: String::new(),
        dockerfile: None,
        install: vec![],
        build: vec![],
        run,
    };
    Build { artifact: Digest::from_sha256([byte; 32]), source: repository(), revision: None, plan }
}

/// What the saga does, by hand: cut, activate, end.
async fn go_live(house: &House, service: ServiceId, deployment: DeploymentId, build: Option<Build>) {
    let stream = StreamId::service(HOME, service);
    let build = build.map(Box::new);
    for command in [
        Command::CutRelease { deployment, build },
        Command::Activate { deployment, instances: vec![] },
        Command::EndDeployment { deployment, outcome: Outcome::Succeeded },
    ] {
        house.bus.dispatch::<Service>(&by_owner(), stream, command).await.unwrap();
    }
}

async fn deploy(house: &House, service: ServiceId, byte: u8) {
    let (deployment, _) = house.bus.deploy(&by_owner(), HOME, service, repository(), false).await.unwrap();
    go_live(house, service, deployment, Some(built(byte))).await;
}

#[tokio::test]
async fn brings_the_artifact_and_the_variables_of_then_back_as_a_new_release() {
    let house = House::new().await;
    let service = house.service(house.project("shop").await, "web").await;
    deploy(&house, service, 1).await;
    deploy(&house, service, 2).await;
    let set = BTreeMap::from([("A".parse().unwrap(), Secret::new("1"))]);
    let change = VariableChange { set, unset: BTreeSet::new(), deploy: true };
    let (carrier, _) = house.bus.change_variables(&by_owner(), HOME, service, change).await.unwrap();
    go_live(&house, service, carrier.expect("a deployment"), None).await;

    let target = Target::Release(ReleaseNumber(1));
    let plan = house.bus.plan_rollback(&by_owner(), HOME, service, target).await.unwrap();
    let told: Vec<String> = plan.changes.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["image 020202020202 -> 010101010101", "variable A removed"]);

    let (deployment, same_plan, _) = house.bus.roll_back(&by_owner(), HOME, service, target).await.unwrap();
    assert_eq!(same_plan, plan);
    go_live(&house, service, deployment, None).await;
    let state = house.bus.state::<Service>(StreamId::service(HOME, service)).await.unwrap();
    let live = state.active().unwrap().live.clone().expect("live");
    assert_eq!(live.number, ReleaseNumber(4));
    assert_eq!(live.specification.build, built(1));
    assert!(live.specification.variables.is_empty());
}

#[tokio::test]
async fn the_target_is_found_by_release_moment_and_position_alike() {
    let house = House::new().await;
    let service = house.service(house.project("shop").await, "web").await;
    deploy(&house, service, 1).await;
    let then = house.bus.history::<domain::service::Event>(StreamId::service(HOME, service)).await.unwrap();
    let moment = then.last().expect("events").clone();
    deploy(&house, service, 2).await;
    for target in [Target::Before, Target::Position(moment.position), Target::Time(moment.at)] {
        let plan = house.bus.plan_rollback(&by_owner(), HOME, service, target).await.unwrap();
        assert_eq!((plan.from, plan.to), (Some(ReleaseNumber(2)), ReleaseNumber(1)), "{target:?}");
    }
}

#[tokio::test]
async fn what_never_ran_is_current_or_is_not_there_is_refused() {
    let house = House::new().await;
    let service = house.service(house.project("shop").await, "web").await;
    let code = |target| {
        let bus = house.bus.clone();
        async move { bus.roll_back(&by_owner(), HOME, service, target).await.unwrap_err().code().unwrap() }
    };
    assert_eq!(code(Target::Before).await, "no_earlier_release");
    deploy(&house, service, 1).await;
    let (failed, _) = house.bus.deploy(&by_owner(), HOME, service, repository(), false).await.unwrap();
    let stream = StreamId::service(HOME, service);
    for command in [
        Command::CutRelease { deployment: failed, build: Some(Box::new(built(2))) },
        Command::EndDeployment { deployment: failed, outcome: Outcome::Failed },
    ] {
        house.bus.dispatch::<Service>(&by_owner(), stream, command).await.unwrap();
    }
    assert_eq!(code(Target::Release(ReleaseNumber(1))).await, "release_is_current");
    assert_eq!(code(Target::Release(ReleaseNumber(2))).await, "release_never_ran");
    assert_eq!(code(Target::Release(ReleaseNumber(3))).await, "release_not_found");
    assert_eq!(code(Target::Before).await, "no_earlier_release");
}

#[tokio::test]
async fn what_is_on_its_way_is_stopped() {
    let house = House::new().await;
    let service = house.service(house.project("shop").await, "web").await;
    deploy(&house, service, 1).await;
    deploy(&house, service, 2).await;
    let (on_its_way, _) = house.bus.deploy(&by_owner(), HOME, service, repository(), false).await.unwrap();
    let target = Target::Release(ReleaseNumber(1));
    let (rollback, _, _) = house.bus.roll_back(&by_owner(), HOME, service, target).await.unwrap();
    let stopped: domain::deployment::Deployment =
        house.bus.state(StreamId::deployment(HOME, on_its_way)).await.unwrap();
    assert!(matches!(stopped, domain::deployment::Deployment::Over { why: Some(_), .. }), "{stopped:?}");
    let state = house.bus.state::<Service>(StreamId::service(HOME, service)).await.unwrap();
    let waiting = state.active().unwrap().waiting.as_ref().map(|waiting| waiting.deployment);
    assert_eq!(waiting, Some(rollback));
}
