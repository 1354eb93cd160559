//! Killed at every point, in several ways, and killed again while it recovers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use domain::deployment::Deployment;
use eventlog::crash::points;
use futures::StreamExt;
use futures::stream;

use crate::invariants::{self, Deaths};
use crate::world::{CANARY, World};

/// How many worlds there are at one time.
const AT_ONCE: usize = 16;

/// The names of the crash points in these crates, read from the sources.
fn crash_points() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    points::of_crates(root, &["commands", "workers"])
}

/// How the platform dies, and what it finds when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It finds the queue as it was, and what it ran still runs.
    Alone,
    /// What it ran ended with it, as processes do.
    WithWhatItRan,
    /// The queue is lost.
    WithTheQueue,
    /// Killed once more, at the next point it comes to in recovery.
    Twice,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_every_point_it_goes_on_and_every_promise_holds() {
    let reached = Arc::<Mutex<BTreeSet<String>>>::default();
    let ways = [Way::Alone, Way::WithWhatItRan, Way::WithTheQueue, Way::Twice];
    let cases = crash_points().into_iter().flat_map(|name| ways.map(|way| (name.clone(), way)));
    let cases: Vec<_> = cases.collect();
    let count = cases.len();
    stream::iter(cases)
        .map(|(name, way)| {
            let reached = Arc::clone(&reached);
            async move {
                if killed(&name, way).await {
                    reached.lock().unwrap().insert(name);
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
    let reached = reached.lock().unwrap();
    let never: Vec<_> = crash_points().into_iter().filter(|name| !reached.contains(name)).collect();
    assert!(never.is_empty(), "never reached, of {count} cases: {never:?}");
}

/// One release runs; another is deployed, and the platform dies at the point. Whether it came to it.
async fn killed(name: &str, way: Way) -> bool {
    let what = format!("{name}, {way:?}");
    let world = World::new().await;
    world.set_variable(CANARY).await;
    let platform = world.start();
    let first = world.deploy().await;
    world.finished(first).await;
    platform.kill().await;

    let is_reconciled = name.starts_with("reconcile.");
    if is_reconciled {
        world.runtime.die();
    }
    let platform = world.start_to_die(Some(name));
    let second = world.deploy().await;
    let died = platform.died_before(world.all_done(second)).await;
    platform.kill().await;
    match way {
        Way::Alone | Way::Twice => {}
        Way::WithWhatItRan => world.runtime.die(),
        Way::WithTheQueue => {
            world.queue.clear().await.unwrap();
            world.queue.set_routed(domain::stream::Position::ZERO).await.unwrap();
        }
    }
    if way == Way::Twice {
        let platform = world.start_to_die(Some(next_in_recovery(name)));
        platform.died_before(async { drop(world.finished(second).await) }).await;
        platform.kill().await;
    }

    let platform = world.start();
    let state = world.finished(second).await;
    assert!(matches!(state, Deployment::Over { why: None, .. }), "{what}: {state:?}");
    let deaths =
        if way == Way::WithWhatItRan || is_reconciled { Deaths::OfEverythingThatRan } else { Deaths::None };
    invariants::hold(&world, &[first, second], deaths, &what).await;
    invariants::can_deploy_again(&world, &what).await;
    platform.kill().await;
    died
}

/// A point that is passed soon after the platform has come back from a kill at `name`.
fn next_in_recovery(name: &str) -> &'static str {
    if name.starts_with("step.") { "command.after_append" } else { "router.after_effects" }
}
