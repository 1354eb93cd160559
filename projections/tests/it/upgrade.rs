//! Migrations while a platform is upgraded: run once however many start, never at the cost of readers, and a
//! program goes on with the schema of a newer one.

use std::time::Duration;

use futures::future::join_all;
use sqlx::{Connection as _, PgConnection};
use switchback_projections::page::Page;
use switchback_projections::projection;
use switchback_projections::projector::{Observer, Projector, checkpoint};
use switchback_projections::service::{Filter, list};
use switchback_projections::store::ReadStore;

use crate::database::{Database, on_postgres, told};
use crate::story::{ACME, Shop};

#[tokio::test]
async fn many_that_start_at_once_migrate_once_on_postgres() {
    on_postgres(async |database: Database| {
        let stores: Vec<ReadStore> = join_all((0..8).map(|_| database.open())).await;
        for migrated in join_all(stores.iter().map(ReadStore::migrate)).await {
            migrated.unwrap();
        }
        let ran = database.query("SELECT CAST(version AS TEXT) FROM _sqlx_migrations".into(), 1).await;
        assert_eq!(ran.len(), 1);
        assert_eq!(checkpoint::all(&stores[0]).await.unwrap(), []);
    })
    .await;
}

/// Somebody holds a table that the migration needs, and readers need others: the migration gives up its place
/// in the queue, again and again, and is done when the table is free.
#[tokio::test]
async fn a_migration_that_waits_for_a_lock_lets_others_in_and_is_done_in_the_end_on_postgres() {
    on_postgres(async |database: Database| {
        let shop = Shop::open().await;
        let store = told(&database, &shop.story).await;
        let Database::Postgres { url } = &database else { unreachable!("it runs on PostgreSQL") };
        let mut connection = PgConnection::connect(url).await.unwrap();
        let lock = "BEGIN; LOCK TABLE _sqlx_migrations IN ACCESS EXCLUSIVE MODE";
        sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
        let migrate = store.migrate();
        tokio::pin!(migrate);
        let read = async {
            // Long enough for a first attempt to give up: half a second.
            let waits = "SELECT CAST(pid AS TEXT) FROM pg_stat_activity \
                         WHERE application_name = 'switchback migration' AND wait_event_type = 'Lock'";
            let (mut seen, mut gone) = (false, false);
            while !gone {
                list(&store, ACME, &Filter::default(), &Page::default()).await.unwrap();
                let is_waiting = !database.query(waits.into(), 1).await.is_empty();
                gone = seen && !is_waiting;
                seen |= is_waiting;
            }
        };
        tokio::select! {
            early = &mut migrate => panic!("it did not wait: {early:?}"),
            () = read => {}
        }
        sqlx::raw_sql("COMMIT").execute(&mut connection).await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), migrate).await.unwrap().unwrap();
    })
    .await;
}

/// What a newer program adds to the schema, an older one lets be: one that runs, and one that starts.
#[tokio::test]
async fn a_program_goes_on_with_the_schema_of_a_newer_one_on_postgres() {
    on_postgres(async |database: Database| {
        let mut shop = Shop::open().await;
        let store = told(&database, &shop.story).await;
        for expand in [
            "ALTER TABLE projections ADD COLUMN beside TEXT",
            "ALTER TABLE projections ADD COLUMN counted BIGINT NOT NULL DEFAULT 0",
            "CREATE TABLE newer (id TEXT PRIMARY KEY)",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9000, 'newer', true, '\\x00', 0)",
        ] {
            database.execute(expand.into()).await;
        }
        for store in [store, database.open().await] {
            let position = shop.story.stage(shop.web, "A", "1", None).await;
            let projector = Projector::new(shop.story.shared(), store.clone(), projection::ALL);
            assert_eq!(projector.catch_up().await.unwrap(), position);
            let found = list(&store, ACME, &Filter::default(), &Page::default()).await.unwrap();
            assert_eq!(found.items.len(), 2);
            let observer = Observer::new(shop.story.shared(), store, &projection::ALL);
            assert!(observer.look().await.is_healthy());
        }
        database.execute("UPDATE projections SET version = 0".into()).await;
        told(&database, &shop.story).await;
    })
    .await;
}
