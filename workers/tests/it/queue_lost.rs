//! The log is the truth: deleting every item of work and starting again from the first position changes
//! nothing.

use domain::stream::Position;

use crate::invariants::{self, Deaths};
use crate::world::{CANARY, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_over_from_the_first_position_changes_nothing() {
    let world = World::new().await;
    let platform = world.start();
    let mut done = vec![];
    for _ in 0..3 {
        done.push(world.deploy().await);
        world.finished(done[done.len() - 1]).await;
    }
    done.extend(world.set_variable(CANARY).await);
    world.finished(done[done.len() - 1]).await;
    platform.kill().await;
    let (head, effects) = (world.log.head().await.unwrap(), world.runtime.ledger().len());

    world.queue.clear().await.unwrap();
    world.queue.set_routed(Position::ZERO).await.unwrap();
    let platform = world.start();
    while world.queue.routed().await.unwrap() < head {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(world.log.head().await.unwrap(), head, "nothing was appended");
    assert_eq!(world.runtime.ledger().len(), effects, "nothing was done");
    invariants::hold(&world, &done, Deaths::None, "started over").await;
    invariants::can_deploy_again(&world, "started over").await;
    platform.kill().await;
}
