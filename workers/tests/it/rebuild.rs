//! What a release needs and what it does not: what nobody needs is removed, and what is brought back all the
//! same is built again.

use domain::deployment::Deployment;
use domain::service::release::ReleaseNumber;
use workers::ledger::Operation;
use workers::registry::collect::collect;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_to_what_is_gone_builds_it_again_and_says_so() {
    let world = World::new().await;
    let _platform = world.start();
    let mut artifacts = vec![];
    for _ in 0..2 {
        let deployment = world.deploy().await;
        world.finished(deployment).await;
        artifacts.push(world.active().await.live.unwrap().specification.build);
    }
    world.registry.lose(&artifacts[0].artifact);
    let back = world.roll_back(ReleaseNumber(1)).await;
    let state = world.finished(back).await;
    assert!(matches!(state, Deployment::Over { why: None, .. }), "{state:?}");
    let live = world.active().await.live.unwrap();
    assert_eq!((live.number, live.deployment), (ReleaseNumber(3), back));
    assert_eq!(live.specification.build.revision, artifacts[0].revision);
    assert_eq!(live.specification.build.plan, artifacts[0].plan);
    assert!(world.ledger.visible().contains_key(&Operation::Build(back)));
    let lines = world.lines(back).await;
    assert!(lines.iter().any(|line| line.contains("is not there any more; it is built again")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_to_what_is_there_builds_nothing() {
    let world = World::new().await;
    let _platform = world.start();
    for _ in 0..2 {
        let deployment = world.deploy().await;
        world.finished(deployment).await;
    }
    let back = world.roll_back(ReleaseNumber(1)).await;
    world.finished(back).await;
    assert!(!world.ledger.visible().contains_key(&Operation::Build(back)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_releases_keep_what_they_need_and_the_others_do_not() {
    let world = World::new().await;
    let _platform = world.start();
    for _ in 0..4 {
        let deployment = world.deploy().await;
        world.finished(deployment).await;
    }
    let collected = collect(&world.context(), 2).await.unwrap();
    assert_eq!((collected.removed, collected.kept), (2, 2));
    // The one that runs stays, whatever is said.
    let collected = collect(&world.context(), 0).await.unwrap();
    assert_eq!((collected.removed, collected.kept), (1, 1));
    let back = world.roll_back(ReleaseNumber(1)).await;
    let state = world.finished(back).await;
    assert!(matches!(state, Deployment::Over { why: None, .. }), "{state:?}");
}
