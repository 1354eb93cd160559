//! What should run runs, whatever happens to it.

use std::time::Duration;

use domain::event::Event as AnyEvent;
use domain::service::Event;
use domain::stream::Position;
use eventlog::log::{Filter, MAX_PAGE};

use crate::invariants::{self, Deaths};
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_ends_by_itself_is_recorded_and_started_again() {
    let world = World::new().await;
    let platform = world.start();
    let deployment = world.deploy().await;
    world.finished(deployment).await;
    let victim = *world.runtime.running().iter().next().unwrap();
    world.runtime.end(victim, "exit status 7");
    invariants::hold(&world, &[deployment], Deaths::OfEverythingThatRan, "after an exit").await;
    let mut recorded = vec![];
    while recorded.is_empty() {
        let page = world.log.read_all(Position::ZERO, &Filter::all(), MAX_PAGE).await.unwrap();
        let exits = page.commits.into_iter().flat_map(|commit| commit.events).filter_map(|recorded| {
            let AnyEvent::Service(Event::InstanceExited { instance, exit, .. }) = recorded.event else {
                return None;
            };
            Some((instance, exit))
        });
        recorded = exits.collect();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(recorded, [(victim, "exit status 7".to_owned())]);
    platform.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_ended_with_the_platform_runs_again_where_the_log_says() {
    let world = World::new().await;
    let platform = world.start();
    let deployment = world.deploy().await;
    world.finished(deployment).await;
    platform.kill().await;
    world.runtime.die();
    let platform = world.start();
    invariants::hold(&world, &[deployment], Deaths::OfEverythingThatRan, "after a death").await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let live = world.active().await.live.clone().unwrap();
        if live.instances.len() == 2 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{:?}", live.instances);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    platform.kill().await;
}
