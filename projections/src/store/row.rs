//! A row that a query found, and how our types are read from its columns.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use domain::digest::Digest;
use domain::hostname::Hostname;
use domain::id::{
    CommandId, CommitId, CorrelationId, DeploymentId, EnvironmentId, EventId, OrganizationId, ProjectId,
    ServiceId, TokenId, UserId,
};
use domain::name::{EnvironmentName, ProjectName, ServiceName, VariableName};
use domain::service::release::{InstanceId, ReleaseNumber};
use domain::source::RevisionId;
use domain::stream::{AggregateKind, Position, Version};
use eventlog::error::BoxError;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::error::QueryError;

/// A row of either database.
pub enum Row {
    /// Of `SQLite`.
    Sqlite(SqliteRow),
    /// Of `PostgreSQL`.
    Postgres(PgRow),
}

/// What can be read from a row.
pub trait FromRow: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// [`QueryError::Unreadable`] when a column does not hold what it should.
    fn from_row(row: &Row) -> Result<Self, QueryError>;
}

/// What can be read from a column that is not null.
pub trait FromColumn: Sized {
    /// Reads it; `None` when the column is null.
    ///
    /// # Errors
    /// [`QueryError::Unreadable`].
    fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError>;
}

impl Row {
    /// The value of a column.
    ///
    /// # Errors
    /// [`QueryError::Unreadable`], also when it is null.
    pub fn get<T: FromColumn>(&self, column: &str) -> Result<T, QueryError> {
        T::from_column(self, column)?.ok_or_else(|| unreadable(column, "it is null".into()))
    }

    /// The value of a column that may be null.
    ///
    /// # Errors
    /// [`QueryError::Unreadable`].
    pub fn optional<T: FromColumn>(&self, column: &str) -> Result<Option<T>, QueryError> {
        T::from_column(self, column)
    }

    /// A document in a column.
    ///
    /// # Errors
    /// [`QueryError::Unreadable`].
    pub fn document<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, QueryError> {
        let Some(text) = self.text(column)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|err| unreadable(column, err.into()))
    }

    fn text(&self, column: &str) -> Result<Option<String>, QueryError> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(QueryError::from)
    }

    fn number(&self, column: &str) -> Result<Option<i64>, QueryError> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(QueryError::from)
    }
}

pub(crate) fn unreadable(column: &str, source: BoxError) -> QueryError {
    QueryError::Unreadable { column: column.to_owned(), source }
}

fn parsed<T: FromStr>(row: &Row, column: &str) -> Result<Option<T>, QueryError>
where
    T::Err: Into<BoxError>,
{
    let Some(text) = row.text(column)? else { return Ok(None) };
    text.parse().map(Some).map_err(|err: T::Err| unreadable(column, err.into()))
}

fn fitting<T: TryFrom<i64>>(row: &Row, column: &str) -> Result<Option<T>, QueryError>
where
    T::Error: Into<BoxError>,
{
    let Some(number) = row.number(column)? else { return Ok(None) };
    T::try_from(number).map(Some).map_err(|err| unreadable(column, err.into()))
}

impl FromColumn for String {
    fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError> {
        row.text(column)
    }
}

impl FromColumn for DateTime<Utc> {
    fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError> {
        parsed(row, column)
    }
}

macro_rules! texts {
    ($($name:ty),*) => {$(
        impl FromColumn for $name {
            fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError> {
                parsed(row, column)
            }
        }
    )*};
}

texts!(
    Uuid,
    OrganizationId,
    UserId,
    TokenId,
    ProjectId,
    EnvironmentId,
    ServiceId,
    DeploymentId,
    CommandId,
    CommitId,
    EventId,
    CorrelationId,
    InstanceId,
    ProjectName,
    EnvironmentName,
    ServiceName,
    VariableName,
    Hostname,
    Digest,
    RevisionId,
    AggregateKind
);

macro_rules! numbers {
    ($($name:ty),*) => {$(
        impl FromColumn for $name {
            fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError> {
                fitting(row, column)
            }
        }
    )*};
}

numbers!(i64, u64, u32, u16);

impl FromColumn for Position {
    fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError> {
        Ok(fitting(row, column)?.map(Self))
    }
}

impl FromColumn for Version {
    fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError> {
        Ok(fitting(row, column)?.map(Self))
    }
}

impl FromColumn for ReleaseNumber {
    fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError> {
        Ok(fitting(row, column)?.map(Self))
    }
}

/// A count: the only column of its row.
impl FromRow for i64 {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        match row {
            Row::Sqlite(row) => row.try_get(0),
            Row::Postgres(row) => row.try_get(0),
        }
        .map_err(QueryError::from)
    }
}

/// A row type whose fields are read from the columns of their names. A field of `Option` may be null.
macro_rules! row {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        $visibility struct $name {
            $($(#[$field_meta])* $field_visibility $field: $type,)*
        }

        impl $crate::store::FromRow for $name {
            fn from_row(row: &$crate::store::Row) -> Result<Self, $crate::store::QueryError> {
                Ok(Self { $($field: $crate::store::row::Read::read(row, stringify!($field))?,)* })
            }
        }
    };
}

pub(crate) use row;

/// A field: of a column that is never null, or an `Option` of one that may be.
pub(crate) trait Read: Sized {
    fn read(row: &Row, column: &str) -> Result<Self, QueryError>;
}

impl<T: FromColumn> Read for T {
    fn read(row: &Row, column: &str) -> Result<Self, QueryError> {
        row.get(column)
    }
}

impl<T: FromColumn> Read for Option<T> {
    fn read(row: &Row, column: &str) -> Result<Self, QueryError> {
        row.optional(column)
    }
}
