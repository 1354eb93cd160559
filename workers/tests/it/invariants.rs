//! What must be so after every run: I1, I3, I6, I7, I13 and I15 of the reliability notes. (I2 is the bus's,
//! I4 and I5 are the projector's; their tests stand in those crates.)

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::deployment::step::Step;
use domain::deployment::{Deployment, Event, Why};
use domain::event::Event as AnyEvent;
use domain::id::DeploymentId;
use domain::service::release::InstanceId;
use domain::stream::{Position, StreamId, Version};
use eventlog::log::{Filter, MAX_PAGE};
use workers::ledger::Operation as BuildOperation;
use workers::runtime::fake::ledger::Operation;

use crate::world::{CANARY, World};

/// Whether what ran ended with the platform, so that starting it again is no repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deaths {
    /// It did not.
    None,
    /// It did.
    OfEverythingThatRan,
}

/// Checks all of them. `done` are deployments whose end was seen.
pub(crate) async fn hold(world: &World, done: &[DeploymentId], deaths: Deaths, what: &str) {
    streams_are_whole(world, what).await;
    each_ended_once(world, done, what).await;
    what_runs_is_what_should(world, what).await;
    effects_were_seen_once(world, deaths, what);
    no_secret_is_in_the_log(world, what).await;
}

/// I3: versions without a gap, and a chain of hashes that holds. Reading a stream checks both.
async fn streams_are_whole(world: &World, what: &str) {
    let page = world.log.read_all(Position::ZERO, &Filter::all(), MAX_PAGE).await.unwrap();
    let streams: BTreeSet<StreamId> = page.commits.iter().map(|commit| commit.stream).collect();
    for stream in streams {
        let slice = world.log.read(&stream, Version::ZERO).await.unwrap();
        assert_eq!(slice.events.len() as u64, slice.head.version.0, "{what}: {stream}");
    }
}

/// I7: one end for each deployment, and one at most with the traffic.
async fn each_ended_once(world: &World, done: &[DeploymentId], what: &str) {
    let page = world.log.read_all(Position::ZERO, &Filter::all(), MAX_PAGE).await.unwrap();
    let mut ends: BTreeMap<uuid::Uuid, usize> = BTreeMap::new();
    for recorded in page.commits.iter().flat_map(|commit| &commit.events) {
        if let AnyEvent::Deployment(Event::WentLive { .. } | Event::Failed { .. } | Event::Cancelled { .. }) =
            &recorded.event
        {
            *ends.entry(recorded.stream.id).or_default() += 1;
        }
    }
    for deployment in done {
        assert_eq!(ends.get(&deployment.0), Some(&1), "{what}: {deployment}");
    }
    assert!(world.active().await.turn.is_none(), "{what}: somebody still has the turn");
}

/// I6: what runs is the live release, and nothing else is left.
async fn what_runs_is_what_should(world: &World, what: &str) {
    let active = world.active().await;
    let wanted: BTreeSet<InstanceId> = active.live.as_ref().map_or_else(BTreeSet::new, |live| {
        let of = |ordinal| InstanceId { deployment: live.deployment, ordinal };
        (0..live.specification.replicas).map(of).collect()
    });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while world.runtime.running() != wanted {
        let running = world.runtime.running();
        assert!(tokio::time::Instant::now() < deadline, "{what}: {running:?} runs, and should {wanted:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let builds = world.directory.path().join("builds");
    let left: BTreeSet<String> = std::fs::read_dir(builds)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    for name in left {
        let id: DeploymentId = name.parse().unwrap();
        let state = world.deployment(id).await;
        // What the registry has taken stays: the next deployment of the same revision uses it.
        let is_built = state.facts().is_some_and(|facts| facts.artifact.is_some());
        let may_be_taken =
            matches!(&state, Deployment::Over { why: Some(Why::Failed { step: Step::Push, .. }), .. });
        let is_kept = is_built || may_be_taken;
        assert!(is_kept, "{what}: files of {id} are left, which is {state:?}");
    }
}

/// I7: of each effect, one that was seen.
fn effects_were_seen_once(world: &World, deaths: Deaths, what: &str) {
    for (operation, times) in world.ledger.visible() {
        let may_repeat = matches!(operation, BuildOperation::Clean(_));
        assert!(times <= 1 || may_repeat, "{what}: {operation:?} was seen {times} times");
    }
    for (operation, times) in world.runtime.visible() {
        let may_repeat = match operation {
            Operation::Start(_) => deaths == Deaths::OfEverythingThatRan,
            Operation::Stop(_) | Operation::Clean(_) => true,
            Operation::Run(..) => false,
        };
        assert!(times <= 1 || may_repeat, "{what}: {operation:?} was seen {times} times");
    }
}

/// I13.
async fn no_secret_is_in_the_log(world: &World, what: &str) {
    let page = world.log.read_all(Position::ZERO, &Filter::all(), MAX_PAGE).await.unwrap();
    for recorded in page.commits.iter().flat_map(|commit| &commit.events) {
        let wire = recorded.event.to_wire();
        assert!(!wire.data.to_string().contains(CANARY), "{what}: {}", wire.event_type);
    }
}

/// I15: afterwards a deployment succeeds.
pub(crate) async fn can_deploy_again(world: &World, what: &str) {
    let deployment = world.deploy().await;
    let state = world.finished(deployment).await;
    assert!(matches!(state, Deployment::Over { why: None, .. }), "{what}: {state:?}");
}
