//! How far behind the log the read models are, asked of the checkpoints by whoever reads both.

use chrono::TimeDelta;
use domain::event::Event;
use domain::service;
use domain::stream::{Position, Recorded};
use eventlog::log::{EventLog as _, Filter};
use switchback_projections::change::Change;
use switchback_projections::measure::lag;
use switchback_projections::projection::{self, Projection};
use switchback_projections::projector::Projector;

use crate::database::on_both;
use crate::story::Shop;

/// The variables' projection, with a mistake in it.
fn mistaken(recorded: &Recorded) -> Vec<Change> {
    let Event::Service(service::Event::VariablesChanged { set, .. }) = &recorded.event else { return vec![] };
    assert!(!set.keys().any(|name| name.as_str() == "BAD"), "a mistake in a projection");
    vec![]
}

fn with_a_mistake() -> Vec<Projection> {
    let all = projection::ALL.iter().copied();
    let mistaken = |known: Projection| match known.name {
        "variable" => Projection { changes: mistaken, ..known },
        _ => known,
    };
    all.map(mistaken).collect()
}

on_both! {
    async fn the_lag_is_the_commits_that_queries_do_not_see_and_the_age_of_the_oldest(database: Database) {
        let mut shop = Shop::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        let (store, log) = (database.open().await, story.shared());
        let projector = Projector::new(story.shared(), store.clone(), projection::ALL);
        let built = projector.catch_up().await.unwrap();
        let first = story.stage(web, "ONE", "1", None).await;
        story.stage(web, "TWO", "1", None).await;
        let page = log.read_all(Position(first.0 - 1), &Filter::all(), 1).await.unwrap();
        let at = page.commits[0].events[0].at;

        for known in lag(&store, &log, at + TimeDelta::seconds(7)).await.unwrap() {
            assert_eq!((known.state, known.position, known.lag), ("live", built, 2), "{}", known.projection);
            assert_eq!(known.lag_ms, 7000, "{}", known.projection);
        }
        projector.catch_up().await.unwrap();
        for known in lag(&store, &log, at + TimeDelta::seconds(7)).await.unwrap() {
            assert_eq!((known.lag, known.lag_ms), (0, 0), "{}", known.projection);
        }
    }

    async fn what_an_event_stopped_is_named_with_its_position(database: Database) {
        let mut shop = Shop::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        let (store, log) = (database.open().await, story.shared());
        let projector = Projector::new(story.shared(), store.clone(), with_a_mistake());
        projector.catch_up().await.unwrap();
        let bad = story.stage(web, "BAD", "1", None).await;
        story.stage(web, "GOOD", "1", None).await;
        projector.catch_up().await.unwrap();

        let now = chrono::Utc::now();
        for known in lag(&store, &log, now).await.unwrap() {
            let is_stopped = known.projection == "variable";
            let expected = if is_stopped { ("stopped", 2, Some(bad)) } else { ("live", 0, None) };
            assert_eq!((known.state, known.lag, known.stopped_at), expected, "{}", known.projection);
        }
    }

    async fn where_no_projector_ever_ran_everything_is_to_be_built(database: Database) {
        let shop = Shop::open().await;
        let head = shop.story.log.head().await.unwrap();
        let lags = lag(&database.open().await, &shop.story.shared(), chrono::Utc::now()).await.unwrap();
        assert_eq!(lags.len(), projection::ALL.len());
        assert!(lags.iter().all(|known| known.state == "building" && known.lag == head.0));
    }
}
