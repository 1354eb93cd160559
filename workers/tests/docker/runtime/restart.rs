//! The platform comes and goes, the engine comes and goes: what should run runs, and nothing twice.

use domain::deployment::step::Fence;
use domain::service::release::InstanceId;
use workers::output::Output;
use workers::runtime::Runtime;

use crate::daemon::Daemon;
use crate::engine::TestEngine;
use crate::runtime::platform::World;
use crate::runtime::stage::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_rolled_out_replaced_and_adopted_by_the_next_platform() {
    let world = World::new(TestEngine::new()).await;
    let platform = world.start();
    let first = world.deploy().await;
    world.finished(first).await;
    world.settled(&platform.runtime).await;
    let second = world.deploy().await;
    world.finished(second).await;
    world.settled(&platform.runtime).await;
    assert_eq!(world.active().await.live.as_ref().unwrap().deployment, second);
    // Two instances, and the note of the release command.
    let mut before = world.engine.containers().await;
    assert_eq!(before.len(), 3);
    let begin = std::time::Instant::now();
    platform.stop().await;
    assert!(begin.elapsed() < std::time::Duration::from_secs(10), "it stops promptly");

    let platform = world.start();
    let ids: Vec<InstanceId> = platform.runtime.list().await.unwrap();
    until("what they print is read", async || ids.iter().all(|id| platform.runtime.is_attached(*id))).await;
    world.settled(&platform.runtime).await;
    let mut after = world.engine.containers().await;
    before.sort();
    after.sort();
    assert_eq!(before, after, "the same containers");
    platform.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_asked_for_is_removed_also_from_before_the_reconcilers_time() {
    let world = World::new(TestEngine::new()).await;
    let platform = world.start();
    let first = world.deploy().await;
    world.finished(first).await;
    let request = {
        let mut request = crate::runtime::stage::Stage::new().instance("sleep 1000");
        request.id = InstanceId { deployment: first, ordinal: 0 };
        request.environment.service = world.service;
        request.environment.organization = crate::runtime::platform::HOME;
        request
    };
    let second = world.deploy().await;
    world.finished(second).await;
    world.settled(&platform.runtime).await;
    platform.kill().await;

    // A worker that slept since the first deployment; then a platform that knows nothing of that time.
    let late =
        workers::runtime::docker::DockerRuntime::connect(crate::runtime::stage::settings(&world.engine));
    late.unwrap().start(Fence(99), &request, Output::nowhere()).await.unwrap();
    assert_eq!(world.engine.containers().await.len(), 4);
    let platform = world.start_at(world.head().await);
    until("it is removed", async || !platform.runtime.list().await.unwrap().contains(&request.id)).await;
    platform.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_restarted_while_instances_run_has_them_again() {
    let mut daemon = Daemon::start(&TestEngine::new()).await;
    let world = World::new(TestEngine::at(daemon.url())).await;
    let platform = world.start();
    let deployment = world.deploy().await;
    world.finished(deployment).await;
    world.settled(&platform.runtime).await;
    let mut exits = platform.runtime.exits();
    for is_killed in [false, true] {
        if is_killed {
            daemon.kill_and_start().await;
        } else {
            daemon.restart().await;
        }
        world.settled(&platform.runtime).await;
        assert_eq!(world.engine.containers().await.len(), 3);
    }
    let heard: Vec<_> = std::iter::from_fn(|| exits.try_recv().ok()).collect();
    assert_eq!(heard, [], "no instance has ended by itself");
    platform.kill().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_restarted_in_the_middle_of_a_roll_out_does_not_end_the_deployment() {
    let mut daemon = Daemon::start(&TestEngine::new()).await;
    let world = World::new(TestEngine::at(daemon.url())).await;
    let platform = world.start();
    let first = world.deploy().await;
    world.finished(first).await;
    world.settled(&platform.runtime).await;
    let second = world.deploy().await;
    until("the roll-out has begun", async || {
        platform.runtime.list().await.is_ok_and(|ids| ids.iter().any(|id| id.deployment == second))
    })
    .await;
    daemon.restart().await;
    world.finished(second).await;
    world.settled(&platform.runtime).await;
    assert_eq!(world.active().await.live.as_ref().unwrap().deployment, second);
    platform.kill().await;
    drop(world);
}
