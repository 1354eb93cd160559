//! A transaction of the projector: rows and checkpoint in one. Dropped, it never was.

use sqlx::{AssertSqlSafe, Postgres, Sqlite};

use super::Row;
use super::select::Select;
use super::write::Rows;
use super::{postgres, sqlite};
use crate::table::{Column, Kind, Table};

/// A transaction on either database.
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Transaction {
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }

    pub(crate) async fn rollback(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.rollback().await,
            Self::Postgres(transaction) => transaction.rollback().await,
        }
    }

    /// Carries out a statement that answers with no rows. Answers how many it changed.
    pub(crate) async fn execute(&mut self, statement: Select) -> Result<u64, sqlx::Error> {
        let (text, values) = statement.into_parts();
        let text = AssertSqlSafe(text);
        Ok(match self {
            Self::Sqlite(transaction) => {
                sqlite::bound(sqlx::query(text), values).execute(&mut **transaction).await?.rows_affected()
            }
            Self::Postgres(transaction) => {
                postgres::bound(sqlx::query(text), values).execute(&mut **transaction).await?.rows_affected()
            }
        })
    }

    /// The rows that a query finds.
    pub(crate) async fn fetch(&mut self, select: Select) -> Result<Vec<Row>, sqlx::Error> {
        let (text, values) = select.into_parts();
        let text = AssertSqlSafe(text);
        Ok(match self {
            Self::Sqlite(transaction) => {
                let rows = sqlite::bound(sqlx::query(text), values).fetch_all(&mut **transaction).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(transaction) => {
                let rows = postgres::bound(sqlx::query(text), values).fetch_all(&mut **transaction).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Writes many rows with one statement.
    pub(crate) async fn write(&mut self, rows: &Rows<'_>) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(transaction) => {
                let (text, document) = rows.for_sqlite();
                let query = sqlx::query(AssertSqlSafe(text)).bind(document);
                query.execute(&mut **transaction).await?.rows_affected()
            }
            Self::Postgres(transaction) => {
                let (text, columns) = rows.for_postgres();
                let query = columns
                    .into_iter()
                    .fold(sqlx::query(AssertSqlSafe(text)), |query, column| column.bound(query));
                query.execute(&mut **transaction).await?.rows_affected()
            }
        })
    }

    /// Makes a table, under a name of its own.
    pub(crate) async fn create(&mut self, table: &Table, name: &str) -> Result<(), sqlx::Error> {
        let columns: Vec<String> = table.columns.iter().map(|column| self.definition(*column)).collect();
        let key: Vec<&str> = table.key_columns().iter().map(|column| column.name).collect();
        let options = match self {
            Self::Sqlite(_) => " STRICT, WITHOUT ROWID",
            Self::Postgres(_) => "",
        };
        let (columns, key) = (columns.join(", "), key.join(", "));
        self.run(format!("CREATE TABLE {name} ({columns}, PRIMARY KEY ({key})){options}")).await?;
        if let Self::Postgres(_) = self {
            self.run(postgres::wall_of(name, table.owner)).await?;
        }
        for (n, columns) in table.indexes.iter().enumerate() {
            self.run(format!("CREATE INDEX {name}_{n} ON {name} ({columns})")).await?;
        }
        Ok(())
    }

    /// Removes a table, when it is there.
    pub(crate) async fn drop_table(&mut self, name: &str) -> Result<(), sqlx::Error> {
        self.run(format!("DROP TABLE IF EXISTS {name}")).await
    }

    /// Gives a table another name.
    pub(crate) async fn rename(&mut self, from: &str, to: &str) -> Result<(), sqlx::Error> {
        self.run(format!("ALTER TABLE {from} RENAME TO {to}")).await
    }

    /// Tells the planner how the rows of a table are distributed. Left to itself, `PostgreSQL` finds out
    /// minutes after a rebuild, and plans badly until then; `SQLite` plans well without.
    pub(crate) async fn analyze(&mut self, name: &str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(_) => self.run(format!("ANALYZE {name}")).await,
        }
    }

    /// Keeps readers out of a table until the transaction ends, or fails when they do not leave in time.
    pub(crate) async fn lock(&mut self, name: &str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => Ok(()), // Readers keep what they saw; there is no other writer.
            Self::Postgres(_) => self.run(format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")).await,
        }
    }

    /// Whether another process leads in this.
    pub(crate) async fn is_led(&mut self, name: &str) -> Result<bool, sqlx::Error> {
        match self {
            Self::Sqlite(_) => Ok(false),
            Self::Postgres(transaction) => postgres::is_led(transaction, name).await,
        }
    }

    /// A statement made of names that stand in this program.
    async fn run(&mut self, text: String) -> Result<(), sqlx::Error> {
        let statement = sqlx::raw_sql(AssertSqlSafe(text));
        match self {
            Self::Sqlite(transaction) => statement.execute(&mut **transaction).await.map(|_| ()),
            Self::Postgres(transaction) => statement.execute(&mut **transaction).await.map(|_| ()),
        }
    }

    fn definition(&self, column: Column) -> String {
        let kind = match (self, column.kind) {
            (Self::Sqlite(_), Kind::Text) => "TEXT",
            // Sorted by bytes as in SQLite, whatever language the server speaks.
            (Self::Postgres(_), Kind::Text) => "TEXT COLLATE \"C\"",
            (Self::Sqlite(_), Kind::Number) => "INTEGER",
            (Self::Postgres(_), Kind::Number) => "BIGINT",
        };
        let null = if column.is_nullable { "" } else { " NOT NULL" };
        format!("{} {kind}{null}", column.name)
    }
}
