//! Cancelled at every step: it stops there, and nothing of it is left.

use domain::deployment::step::Step;
use domain::deployment::{Deployment, Why};
use futures::StreamExt;
use futures::stream;
use workers::ledger::{Fault, Operation as BuildOperation};
use workers::runtime::fake::ledger::Operation;

use crate::invariants::{self, Deaths};
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_hangs_is_left_when_the_deployment_is_cancelled() {
    let steps = [Step::Fetch, Step::Build, Step::Prepare, Step::RollOut];
    stream::iter(steps).map(cancelled_in).buffer_unordered(4).collect::<Vec<()>>().await;
}

async fn cancelled_in(step: Step) {
    let what = format!("cancelled in {step}");
    let world = World::new().await;
    let platform = world.start();
    let first = world.deploy().await;
    world.finished(first).await;
    let hang = Some(Fault::Hang { done: true });
    world.ledger.faults(move |operation, _| {
        let hangs = matches!(
            (step, operation),
            (Step::Fetch, BuildOperation::Fetch(_)) | (Step::Build, BuildOperation::Build(_))
        );
        hang.filter(|_| hangs)
    });
    world.runtime.faults(move |operation, _| {
        let hangs = matches!(
            (step, operation),
            (Step::Prepare, Operation::Run(..)) | (Step::RollOut, Operation::Start(_))
        );
        hang.filter(|_| hangs)
    });
    let second = world.deploy().await;
    loop {
        let is_there = world
            .deployment(second)
            .await
            .task()
            .is_some_and(|task| task.work.step() == step && task.fence().is_some());
        if is_there {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.cancel(second).await.unwrap();
    let state = world.finished(second).await;
    assert!(matches!(state, Deployment::Over { why: Some(Why::Cancelled { .. }), .. }), "{what}: {state:?}");
    world.ledger.faults(|_, _| None);
    world.runtime.faults(|_, _| None);
    assert_eq!(world.active().await.live.as_ref().map(|live| live.deployment), Some(first), "{what}");
    invariants::hold(&world, &[first, second], Deaths::None, &what).await;
    world.cancel(second).await.unwrap();
    invariants::can_deploy_again(&world, &what).await;
    platform.kill().await;
}

#[tokio::test]
async fn one_that_waits_is_taken_back_and_one_that_went_live_is_not_cancelled() {
    let world = World::new().await;
    let (first, second) = (world.deploy().await, world.deploy().await);
    world.cancel(second).await.unwrap();
    let platform = world.start();
    world.finished(first).await;
    let refused = world.cancel(first).await.unwrap_err();
    assert_eq!(refused.code(), Some("deployment_went_live"), "{refused}");
    invariants::hold(&world, &[first], Deaths::None, "withdrawn").await;
    platform.kill().await;
}
