//! All rows of all tables, in one canonical form: two read models are equal when their dumps are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use switchback_projections::projection::Projection;
use switchback_projections::table::Table;

use crate::database::Database;

/// The rows of each table, sorted.
pub(crate) type Dump = BTreeMap<&'static str, Vec<Vec<Option<String>>>>;

impl Database {
    pub(crate) async fn dump(&self, projections: &[Projection]) -> Dump {
        let mut dump = BTreeMap::new();
        for table in projections.iter().flat_map(|projection| projection.tables) {
            dump.insert(table.name, self.rows(table).await);
        }
        dump
    }

    async fn rows(&self, table: &Table) -> Vec<Vec<Option<String>>> {
        let columns: Vec<_> =
            table.columns.iter().map(|column| format!("CAST({} AS TEXT)", column.name)).collect();
        self.query(format!("SELECT {} FROM {}", columns.join(", "), table.name), table.columns.len()).await
    }

    /// The rows of any query of texts, sorted.
    pub(crate) async fn query(&self, text: String, columns: usize) -> Vec<Vec<Option<String>>> {
        let text = AssertSqlSafe(text);
        let mut rows: Vec<Vec<Option<String>>> = match self {
            Self::Sqlite(_) => {
                let mut connection = self.sqlite().await;
                let rows = sqlx::query(text).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(|row| (0..columns).map(|n| row.get(n)).collect()).collect()
            }
            Self::Postgres { url } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let rows = sqlx::query(text).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(|row| (0..columns).map(|n| row.get(n)).collect()).collect()
            }
        };
        rows.sort();
        rows
    }

    /// A statement behind the projector's back.
    pub(crate) async fn execute(&self, text: String) {
        let text = AssertSqlSafe(text);
        match self {
            Self::Sqlite(_) => {
                sqlx::query(text).execute(&mut self.sqlite().await).await.unwrap();
            }
            Self::Postgres { url } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::query(text).execute(&mut connection).await.unwrap();
            }
        }
    }

    async fn sqlite(&self) -> SqliteConnection {
        let file = self.file().unwrap().join("read.db");
        SqliteConnectOptions::new().filename(file).connect().await.unwrap()
    }
}

/// The first difference between two dumps, in words; empty when there is none.
pub(crate) fn difference(left: &Dump, right: &Dump) -> String {
    let mut text = String::new();
    for (table, rows) in left {
        let others = &right[table];
        for row in rows.iter().filter(|row| !others.contains(row)) {
            let _ = writeln!(text, "{table}: only left:  {row:?}");
        }
        for row in others.iter().filter(|row| !rows.contains(row)) {
            let _ = writeln!(text, "{table}: only right: {row:?}");
        }
        if text.is_empty() && rows.len() != others.len() {
            let _ = writeln!(text, "{table}: {} rows left, {} right", rows.len(), others.len());
        }
    }
    text
}
