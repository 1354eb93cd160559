//! The databases that the tests run on: a file of its own for each test on `SQLite`, a schema of its own on
//! `PostgreSQL`, gone at the end.

use std::env;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;

use futures::FutureExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use switchback_projections::projection;
use switchback_projections::projector::Projector;
use switchback_projections::store::{Options, ReadStore};
use url::Url;
use uuid::Uuid;

use crate::story::Story;

/// A database that a test may open as often as it wants, as several processes would.
pub(crate) enum Database {
    Sqlite(tempfile::TempDir),
    Postgres { url: String },
}

impl Database {
    pub(crate) async fn open(&self) -> ReadStore {
        match self {
            Self::Sqlite(folder) => ReadStore::sqlite(&folder.path().join("read.db")).await.unwrap(),
            Self::Postgres { url } => ReadStore::postgres(url, Options::default()).unwrap(),
        }
    }

    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(folder) => Some(folder.path()),
            Self::Postgres { .. } => None,
        }
    }
}

/// The address of the server that tests use.
pub(crate) fn server() -> String {
    env::var("SWITCHBACK_TEST_POSTGRES").expect(
        "SWITCHBACK_TEST_POSTGRES is not set: `cargo xtask test` starts the engines and sets it \
         (postgres://user@127.0.0.1:PORT/postgres)",
    )
}

/// A store that has all of a story.
pub(crate) async fn told(database: &Database, story: &Story) -> ReadStore {
    let store = database.open().await;
    let projector = Projector::new(story.shared(), store.clone(), projection::ALL);
    projector.catch_up().await.unwrap();
    assert!(projector.status().is_healthy(), "{:?}", projector.status());
    store
}

/// Runs a test on a file.
pub(crate) async fn on_sqlite<T: Future<Output = ()>>(test: impl FnOnce(Database) -> T) {
    test(Database::Sqlite(tempfile::tempdir().unwrap())).await;
}

/// Runs a test in a schema of its own, which is removed whatever comes of the test.
pub(crate) async fn on_postgres<T: Future<Output = ()>>(test: impl FnOnce(Database) -> T) {
    let server = server();
    let schema = format!("test_{}", Uuid::now_v7().simple());
    administer(format!("CREATE SCHEMA {schema}")).await;
    let url = format!("{server}?options[search_path]={schema}");
    let came = AssertUnwindSafe(test(Database::Postgres { url })).catch_unwind().await;
    administer(format!("DROP SCHEMA {schema} CASCADE")).await;
    if let Err(panic) = came {
        resume_unwind(panic);
    }
}

async fn administer(statement: String) {
    let mut connection = PgConnection::connect(&server()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Somebody who is no superuser, with a schema of the same name.
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl Login {
    /// Runs a test as somebody with some rights; the login, its schema and its role are removed whatever
    /// comes of the test.
    pub(crate) async fn with(rights: &str, test: impl AsyncFnOnce(&Self)) {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut url: Url = format!("{}?options[search_path]={name}", server()).parse().unwrap();
        url.set_username(&name).unwrap();
        administer(format!("CREATE ROLE {name} LOGIN {rights}; CREATE SCHEMA {name} AUTHORIZATION {name}"))
            .await;
        let login = Self { name, url: url.into() };
        let came = AssertUnwindSafe(test(&login)).catch_unwind().await;
        let name = &login.name;
        let remove = format!(
            "DROP SCHEMA {name} CASCADE; DROP OWNED BY {name}; DROP ROLE IF EXISTS {name}_reader; \
             DROP ROLE {name}"
        );
        administer(remove).await;
        if let Err(panic) = came {
            resume_unwind(panic);
        }
    }

    /// The same schema, as the superuser sees it.
    pub(crate) fn database(&self) -> Database {
        Database::Postgres { url: format!("{}?options[search_path]={}", server(), self.name) }
    }
}

/// Makes one test of each function for each database: `name::sqlite` and `name::postgres`.
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($database:ident: Database) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn test($database: $crate::database::Database) $body

            $(#[$meta])*
            #[tokio::test]
            async fn sqlite() {
                $crate::database::on_sqlite(test).await;
            }

            $(#[$meta])*
            #[tokio::test]
            async fn postgres() {
                $crate::database::on_postgres(test).await;
            }
        }
    )*};
}

pub(crate) use on_both;
