//! What stands in one column of one row, on its way into a database.

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use domain::context::ActorKind;
use domain::deployment::step::Step;
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
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::table::Kind;

/// A value. Null knows its kind, because `PostgreSQL` asks for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Text, or none.
    Text(Option<Cow<'static, str>>),
    /// A number, or none.
    Number(Option<i64>),
}

/// As itself: text, number or null.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Number(number) => number.serialize(serializer),
        }
    }
}

impl Value {
    /// In which kind of column it stands.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Number(_) => Kind::Number,
        }
    }
}

/// What a column is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// To this.
    Is(Value),
    /// To what it was and this many more; a row that was not there counts as zero.
    Plus(i64),
}

/// Adds to a number.
#[must_use]
pub const fn plus(count: i64) -> Cell {
    Cell::Plus(count)
}

/// A document, as JSON.
///
/// # Panics
/// Never for what events hold: maps have strings as keys.
#[must_use]
pub fn json(document: &impl Serialize) -> Value {
    serde_json::to_string(document).expect("documents have only strings as keys").into()
}

/// A time in RFC 3339, UTC, always with six digits behind the second: such texts sort like the times they
/// name.
#[must_use]
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What can stand in a column.
pub trait IntoValue {
    /// In which kind of column.
    const KIND: Kind;

    /// As what.
    fn into_value(self) -> Value;
}

impl<T: IntoValue> From<T> for Value {
    fn from(value: T) -> Self {
        value.into_value()
    }
}

impl<T: Into<Value>> From<T> for Cell {
    fn from(value: T) -> Self {
        Self::Is(value.into())
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    const KIND: Kind = T::KIND;

    fn into_value(self) -> Value {
        match (self, T::KIND) {
            (Some(value), _) => value.into_value(),
            (None, Kind::Text) => Value::Text(None),
            (None, Kind::Number) => Value::Number(None),
        }
    }
}

impl IntoValue for String {
    const KIND: Kind = Kind::Text;

    /// `PostgreSQL` refuses NUL in a text, and an application may have put one anywhere.
    fn into_value(self) -> Value {
        let text = if self.contains('\0') { self.replace('\0', "\u{fffd}") } else { self };
        Value::Text(Some(Cow::Owned(text)))
    }
}

impl IntoValue for &'static str {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Value {
        Value::Text(Some(Cow::Borrowed(self)))
    }
}

macro_rules! texts {
    ($($name:ty),*) => {$(
        impl IntoValue for $name {
            const KIND: Kind = Kind::Text;

            fn into_value(self) -> Value {
                self.to_string().into_value()
            }
        }

        impl IntoValue for &$name {
            const KIND: Kind = Kind::Text;

            fn into_value(self) -> Value {
                self.to_string().into_value()
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
    RevisionId
);

impl IntoValue for DateTime<Utc> {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Value {
        time(self).into_value()
    }
}

impl IntoValue for AggregateKind {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Value {
        self.as_str().into_value()
    }
}

impl IntoValue for Step {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Value {
        self.as_str().into_value()
    }
}

impl IntoValue for ActorKind {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Value {
        match self {
            Self::User => "user",
            Self::Saga => "saga",
            Self::Reconciler => "reconciler",
            Self::Platform => "platform",
        }
        .into_value()
    }
}

impl IntoValue for i64 {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Value {
        Value::Number(Some(self))
    }
}

impl IntoValue for u16 {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Value {
        Value::Number(Some(self.into()))
    }
}

impl IntoValue for u32 {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Value {
        Value::Number(Some(self.into()))
    }
}

impl IntoValue for u64 {
    const KIND: Kind = Kind::Number;

    /// No log of ours will have 2^63 commits.
    fn into_value(self) -> Value {
        Value::Number(Some(i64::try_from(self).unwrap_or(i64::MAX)))
    }
}

impl IntoValue for ReleaseNumber {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Value {
        self.0.into_value()
    }
}

impl IntoValue for Position {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Value {
        self.0.into_value()
    }
}

impl IntoValue for Version {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Value {
        self.0.into_value()
    }
}

/// Names, parted by commas, as people read them.
#[must_use]
pub(crate) fn listed<T: ToString>(names: &BTreeSet<T>) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
