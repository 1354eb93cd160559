//! Row-level security: a query that forgets whose rows it may see finds nothing of others on `PostgreSQL`,
//! whoever the address says that we are, and whatever happened on the connection before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::id::{OrganizationId, TokenId};
use domain::service::release::InstanceId;
use domain::{service, user};
use eventlog::crash::{INJECTOR, Injector, Verdict};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use switchback_projections::projection::{self, Projection};
use switchback_projections::projector::Projector;
use switchback_projections::store::{Options, Pool, QueryError, ReadStore, Select, Wall};
use switchback_projections::table::{Owner, Table};
use switchback_projections::{organization, route};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::database::{Database, Login, on_postgres, server, told};
use crate::story::{ACME, OTHER, OWNER, STRANGER, Shop, Story};
use crate::tenancy::two;

/// Two organisations that have something in every table.
async fn both() -> Story {
    let (acme, Shop { mut story, web, .. }) = two().await;
    for (n, organization, person, service) in [(1, ACME, OWNER, acme.web), (2, OTHER, STRANGER, web)] {
        story.turn_to(organization, person);
        let (token, name) = (TokenId(Uuid::from_u128(n)), "laptop".to_owned());
        let issue = user::Command::IssueToken { token, name, organization, hash: "5e".repeat(32) };
        story.user(person, issue).await;
        story.stage(service, "WALL", "1", None).await;
        let live = story.services[&service.0].active().unwrap().live.clone().unwrap();
        let instance = InstanceId { deployment: live.deployment, ordinal: 0 };
        let exit = service::Command::RecordExit { release: live.number, instance, exit: "signal 9".into() };
        story.service_as_saga(service, exit).await;
    }
    story
}

const NOBODY: OrganizationId = OrganizationId(Uuid::from_u128(0xFF));

/// Tables whose rows are nobody's alone: the names of people, which histories of several organisations show.
const SHARED: [&str; 1] = ["users"];

/// A query that forgets its condition. (The text is leaked: queries are made of texts that stand in a
/// program.)
async fn forgetful(store: &ReadStore, organization: OrganizationId, table: &str) -> Result<i64, QueryError> {
    let text = format!("SELECT COUNT(*) FROM {table} WHERE $1 <> ''").leak();
    store.one(Select::of(organization, text)).await
}

fn tables() -> BTreeMap<&'static str, &'static Table> {
    let tables = projection::ALL.iter().flat_map(|projection| projection.tables);
    tables.map(|table| (table.name, *table)).collect()
}

/// How many rows a table has, and how many of them are an organisation's.
async fn rows(database: &Database, table: &Table, organization: OrganizationId) -> (i64, i64) {
    let Owner::Organization(column) = table.owner else { unreachable!("it belongs to nobody") };
    let count = format!(
        "SELECT CAST(COUNT(*) AS TEXT), CAST(COUNT(*) FILTER (WHERE {column} = '{organization}') AS TEXT) \
         FROM {}",
        table.name
    );
    let counted = database.query(count, 2).await.remove(0);
    let number = |n: usize| counted[n].as_ref().unwrap().parse().unwrap();
    (number(0), number(1))
}

/// Every table of the schema that is not behind the wall, as the catalogue knows it.
async fn outside(database: &Database) -> Vec<String> {
    let text = "SELECT CAST(c.relname AS TEXT) FROM pg_class c WHERE c.relkind IN ('r', 'p') \
         AND c.relnamespace = CAST(current_schema() AS regnamespace) \
         AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (SELECT FROM pg_policy p \
             WHERE p.polrelid = c.oid AND p.polname = 'organization' AND p.polcmd = 'r' \
             AND pg_get_expr(p.polqual, p.polrelid) LIKE '%switchback.organization%'))";
    let found = database.query(text.into(), 1).await;
    found.into_iter().flatten().flatten().filter(|name| !SHARED.contains(&name.as_str())).collect()
}

/// What no reader may do, and what each of them finds without a condition.
async fn is_walled(database: &Database, store: &ReadStore) {
    assert_eq!(store.wall().await.unwrap(), Wall::Stands);
    for (name, table) in tables() {
        if SHARED.contains(&name) {
            assert_eq!(table.owner, Owner::Platform);
            continue;
        }
        for organization in [ACME, OTHER] {
            let (all, own) = rows(database, table, organization).await;
            assert!(own > 0, "{name} has nothing of {organization}");
            assert!(all > own, "{name} has nothing of others than {organization}");
            assert_eq!(forgetful(store, organization, name).await.unwrap(), own, "{name}");
        }
        assert_eq!(forgetful(store, NOBODY, name).await.unwrap(), 0, "{name}");
    }
    let written = "UPDATE services SET name = $1 RETURNING CAST(1 AS BIGINT)";
    store.all::<i64>(Select::of(ACME, written)).await.unwrap_err();
}

/// The platform's own questions find everything all the same.
async fn platform_sees_all(store: &ReadStore) {
    let (routes, position) = route::all(store).await.unwrap();
    assert!(position.0 > 0);
    let of = |organization| routes.iter().filter(|route| route.organization == organization).count();
    assert!(of(ACME) > 0 && of(OTHER) > 0);
    for (organization, owner) in [(ACME, OWNER), (OTHER, STRANGER)] {
        let own = route::of_organization(store, organization).await.unwrap();
        assert_eq!(own.len(), of(organization));
        assert!(own.iter().all(|route| route.organization == organization));
        let homes = organization::of_member(store, owner).await.unwrap();
        assert_eq!(homes.iter().map(|home| home.id).collect::<Vec<_>>(), [organization]);
    }
}

#[tokio::test]
async fn every_table_of_the_schema_is_behind_the_wall_and_a_forgetful_query_finds_nothing_of_others() {
    on_postgres(async |database: Database| {
        let story = both().await;
        let store = told(&database, &story).await;
        assert_eq!(outside(&database).await, ["_sqlx_migrations", "projections"]);
        let known: Vec<_> = tables().into_keys().collect();
        let there = "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relkind = 'r' \
                     AND relnamespace = CAST(current_schema() AS regnamespace) AND relrowsecurity";
        let there: Vec<_> = database.query(there.into(), 1).await.into_iter().flatten().flatten().collect();
        assert_eq!(there, known);
        is_walled(&database, &store).await;
        platform_sees_all(&store).await;
    })
    .await;
}

/// A new table that forgets its policy is found by the same question.
#[tokio::test]
async fn a_table_without_a_policy_is_noticed() {
    on_postgres(async |database: Database| {
        let story = both().await;
        told(&database, &story).await;
        database.execute("CREATE TABLE forgotten (organization TEXT)".into()).await;
        database.execute("ALTER TABLE services NO FORCE ROW LEVEL SECURITY".into()).await;
        database.execute("DROP POLICY organization ON routes".into()).await;
        let mut found = outside(&database).await;
        found.sort();
        assert_eq!(found, ["_sqlx_migrations", "forgotten", "projections", "routes", "services"]);
    })
    .await;
}

#[tokio::test]
async fn tables_that_are_built_beside_the_live_ones_are_behind_the_wall_too() {
    on_postgres(async |database: Database| {
        let story = both().await;
        told(&database, &story).await;
        let next: Vec<Projection> =
            projection::ALL.iter().map(|one| Projection { version: one.version + 1, ..*one }).collect();
        let projector = Projector::new(story.shared(), database.open().await, next.clone());
        let died = Arc::new(Notify::new());
        let tell = Arc::clone(&died);
        let injector: Injector = Arc::new(move |name: &str| {
            if name != "projector.before_swap" {
                return Verdict::GoOn;
            }
            tell.notify_one();
            Verdict::Die
        });
        tokio::select! {
            biased;
            () = died.notified() => {}
            () = INJECTOR.scope(injector, projector.run(std::future::pending())) => unreachable!(),
        }
        drop(projector);
        let beside = "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relkind = 'r' \
                      AND relnamespace = CAST(current_schema() AS regnamespace) AND relname LIKE '%\\_g%'";
        assert!(!database.query(beside.into(), 1).await.is_empty());
        let is_beside_users = |name: &String| name.starts_with("users_g");
        let mut found = outside(&database).await;
        found.retain(|name| !is_beside_users(name));
        assert_eq!(found, ["_sqlx_migrations", "projections"]);
        let store = database.open().await;
        Projector::new(story.shared(), store.clone(), next).catch_up().await.unwrap();
        is_walled(&database, &store).await;
    })
    .await;
}

/// One connection, used by two organisations in turn and at once: prepared statements, errors, and queries
/// that are given up in the middle leave nothing behind.
#[tokio::test]
async fn a_connection_that_goes_from_hand_to_hand_takes_nothing_along_on_postgres() {
    Box::pin(on_postgres(async |database: Database| {
        let story = both().await;
        told(&database, &story).await;
        let Database::Postgres { url } = &database else { unreachable!("it runs on PostgreSQL") };
        let one = Pool { max: 1, wait: Duration::from_secs(20), ..Pool::READERS };
        let store = ReadStore::postgres(url, Options::default().readers(one)).unwrap();
        let history = tables()["history"];
        let (all, acme) = rows(&database, history, ACME).await;
        let (_, other) = rows(&database, history, OTHER).await;
        assert!(acme != other && acme + other < all);
        let own = |organization| if organization == ACME { acme } else { other };
        let ask = async |round: usize, organization: OrganizationId| {
            match round % 4 {
                0 => {
                    let broken = "SELECT 1 / (position - position) FROM history WHERE $1 <> ''";
                    store.all::<i64>(Select::of(organization, broken)).await.unwrap_err();
                }
                1 => {
                    let slow = "SELECT COUNT(*) FROM history, pg_sleep(0.02) WHERE $1 <> ''";
                    let given_up = store.one::<i64>(Select::of(organization, slow));
                    let _ = tokio::time::timeout(Duration::from_millis(3), given_up).await;
                }
                2 => {
                    let missing = forgetful(&store, organization, "nowhere").await;
                    assert!(matches!(missing, Err(QueryError::NotBuilt { .. })), "{missing:?}");
                }
                _ => {}
            }
            let found = forgetful(&store, organization, "history").await.unwrap();
            assert_eq!(found, own(organization));
        };
        for round in 0..40 {
            tokio::join!(
                ask(round, ACME),
                ask(round + 1, OTHER),
                ask(round + 2, ACME),
                ask(round + 3, OTHER)
            );
        }
    }))
    .await;
}

/// Whoever the login is, the wall stands: readers take a role, or are held back as what they are.
#[tokio::test]
async fn the_wall_stands_for_a_login_with_no_rights_and_for_one_that_may_make_roles_on_postgres() {
    for rights in ["", "CREATEROLE"] {
        Login::with(rights, async |login| {
            let story = both().await;
            let role = format!("{}_reader", login.name);
            let store = ReadStore::postgres(&login.url, Options::default().role(&role)).unwrap();
            Projector::new(story.shared(), store.clone(), projection::ALL).catch_up().await.unwrap();
            let made = "SELECT COUNT(*) > 0 AS made FROM pg_roles WHERE rolname = $1 AND NOT rolcanlogin";
            let mut connection = PgConnection::connect(&server()).await.unwrap();
            let row = sqlx::query(made).bind(&role).fetch_one(&mut connection).await.unwrap();
            assert_eq!(row.get::<bool, _>("made"), rights == "CREATEROLE");
            is_walled(&login.database(), &store).await;
            platform_sees_all(&store).await;
            // A projection that is built anew, and one that goes on, as the same login.
            let execute = format!("UPDATE {}.projections SET version = 0 WHERE name = 'service'", login.name);
            sqlx::raw_sql(AssertSqlSafe(execute)).execute(&mut connection).await.unwrap();
            Projector::new(story.shared(), store.clone(), projection::ALL).catch_up().await.unwrap();
            is_walled(&login.database(), &store).await;
            store.close().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_login_that_no_policy_holds_back_and_that_may_not_take_the_role_says_so_on_postgres() {
    Login::with("BYPASSRLS", async |login| {
        let role = format!("{}_reader", login.name);
        let store = ReadStore::postgres(&login.url, Options::default().role(role)).unwrap();
        store.migrate().await.unwrap();
        assert_eq!(store.wall().await.unwrap(), Wall::Open { login: login.name.clone() });
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn sqlite_has_the_queries_own_condition_only_and_says_so() {
    let store = ReadStore::sqlite_in_memory().await.unwrap();
    assert_eq!(store.wall().await.unwrap(), Wall::Conditions);
}
