//! Waiting for a position, beside the projector and from another process.

use std::time::Duration;

use domain::stream::Position;
use futures::future::join_all;
use switchback_projections::projection;
use switchback_projections::projector::Projector;
use switchback_projections::service::get;
use switchback_projections::store::{Options, Pool, ReadStore};
use switchback_projections::wait::Watermark;

use crate::database::{Database, on_both, on_postgres, told};
use crate::story::{ACME, Shop};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(50);

on_both! {
    async fn whoever_waits_for_its_own_change_reads_it(database: Database) {
        let mut shop = Shop::open().await;
        let store = database.open().await;
        let projector = Projector::new(shop.story.shared(), store.clone(), projection::ALL);
        let (here, elsewhere) = (projector.watermark(), Watermark::polling(database.open().await));
        let work = async {
            for n in 0..20 {
                let watermark = if n % 2 == 0 { &here } else { &elsewhere };
                let name = format!("service-{n}");
                let service = shop.story.service(shop.project, shop.staging, &name).await;
                let position = Position(eventlog::log::EventLog::head(&shop.story.log).await.unwrap().0);
                watermark.wait_until(position, LONG).await.unwrap();
                let found = get(&store, ACME, service).await.unwrap();
                assert_eq!(found.map(|service| service.name.to_string()), Some(name));
                assert!(watermark.reached().await >= position);
            }
        };
        tokio::select! {
            () = work => {}
            () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
        }
    }

    async fn a_position_that_does_not_come_is_not_waited_for_longer_than_the_limit(database: Database) {
        let shop = Shop::open().await;
        let store = told(&database, &shop.story).await;
        let watermark = Watermark::polling(store);
        let (wanted, reached) = (Position(6), Position(5));
        let not_yet = watermark.wait_until(wanted, SHORT).await.unwrap_err();
        assert_eq!((not_yet.wanted, not_yet.reached), (wanted, reached));
        watermark.wait_until(reached, Duration::ZERO).await.unwrap();
        let unknown = watermark.wait_for(&["nobody"], Position(1), SHORT).await.unwrap_err();
        assert_eq!(unknown.reached, Position::ZERO);
    }

    async fn where_no_projector_has_run_nothing_is_reached(database: Database) {
        let watermark = Watermark::polling(database.open().await);
        assert_eq!(watermark.reached().await, Position::ZERO);
        watermark.wait_until(Position(1), SHORT).await.unwrap_err();
    }
}

/// However many wait, the database is asked as if one did.
#[tokio::test]
async fn many_who_wait_ask_once_on_postgres() {
    on_postgres(async |database: Database| {
        let mut shop = Shop::open().await;
        let store = told(&database, &shop.story).await;
        let Database::Postgres { url } = &database else { unreachable!("it runs on PostgreSQL") };
        // More who wait than there are connections, and none of them to spare.
        let one = Pool { max: 1, wait: Duration::from_millis(500), ..Pool::READERS };
        let narrow = ReadStore::postgres(url, Options::default().readers(one)).unwrap();
        let watermark = Watermark::polling(narrow);
        let position = shop.story.stage(shop.web, "A", "1", None).await;
        let wait = join_all((0..200).map(|_| watermark.wait_until(position, LONG)));
        let write = async {
            tokio::time::sleep(SHORT).await; // They wait by then, or come later: both are right.
            Projector::new(shop.story.shared(), store, projection::ALL).catch_up().await.unwrap();
        };
        let (waited, ()) = tokio::join!(wait, write);
        assert!(waited.iter().all(Result::is_ok), "{waited:?}");
    })
    .await;
}
