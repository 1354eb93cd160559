//! What went wrong with a database, sorted by what can be done about it.

use eventlog::error::BoxError;
use sqlx::migrate::MigrateError;

use crate::page::InvalidPage;

/// A read that did not answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The database cannot be reached or does not answer in time. Ask again later.
    #[error("read of the read model: the database is not available")]
    Unavailable {
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A projection of this version was never built here, or is being rebuilt with other columns. Ask again
    /// later.
    #[error("read of the read model: it is still being built")]
    NotBuilt {
        /// What was missing.
        #[source]
        source: BoxError,
    },
    /// A row holds what this version cannot read.
    #[error("read of the read model: column {column} does not hold what it should")]
    Unreadable {
        /// The column.
        column: String,
        /// What was wrong.
        #[source]
        source: BoxError,
    },
    /// The page that was asked for is none of this list.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// The database refuses the query: a mistake of ours.
    #[error("read of the read model: the database refused")]
    Failed {
        /// What it said.
        #[source]
        source: BoxError,
    },
}

/// An address that is none of a `PostgreSQL` server.
#[derive(Debug, thiserror::Error)]
#[error("open the read models: the address of PostgreSQL has the form postgres://user@host:port/database")]
pub struct InvalidUrl {
    /// What was wrong.
    #[source]
    pub source: BoxError,
}

/// What can be done about an error of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again: it is away, busy, full, or another writer was first.
    Away,
    /// A table or column is not there.
    Missing,
    /// It will refuse the same again.
    Refused,
}

/// Sorts an error.
#[must_use]
pub fn classify(error: &sqlx::Error) -> Class {
    if let sqlx::Error::Database(database) = error {
        let code = database.code().unwrap_or_default();
        return if database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
            of_postgres(&code)
        } else {
            of_sqlite(&code, database.message())
        };
    }
    let is_ours = matches!(
        error,
        sqlx::Error::RowNotFound
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::InvalidArgument(_)
            | sqlx::Error::TypeNotFound { .. }
    );
    if is_ours { Class::Refused } else { Class::Away }
}

/// By SQLSTATE: what an event's data can cause is refused, what the state of the server causes is tried
/// again.
fn of_postgres(code: &str) -> Class {
    match code {
        "42P01" | "42703" => Class::Missing,
        "42501" => Class::Away, // Rights are missing: an operator has to act, the event is not to blame.
        "0A000" => Class::Away, // "Cached plan must not change result type": gone with the next try.
        _ => match code.get(..2) {
            Some("21" | "22" | "23" | "42" | "44" | "54") => Class::Refused,
            Some(_) | None => Class::Away,
        },
    }
}

/// By the primary result code, which is the lowest byte of the extended one.
fn of_sqlite(code: &str, message: &str) -> Class {
    const ERROR: i32 = 1;
    /// A statement that was prepared before the tables changed, and cannot be prepared again.
    const SCHEMA: i32 = 17;
    const TOO_BIG: i32 = 18;
    const CONSTRAINT: i32 = 19;
    const MISMATCH: i32 = 20;
    const RANGE: i32 = 25;
    match code.parse::<i32>().map_or(ERROR, |code| code & 0xff) {
        ERROR | SCHEMA if message.contains("no such table") || message.contains("no such column") => {
            Class::Missing
        }
        ERROR | TOO_BIG | CONSTRAINT | MISMATCH | RANGE => Class::Refused,
        _ => Class::Away,
    }
}

impl From<sqlx::Error> for QueryError {
    fn from(error: sqlx::Error) -> Self {
        let class = classify(&error);
        let source = error.into();
        match class {
            Class::Away => Self::Unavailable { source },
            Class::Missing => Self::NotBuilt { source },
            Class::Refused => Self::Failed { source },
        }
    }
}

pub(super) fn of_migration(error: MigrateError) -> QueryError {
    if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
        return error.into();
    }
    QueryError::Failed { source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_suffers_is_tried_again_and_what_the_data_causes_is_not() {
        for code in ["08006", "57P01", "53300", "40001", "40P01", "55P03", "25006", "57014", "42501"] {
            assert_eq!(of_postgres(code), Class::Away, "{code}");
        }
        for code in ["23505", "23502", "22003", "54000", "42601", "21000"] {
            assert_eq!(of_postgres(code), Class::Refused, "{code}");
        }
        assert_eq!(of_postgres("42P01"), Class::Missing);
    }

    #[test]
    fn a_table_that_is_not_there_yet_is_missing_also_for_a_prepared_statement() {
        for code in ["1", "17"] {
            assert_eq!(of_sqlite(code, "no such table: services"), Class::Missing, "{code}");
        }
        assert_eq!(of_sqlite("17", "database schema has changed"), Class::Away);
    }

    #[test]
    fn a_busy_or_full_file_is_tried_again_and_a_broken_constraint_is_not() {
        for code in ["5", "517", "13", "10", "14", "8"] {
            assert_eq!(of_sqlite(code, ""), Class::Away, "{code}");
        }
        for code in ["1", "19", "1555", "1299", "2067", "18", "20"] {
            assert_eq!(of_sqlite(code, ""), Class::Refused, "{code}");
        }
        assert_eq!(of_sqlite("1", "no such table: services"), Class::Missing);
    }
}
