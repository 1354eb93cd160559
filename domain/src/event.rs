//! Every event there is, and its name on the wire: `dev.switchback.<aggregate>.<event>.v<n>`.
//!
//! A released event is never edited: a change is a new version with an upcaster ([`crate::upcast`]).

pub mod compatibility;
pub mod schema;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::stream::AggregateKind;
use crate::{claim, deployment, organization, project, service, upcast, user};

/// What all type names begin with.
pub const TYPE_PREFIX: &str = "dev.switchback";

/// The version that every event type has today. An event whose form changes gets its own entry in
/// [`crate::upcast`].
pub const CURRENT_VERSION: u32 = 1;

/// An event of any aggregate.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Of a user.
    User(user::Event),
    /// Of an organisation.
    Organization(organization::Event),
    /// Of a project.
    Project(project::Event),
    /// Of a service.
    Service(service::Event),
    /// Of a deployment.
    Deployment(deployment::Event),
    /// Of a claim.
    Claim(claim::Event),
}

/// An event that this program cannot read. It is never skipped: whoever reads the log stops and says so.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The type's name has another form, or names an aggregate or event this version does not know.
    #[error("event type `{0}` is not known to this version of Switchback; a newer one wrote it")]
    UnknownType(String),
    /// The data does not fit the type.
    #[error("data of event type `{event_type}` does not have its form")]
    Data {
        /// The type.
        event_type: String,
        /// What did not fit.
        #[source]
        source: serde_json::Error,
    },
}

/// An event's name and data, as they stand in a CloudEvent.
#[derive(Clone, Debug, PartialEq)]
pub struct Wire {
    /// `dev.switchback.<aggregate>.<event>.v<n>`.
    pub event_type: String,
    /// A JSON object.
    pub data: Value,
}

impl Event {
    /// Which aggregate it is of.
    #[must_use]
    pub const fn aggregate(&self) -> AggregateKind {
        match self {
            Self::User(_) => AggregateKind::User,
            Self::Organization(_) => AggregateKind::Organization,
            Self::Project(_) => AggregateKind::Project,
            Self::Service(_) => AggregateKind::Service,
            Self::Deployment(_) => AggregateKind::Deployment,
            Self::Claim(_) => AggregateKind::Claim,
        }
    }

    /// Its form on the wire.
    #[must_use]
    pub fn to_wire(&self) -> Wire {
        let value = match self {
            Self::User(event) => to_value(event),
            Self::Organization(event) => to_value(event),
            Self::Project(event) => to_value(event),
            Self::Service(event) => to_value(event),
            Self::Deployment(event) => to_value(event),
            Self::Claim(event) => to_value(event),
        };
        let (name, data) = match value {
            Value::Object(object) => object.into_iter().next(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
        .expect("an event is an enum of struct variants, so serde makes an object of one entry");
        let event_type = format!("{TYPE_PREFIX}.{}.{name}.v{CURRENT_VERSION}", self.aggregate());
        Wire { event_type, data }
    }

    /// The name on the wire.
    #[must_use]
    pub fn type_name(&self) -> String {
        self.to_wire().event_type
    }

    /// Reads an event of any released version, as today's.
    ///
    /// # Errors
    /// [`DecodeError`] when the type is not known or the data does not fit it.
    pub fn from_wire(event_type: &str, data: Value) -> Result<Self, DecodeError> {
        let unknown = || DecodeError::UnknownType(event_type.to_owned());
        let (kind, name, version) = parse_type(event_type).ok_or_else(unknown)?;
        let (name, data) = upcast::to_current(kind, name, version, data).ok_or_else(unknown)?;
        match kind {
            AggregateKind::User => from_value(event_type, &name, data).map(Self::User),
            AggregateKind::Organization => from_value(event_type, &name, data).map(Self::Organization),
            AggregateKind::Project => from_value(event_type, &name, data).map(Self::Project),
            AggregateKind::Service => from_value(event_type, &name, data).map(Self::Service),
            AggregateKind::Deployment => from_value(event_type, &name, data).map(Self::Deployment),
            AggregateKind::Claim => from_value(event_type, &name, data).map(Self::Claim),
        }
    }
}

/// The names of all event types there are, as this version writes them. Made from the types, so none is
/// missing.
#[must_use]
pub fn all_types() -> Vec<String> {
    schema::all().into_keys().collect()
}

/// The parts of a type's name: aggregate, event, version.
#[must_use]
pub fn parse_type(event_type: &str) -> Option<(AggregateKind, &str, u32)> {
    let rest = event_type.strip_prefix(TYPE_PREFIX)?.strip_prefix('.')?;
    let mut parts = rest.split('.');
    let (kind, name, version) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some((kind.parse().ok()?, name, version.strip_prefix('v')?.parse().ok()?))
}

fn to_value(event: &impl Serialize) -> Value {
    serde_json::to_value(event).expect("events hold only strings, numbers and maps with string keys")
}

fn from_value<E: DeserializeOwned>(event_type: &str, name: &str, data: Value) -> Result<E, DecodeError> {
    let tagged = Value::Object(Map::from_iter([(name.to_owned(), data)]));
    serde_json::from_value(tagged).map_err(|source| {
        // Serde says only in words that it does not know the event itself; within the data the same words
        // mean that the data is wrong.
        if source.to_string().starts_with(&format!("unknown variant `{name}`")) {
            DecodeError::UnknownType(event_type.to_owned())
        } else {
            DecodeError::Data { event_type: event_type.to_owned(), source }
        }
    })
}

macro_rules! conversions {
    ($($variant:ident => $module:ident),*) => {$(
        impl From<$module::Event> for Event {
            fn from(event: $module::Event) -> Self {
                Self::$variant(event)
            }
        }

        impl TryFrom<Event> for $module::Event {
            type Error = Event;

            fn try_from(event: Event) -> Result<Self, Event> {
                if let Event::$variant(event) = event { Ok(event) } else { Err(event) }
            }
        }
    )*};
}

conversions!(
    User => user,
    Organization => organization,
    Project => project,
    Service => service,
    Deployment => deployment,
    Claim => claim
);

#[cfg(test)]
mod tests;
