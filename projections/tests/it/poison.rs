//! An event that breaks a projection stops that one, visibly, and no other.

use std::time::Duration;

use domain::event::Event;
use domain::service;
use domain::stream::{Position, Recorded};
use eventlog::log::EventLog as _;
use switchback_projections::change::Change;
use switchback_projections::projection::{self, Projection};
use switchback_projections::projector::{Projector, State, checkpoint};
use switchback_projections::table::{Owner, Table, number, text};
use switchback_projections::wait::Watermark;

use crate::database::on_both;
use crate::story::Shop;

static NAMES: Table = Table {
    name: "names",
    key: 1,
    owner: Owner::Platform,
    columns: &[text("name"), number("times")],
    indexes: &[],
};

static TABLES: [&Table; 1] = [&NAMES];

/// Notes each variable that is set; the database refuses the second one of a name.
fn refused(recorded: &Recorded) -> Vec<Change> {
    let Event::Service(service::Event::VariablesChanged { set, .. }) = &recorded.event else { return vec![] };
    set.keys().map(|name| NAMES.insert(name, [("times", 1_i64.into())])).collect()
}

fn panicking(recorded: &Recorded) -> Vec<Change> {
    let Event::Service(service::Event::VariablesChanged { set, .. }) = &recorded.event else { return vec![] };
    assert!(!set.keys().any(|name| name.as_str() == "BAD"), "a mistake in a projection");
    set.keys().map(|name| NAMES.upsert(name, [("times", 1_i64.into())])).collect()
}

fn misfitting(recorded: &Recorded) -> Vec<Change> {
    let Event::Service(service::Event::VariablesChanged { set, .. }) = &recorded.event else { return vec![] };
    let column = if set.keys().any(|name| name.as_str() == "BAD") { "colour" } else { "times" };
    set.keys().map(|name| NAMES.upsert(name, [(column, 1_i64.into())])).collect()
}

fn mended(recorded: &Recorded) -> Vec<Change> {
    let Event::Service(service::Event::VariablesChanged { set, .. }) = &recorded.event else { return vec![] };
    set.keys().map(|name| NAMES.upsert(name, [("times", 1_i64.into())])).collect()
}

fn with(changes: fn(&Recorded) -> Vec<Change>) -> Vec<Projection> {
    let mut all = projection::ALL.to_vec();
    all.insert(3, Projection { name: "names", version: 1, tables: &TABLES, changes });
    all
}

on_both! {
    async fn a_projection_that_an_event_breaks_is_stopped_and_the_others_go_on(database: Database) {
        for (changes, word) in [
            (panicking as fn(&Recorded) -> Vec<Change>, "panicked"),
            (misfitting, "no column colour"),
            (refused, "names"),
        ] {
            let mut shop = Shop::open().await;
            let (story, web) = (&mut shop.story, shop.web);
            story.stage(web, "GOOD", "1", None).await;
            let store = database.open().await;
            let projector = Projector::new(story.shared(), store.clone(), with(changes));
            projector.catch_up().await.unwrap();
            assert!(projector.status().is_healthy());

            // All in one batch: what comes before the bad event counts, what comes behind it does not.
            story.stage(web, "BETTER", "1", None).await;
            let bad = story.stage(web, "BAD", "1", None).await;
            let bad = if word == "names" { story.stage(web, "BAD", "2", None).await } else { bad };
            let last = story.stage(web, "BEST", "1", None).await;
            projector.catch_up().await.unwrap();

            let status = projector.status();
            let stopped: Vec<_> =
                status.projections.iter().filter(|one| one.state == State::Stopped).collect();
            assert_eq!(stopped.len(), 1);
            let poison = stopped[0].poison.as_ref().unwrap();
            assert_eq!((stopped[0].name, poison.position), ("names", bad));
            assert_eq!(stopped[0].position, Position(bad.0 - 1));
            assert!(poison.message.contains(word), "{}", poison.message);
            assert!(stopped[0].lag > 0);
            let rows = database.query("SELECT name FROM names".into(), 1).await;
            let rows: Vec<_> = rows.into_iter().flatten().flatten().collect();
            assert!(rows.contains(&"BETTER".into()) && !rows.contains(&"BEST".into()), "{rows:?}");

            let checkpoints = checkpoint::all(&store).await.unwrap();
            for known in &checkpoints {
                let expected = if known.name == "names" { Position(bad.0 - 1) } else { last };
                assert_eq!(known.position, expected, "{}", known.name);
                assert_eq!(known.error.is_some(), known.name == "names");
            }
            // Readers of the others need not wait for it, readers of it do, in this process and in others.
            let (soon, elsewhere) = (Duration::from_millis(100), Watermark::polling(store.clone()));
            for watermark in [projector.watermark(), elsewhere] {
                watermark.wait_until(last, soon).await.unwrap();
                watermark.wait_for(&["service"], last, soon).await.unwrap();
                watermark.wait_for(&["names", "service"], last, soon).await.unwrap_err();
            }

            let projector = Projector::new(story.shared(), store.clone(), with(mended));
            projector.catch_up().await.unwrap();
            assert!(projector.status().is_healthy(), "a mended program goes on where it stopped");
            let rows = database.query("SELECT name FROM names WHERE name = 'BEST'".into(), 1).await;
            assert_eq!(rows.len(), 1);
            database.execute("DELETE FROM projections WHERE name = 'names'".into()).await;
            database.execute("UPDATE projections SET version = 0, position = 0".into()).await;
            database.execute("DROP TABLE names".into()).await;
        }
    }

    async fn one_that_an_event_breaks_while_it_is_built_keeps_nobody_waiting(database: Database) {
        let mut shop = Shop::open().await;
        shop.story.stage(shop.web, "BAD", "1", None).await;
        let store = database.open().await;
        let projector = Projector::new(shop.story.shared(), store.clone(), with(panicking));
        let watermark = projector.watermark();
        let work = async {
            let head = shop.story.log.head().await.unwrap();
            watermark.wait_until(head, Duration::from_secs(30)).await.unwrap();
            let next = shop.story.stage(shop.web, "GOOD", "1", None).await;
            watermark.wait_until(next, Duration::from_secs(30)).await.unwrap();
        };
        tokio::select! {
            () = work => {}
            () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
        }
        let status = projector.status();
        let stopped: Vec<_> = status.projections.iter().filter(|one| one.state != State::Live).collect();
        assert_eq!(stopped.len(), 1);
        assert_eq!((stopped[0].name, stopped[0].state), ("names", State::Stopped));
    }
}
