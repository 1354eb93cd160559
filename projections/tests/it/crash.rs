//! A read model after random kills equals one built in one go (I4), and its checkpoint is never ahead of its
//! rows or behind them (I5).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::stream::Position;
use eventlog::crash::{INJECTOR, Injector, Verdict};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use switchback_projections::projection;
use switchback_projections::projector::{Projector, checkpoint};
use tokio::sync::Notify;

use crate::database::{Database, on_both, on_postgres, on_sqlite};
use crate::dump::difference;
use crate::random::{Random, seed};
use crate::story::Story;

const KILLS: usize = 40;
const ACTS_BETWEEN: usize = 12;

/// Runs a projector until it is killed: at the n-th crash point that it passes, or after a while, wherever it
/// is then.
async fn run_and_kill(database: &Database, story: &Story, point: u32, after: Duration) -> bool {
    let store = database.open().await;
    let projector = Projector::new(story.shared(), store, projection::ALL);
    let (passed, died) = (AtomicU32::new(0), Arc::new(Notify::new()));
    let tell = Arc::clone(&died);
    let injector: Injector = Arc::new(move |name: &str| {
        assert!(name.starts_with("projector."), "{name}");
        if passed.fetch_add(1, Ordering::SeqCst) + 1 < point {
            return Verdict::GoOn;
        }
        tell.notify_one();
        Verdict::Die
    });
    let run = INJECTOR.scope(injector, projector.run(std::future::pending()));
    tokio::select! {
        biased;
        () = died.notified() => true,
        () = tokio::time::sleep(after) => false,
        () = run => unreachable!("it runs for ever"),
    }
}

async fn check(database: &Database, story: &Story) {
    let store = database.open().await;
    let projector = Projector::new(story.shared(), store.clone(), projection::ALL);
    // What was killed may hold its locks for a moment.
    let mut caught_up = projector.catch_up().await;
    for _ in 0..20 {
        if caught_up.is_ok() {
            break;
        }
        caught_up = projector.catch_up().await;
    }
    let head = caught_up.unwrap();
    for checkpoint in checkpoint::all(&store).await.unwrap() {
        assert_eq!((checkpoint.state.as_str(), checkpoint.position, checkpoint.error), ("live", head, None));
    }
}

async fn killed_at_random_it_equals_one_built_in_one_go(database: Database) {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut random = Random::begin(seed).await;
    random.acts(100).await;
    let mut at_points = 0;
    for _ in 0..KILLS {
        random.acts(ACTS_BETWEEN).await;
        // Half of the time at one of the points, half of the time wherever it is then.
        let (point, after) = if rng.random_bool(0.5) {
            (rng.random_range(1..3), Duration::from_secs(10))
        } else {
            (u32::MAX, Duration::from_micros(rng.random_range(0..100_000)))
        };
        at_points += u32::from(run_and_kill(&database, &random.story, point, after).await);
    }
    assert!(at_points > 5, "crash points were reached {at_points} times only");
    is_as_built_in_one_go(&database, &random.story, &format!("SWITCHBACK_SEED={seed}")).await;
    assert!(database.dump(&projection::ALL).await["history"].len() > 300);
}

/// Each crash point alone: the projector dies there once, is started again, and nothing is lost or counted
/// twice.
async fn killed_at_each_point_it_equals_one_built_in_one_go(database: Database) {
    let mut random = Random::begin(7).await;
    random.acts(60).await;
    for name in points() {
        check(&database, &random.story).await;
        random.acts(20).await;
        if name.ends_with("swap") {
            database.execute("UPDATE projections SET version = 0".into()).await;
        }
        let killed = kill_at(&database, &random.story, name).await;
        assert!(killed, "crash point {name} was never reached");
        random.acts(20).await;
        is_as_built_in_one_go(&database, &random.story, name).await;
    }
}

async fn is_as_built_in_one_go(database: &Database, story: &Story, hint: &str) {
    check(database, story).await;
    let found = database.dump(&projection::ALL).await;
    on_sqlite(async |other: Database| {
        check(&other, story).await;
        assert_eq!(difference(&found, &other.dump(&projection::ALL).await), "", "{hint}");
    })
    .await;
}

async fn kill_at(database: &Database, story: &Story, name: &'static str) -> bool {
    let store = database.open().await;
    let projector = Projector::new(story.shared(), store, projection::ALL);
    let died = Arc::new(Notify::new());
    let tell = Arc::clone(&died);
    let injector: Injector = Arc::new(move |passed: &str| {
        if passed != name {
            return Verdict::GoOn;
        }
        tell.notify_one();
        Verdict::Die
    });
    let run = INJECTOR.scope(injector, projector.run(std::future::pending()));
    tokio::select! {
        biased;
        () = died.notified() => true,
        () = tokio::time::sleep(Duration::from_secs(20)) => false,
        () = run => unreachable!("it runs for ever"),
    }
}

/// The crash points, as they stand in the sources.
fn points() -> Vec<&'static str> {
    let sources =
        [include_str!("../../src/projector/apply.rs"), include_str!("../../src/projector/rebuild.rs")];
    let points: Vec<_> = sources
        .into_iter()
        .flat_map(|source| source.split("crash_point!(\"").skip(1))
        .filter_map(|rest| rest.split_once('"').map(|(name, _)| name))
        .collect();
    assert_eq!(points.len(), 4, "{points:?}");
    points
}

#[tokio::test]
async fn killed_at_random_it_equals_one_built_in_one_go_on_sqlite() {
    on_sqlite(killed_at_random_it_equals_one_built_in_one_go).await;
}

#[tokio::test]
async fn killed_at_random_it_equals_one_built_in_one_go_on_postgres() {
    on_postgres(killed_at_random_it_equals_one_built_in_one_go).await;
}

#[tokio::test]
async fn killed_at_each_point_it_equals_one_built_in_one_go_on_sqlite() {
    on_sqlite(killed_at_each_point_it_equals_one_built_in_one_go).await;
}

#[tokio::test]
async fn killed_at_each_point_it_equals_one_built_in_one_go_on_postgres() {
    on_postgres(killed_at_each_point_it_equals_one_built_in_one_go).await;
}

on_both! {
    async fn two_projectors_at_once_count_nothing_twice(database: Database) {
        let mut random = Random::begin(11).await;
        random.acts(50).await;
        check(&database, &random.story).await;
        let (first, second) = (database.open().await, database.open().await);
        let first = Projector::new(random.story.shared(), first, projection::ALL);
        let second = Projector::new(random.story.shared(), second, projection::ALL);
        let watermarks = [first.watermark(), second.watermark()];
        let work = async {
            for watermark in &watermarks {
                watermark.wait_until(Position(1), Duration::from_secs(30)).await.unwrap();
            }
            for _ in 0..30 {
                random.acts(10).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let head = eventlog::log::EventLog::head(&random.story.log).await.unwrap();
            for watermark in &watermarks {
                watermark.wait_until(head, Duration::from_secs(30)).await.unwrap();
            }
        };
        tokio::select! {
            () = work => {}
            () = first.run(std::future::pending()) => unreachable!("it runs for ever"),
            () = second.run(std::future::pending()) => unreachable!("it runs for ever"),
        }
        for checkpoint in checkpoint::all(&database.open().await).await.unwrap() {
            assert_eq!(checkpoint.error, None, "an event that came twice broke {}", checkpoint.name);
        }
        is_as_built_in_one_go(&database, &random.story, "two at once").await;
    }
}
