//! A projection of another version is built beside the live one and swapped in; readers never see an empty or
//! half-built table, or an error.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use domain::event::Event;
use domain::stream::Recorded;
use domain::{project, service};
use eventlog::log::EventLog as _;
use switchback_projections::change::Change;
use switchback_projections::page::Page;
use switchback_projections::projection::{self, Projection};
use switchback_projections::projector::{Projector, State, checkpoint};
use switchback_projections::service::{Filter, list};
use switchback_projections::store::{QueryError, ReadStore};
use switchback_projections::table::{Owner, Table, number, text};
use switchback_projections::{change, project as projects};

use crate::database::{Database, on_both, on_postgres, told};
use crate::dump::difference;
use crate::story::{ACME, Shop};

const LIMIT: Duration = Duration::from_secs(60);

/// All projections, with another version of services: it gives each a name in front.
fn next_version() -> Vec<Projection> {
    let mut all = projection::ALL.to_vec();
    for projection in all.iter_mut().filter(|projection| projection.name == "service") {
        projection.version += 1;
        projection.changes = renamed;
    }
    all
}

fn renamed(recorded: &Recorded) -> Vec<Change> {
    let mut changes = switchback_projections::service::changes(recorded);
    for change in &mut changes {
        if let change::Operation::Insert { set, .. } = &mut change.operation {
            for (column, cell) in set.iter_mut().filter(|(column, _)| *column == "name") {
                debug_assert_eq!(*column, "name");
                *cell = "second".into();
            }
        }
    }
    changes
}

/// A shop with a long history: several pages of the log.
async fn long() -> Shop {
    let mut shop = Shop::busy().await;
    for n in 0..4500 {
        shop.story.stage(shop.worker, "COUNTER", &n.to_string(), None).await;
    }
    shop
}

async fn names(store: &ReadStore) -> Result<Vec<String>, QueryError> {
    let services = list(store, ACME, &Filter::default(), &Page::default()).await?;
    Ok(services.items.into_iter().map(|service| service.name.to_string()).collect())
}

async fn tables(database: &Database) -> Vec<String> {
    let text = match database {
        Database::Sqlite(_) => "SELECT name FROM sqlite_schema WHERE type = 'table'",
        Database::Postgres { .. } => {
            "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema()"
        }
    };
    database.query(text.into(), 1).await.into_iter().flatten().flatten().collect()
}

on_both! {
    async fn readers_see_the_old_rows_or_the_new_ones_and_never_anything_else(database: Database) {
        let mut shop = long().await;
        told(&database, &shop.story).await;
        let store = database.open().await;
        let projector = Projector::new(shop.story.shared(), store.clone(), next_version());
        let (is_over, reads) = (AtomicBool::new(false), AtomicU64::new(0));
        let read = async {
            let mut is_swapped = false;
            while !is_over.load(Ordering::SeqCst) {
                let names = names(&store).await.expect("a reader got an error");
                assert_eq!(names.len(), 2, "{names:?}");
                let second = names.iter().all(|name| name == "second");
                assert!(second || (names == ["web", "worker"] && !is_swapped), "{names:?}");
                is_swapped = second;
                reads.fetch_add(1, Ordering::SeqCst);
            }
            assert!(is_swapped);
        };
        let write = async {
            let watermark = projector.watermark();
            for n in 0..200 {
                shop.story.stage(shop.worker, "COUNTER", &format!("later {n}"), None).await;
                tokio::task::yield_now().await;
            }
            let head = shop.story.log.head().await.unwrap();
            watermark.wait_until(head, LIMIT).await.unwrap();
            tokio::task::yield_now().await;
            let until = reads.load(Ordering::SeqCst) + 10;
            while reads.load(Ordering::SeqCst) < until {
                tokio::task::yield_now().await;
            }
            is_over.store(true, Ordering::SeqCst);
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(read, write) } => {}
            () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
        }
        assert!(projector.status().is_healthy());
        let left = tables(&database).await;
        assert!(!left.iter().any(|name| name.contains("_g")), "old tables are gone: {left:?}");
    }

    async fn what_was_never_built_is_not_shown_before_it_is_whole(database: Database) {
        let shop = long().await;
        let store = database.open().await;
        assert!(matches!(names(&store).await, Err(QueryError::NotBuilt { .. })));
        let projector = Projector::new(shop.story.shared(), store.clone(), projection::ALL);
        let read = async {
            loop {
                match names(&store).await {
                    Err(QueryError::NotBuilt { .. }) => tokio::task::yield_now().await,
                    whole => break assert_eq!(whole.unwrap(), ["web", "worker"]),
                }
            }
        };
        let (caught_up, ()) = tokio::join!(projector.catch_up(), read);
        caught_up.unwrap();
    }

    async fn an_interrupted_build_goes_on_where_it_was(database: Database) {
        let shop = long().await;
        told(&database, &shop.story).await;
        {
            let projector = Projector::new(shop.story.shared(), database.open().await, next_version());
            let mut status = projector.watch();
            let has_begun = status.wait_for(|status| {
                status.projections.iter().any(|one| one.built.is_some_and(|built| built.0 > 0))
            });
            tokio::select! {
                seen = has_begun => drop(seen.unwrap()),
                () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
            }
        }
        let store = database.open().await;
        let before = checkpoint::all(&store).await.unwrap();
        let building = before.iter().find(|checkpoint| checkpoint.state == "building").unwrap().clone();
        assert!(building.position.0 > 0);
        let projector = Projector::new(shop.story.shared(), store.clone(), next_version());
        projector.catch_up().await.unwrap();
        let after = checkpoint::all(&store).await.unwrap();
        let live = after.iter().find(|checkpoint| checkpoint.name == "service").unwrap();
        assert_eq!((live.state.as_str(), live.generation), ("live", building.generation));
        assert_eq!(names(&store).await.unwrap(), ["second", "second"]);
    }

    async fn a_build_of_an_older_program_is_thrown_away_and_one_of_a_newer_one_is_let_be(database: Database) {
        let shop = Shop::busy().await;
        told(&database, &shop.story).await;
        let begin = async |version: u32| {
            let values = format!("('service', 'building', 9, {version}, 'services exits', 5)");
            let columns = "name, state, generation, version, tables, position";
            database.execute(format!("INSERT INTO projections ({columns}) VALUES {values}")).await;
            database.execute("CREATE TABLE services_g9 (id TEXT)".into()).await;
        };
        let is_there = async || tables(&database).await.iter().any(|name| name == "services_g9");
        begin(0).await;
        let store = told(&database, &shop.story).await;
        assert!(!is_there().await);
        begin(77).await;
        told(&database, &shop.story).await;
        assert!(is_there().await);
        assert_eq!(names(&store).await.unwrap(), ["web", "worker"]);
        // Whoever builds another version needs its place.
        let projector = Projector::new(shop.story.shared(), store.clone(), next_version());
        projector.catch_up().await.unwrap();
        assert!(!is_there().await);
        assert_eq!(names(&store).await.unwrap(), ["second", "second"]);
    }

    async fn a_rebuild_of_the_same_version_gives_the_same_rows(database: Database) {
        let shop = Shop::busy().await;
        told(&database, &shop.story).await;
        let before = database.dump(&projection::ALL).await;
        database.execute("UPDATE projections SET version = 0".into()).await;
        told(&database, &shop.story).await;
        assert_eq!(difference(&before, &database.dump(&projection::ALL).await), "");
    }

    async fn a_version_with_other_columns_is_told_apart_from_a_mistake(database: Database) {
        static WIDE: Table = Table {
            name: "projects",
            key: 1,
            owner: Owner::Organization("organization"),
            columns: &[text("id"), text("organization"), number("position"), text("color")],
            indexes: &[],
        };
        static TABLES: [&Table; 1] = [&WIDE];
        fn changes(recorded: &Recorded) -> Vec<Change> {
            let Event::Project(project::Event::Created { .. }) = &recorded.event else { return vec![] };
            let set = [
                ("organization", recorded.stream.organization.into()),
                ("position", recorded.position.into()),
                ("color", "red".into()),
            ];
            vec![WIDE.insert(recorded.stream.id, set)]
        }
        let shop = Shop::busy().await;
        let mut all = projection::ALL.to_vec();
        all.retain(|projection| projection.name != "project");
        all.push(Projection { name: "project", version: 9, tables: &TABLES, changes });
        let store = database.open().await;
        Projector::new(shop.story.shared(), store.clone(), all).catch_up().await.unwrap();
        let found = projects::list(&store, ACME, None, &Page::default()).await;
        assert!(matches!(found, Err(QueryError::NotBuilt { .. })), "{found:?}");
        // This program's version again: the table that it does not have any more goes too.
        let store = told(&database, &shop.story).await;
        assert_eq!(projects::list(&store, ACME, None, &Page::default()).await.unwrap().items.len(), 1);
        assert!(!tables(&database).await.iter().any(|name| name.contains("_g")));
    }

    async fn while_it_is_built_a_projection_is_behind_and_says_so(database: Database) {
        let mut shop = Shop::busy().await;
        told(&database, &shop.story).await;
        let last = shop.story.service_command(shop.web, service::Command::Delete).await;
        let projector = Projector::new(shop.story.shared(), database.open().await, next_version());
        let mut status = projector.watch();
        let first = status.wait_for(|status| status.projections[3].state == State::Building);
        let seen = tokio::select! {
            seen = first => seen.unwrap().clone(),
            () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
        };
        assert_eq!(seen.projections[3].name, "service");
        assert!(seen.projections[3].position < last);
        assert!(seen.reached() < last, "whoever waits for the last position waits for the build");
    }
}

/// A swap asks readers to leave for half a second at most, and then lets those that wait behind it in.
#[tokio::test]
async fn a_reader_that_stays_long_keeps_the_swap_waiting_and_nobody_else_on_postgres() {
    on_postgres(async |database: Database| {
        let shop = Shop::busy().await;
        told(&database, &shop.story).await;
        let Database::Postgres { url } = &database else { unreachable!("it runs on PostgreSQL") };
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(url).await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT * FROM services").execute(&mut connection).await.unwrap();

        let store = database.open().await;
        let projector = Projector::new(shop.story.shared(), store.clone(), next_version());
        let read = async {
            let began = std::time::Instant::now();
            let mut longest = Duration::ZERO;
            while began.elapsed() < Duration::from_secs(2) {
                let one = std::time::Instant::now();
                assert_eq!(names(&store).await.unwrap(), ["web", "worker"]);
                longest = longest.max(one.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(longest < Duration::from_secs(1), "a reader waited for {longest:?}");
            sqlx::raw_sql("COMMIT").execute(&mut connection).await.unwrap();
        };
        let (caught_up, ()) = tokio::join!(projector.catch_up(), read);
        caught_up.unwrap();
        assert_eq!(names(&store).await.unwrap(), ["second", "second"]);
    })
    .await;
}
