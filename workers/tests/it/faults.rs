//! Every operation of every port fails, for good and for a while, and gives no answer, done and not done.

use std::time::Duration;

use domain::deployment::Deployment;
use futures::StreamExt;
use futures::stream;
use workers::ledger::{Fault, Operation as BuildOperation};
use workers::runtime::fake::ledger::Operation;

use crate::invariants::{self, Deaths};
use crate::world::{CANARY, World};

/// How many worlds there are at one time.
const AT_ONCE: usize = 16;

/// The operations of a deployment, each with the number of tries its step has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Fetch,
    Detect,
    Build,
    Push,
    Start,
    Run,
    Stop,
}

const TARGETS: [Target; 7] =
    [Target::Fetch, Target::Detect, Target::Build, Target::Push, Target::Start, Target::Run, Target::Stop];

const FAULTS: [Fault; 6] = [
    Fault::Fail { permanent: true },
    Fault::Fail { permanent: false },
    Fault::NoAnswer { done: true },
    Fault::NoAnswer { done: false },
    Fault::Hang { done: true },
    Fault::Hang { done: false },
];

/// Makes the first `times` tries of the operation fail, from now on.
fn inject(world: &World, target: Target, fault: Fault, times: usize) {
    let hit = move |is_target: bool, n: usize| (is_target && n <= times).then_some(fault);
    let seen_build = std::sync::Mutex::new(std::collections::BTreeMap::<BuildOperation, usize>::new());
    world.ledger.faults(move |operation, _| {
        let is_target = match operation {
            BuildOperation::Fetch(_) => target == Target::Fetch,
            BuildOperation::Detect(_) => target == Target::Detect,
            BuildOperation::Build(_) => target == Target::Build,
            BuildOperation::Push(_) => target == Target::Push,
            BuildOperation::Clean(_) => false,
        };
        let mut seen = seen_build.lock().unwrap();
        let n = seen.entry(*operation).or_default();
        *n += 1;
        hit(is_target, *n)
    });
    let seen = std::sync::Mutex::new(std::collections::BTreeMap::<Operation, usize>::new());
    world.runtime.faults(move |operation, _| {
        let is_target = match operation {
            Operation::Start(_) => target == Target::Start,
            Operation::Run(..) => target == Target::Run,
            Operation::Stop(_) => target == Target::Stop,
            Operation::Clean(_) => false,
        };
        let mut seen = seen.lock().unwrap();
        let n = seen.entry(*operation).or_default();
        *n += 1;
        hit(is_target, *n)
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_try_that_goes_wrong_leaves_nothing_wrong() {
    let cases = TARGETS.into_iter().flat_map(|target| FAULTS.map(|fault| (target, fault)));
    stream::iter(cases)
        .map(|(target, fault)| async move { one_fault(target, fault).await })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
}

async fn one_fault(target: Target, fault: Fault) {
    let what = format!("{target:?}, {fault:?}");
    let mut world = World::new().await;
    if matches!(fault, Fault::Hang { .. }) {
        world.limit_steps(Duration::from_millis(700));
    }
    world.set_variable(CANARY).await;
    let platform = world.start();
    let first = world.deploy().await;
    world.finished(first).await;
    inject(&world, target, fault, 1);
    let second = world.deploy().await;
    let state = world.finished(second).await;
    let live = world.active().await.live.as_ref().map(|live| live.deployment);
    let Deployment::Over { why, .. } = &state else { panic!("{what}: {state:?}") };
    let expected = if why.is_none() { second } else { first };
    assert_eq!(live, Some(expected), "{what}: what failed leaves the old release: {why:?}");
    world.ledger.faults(|_, _| None);
    world.runtime.faults(|_, _| None);
    invariants::hold(&world, &[first, second], Deaths::None, &what).await;
    invariants::can_deploy_again(&world, &what).await;
    platform.kill().await;
}

#[tokio::test]
async fn what_fails_for_a_while_is_tried_again_and_succeeds() {
    let world = World::new().await;
    let platform = world.start();
    inject(&world, Target::Fetch, Fault::Fail { permanent: false }, 2);
    let deployment = world.deploy().await;
    let state = world.finished(deployment).await;
    assert!(matches!(state, Deployment::Over { why: None, .. }), "{state:?}");
    invariants::hold(&world, &[deployment], Deaths::None, "fetched at the third try").await;
    platform.kill().await;
}
