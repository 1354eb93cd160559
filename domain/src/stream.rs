//! Where events stand: the stream of one aggregate, the version within it, the position in the whole log.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::context::Actor;
use crate::event::Event;
use crate::id::{
    CommandId, CommitId, CorrelationId, DeploymentId, EventId, OrganizationId, ProjectId, ServiceId, UserId,
};

/// The kinds of aggregate, each with streams of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AggregateKind {
    /// A person.
    User,
    /// A tenant.
    Organization,
    /// A project and its environments.
    Project,
    /// One service in one environment.
    Service,
    /// One attempt to make one revision of a service run.
    Deployment,
    /// A key that only one owner can hold.
    Claim,
}

impl AggregateKind {
    /// Every kind, in the order in which a reader meets them.
    pub const ALL: [Self; 6] =
        [Self::User, Self::Organization, Self::Project, Self::Service, Self::Deployment, Self::Claim];

    /// The word that stands in subjects and event types.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Organization => "organization",
            Self::Project => "project",
            Self::Service => "service",
            Self::Deployment => "deployment",
            Self::Claim => "claim",
        }
    }
}

impl fmt::Display for AggregateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no kind of aggregate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a kind of aggregate; there are user, organization, project, service, deployment, claim"
)]
pub struct UnknownKind(pub String);

impl FromStr for AggregateKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// The stream of one aggregate. Its text is the subject in the log: `sb.evt.<organization>.<aggregate>.<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Whom the aggregate belongs to; [`OrganizationId::PLATFORM`] when to nobody.
    pub organization: OrganizationId,
    /// What it is.
    pub kind: AggregateKind,
    /// Which one.
    pub id: Uuid,
}

impl StreamId {
    /// The subject prefix of every event.
    pub const PREFIX: &'static str = "sb.evt";

    /// The stream of a user. Users stand above organisations.
    #[must_use]
    pub const fn user(user: UserId) -> Self {
        Self { organization: OrganizationId::PLATFORM, kind: AggregateKind::User, id: user.0 }
    }

    /// The stream of an organisation.
    #[must_use]
    pub const fn organization(organization: OrganizationId) -> Self {
        Self { organization, kind: AggregateKind::Organization, id: organization.0 }
    }

    /// The stream of a project.
    #[must_use]
    pub const fn project(organization: OrganizationId, project: ProjectId) -> Self {
        Self { organization, kind: AggregateKind::Project, id: project.0 }
    }

    /// The stream of a service.
    #[must_use]
    pub const fn service(organization: OrganizationId, service: ServiceId) -> Self {
        Self { organization, kind: AggregateKind::Service, id: service.0 }
    }

    /// The stream of a deployment.
    #[must_use]
    pub const fn deployment(organization: OrganizationId, deployment: DeploymentId) -> Self {
        Self { organization, kind: AggregateKind::Deployment, id: deployment.0 }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", Self::PREFIX, self.organization, self.kind, self.id)
    }
}

/// A text that is no stream's subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a subject of the form sb.evt.<organization>.<aggregate>.<id>")]
pub struct InvalidSubject(pub String);

impl FromStr for StreamId {
    type Err = InvalidSubject;

    fn from_str(subject: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSubject(subject.to_owned());
        let rest =
            subject.strip_prefix(Self::PREFIX).and_then(|r| r.strip_prefix('.')).ok_or_else(invalid)?;
        let mut tokens = rest.split('.');
        let (Some(organization), Some(kind), Some(id), None) =
            (tokens.next(), tokens.next(), tokens.next(), tokens.next())
        else {
            return Err(invalid());
        };
        Ok(Self {
            organization: organization.parse().map_err(|_| invalid())?,
            kind: kind.parse().map_err(|_| invalid())?,
            id: id.parse().map_err(|_| invalid())?,
        })
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// Before the first.
            pub const ZERO: Self = Self(0);

            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// How many events a stream has: the first event has version 1, an empty stream is at 0.
    Version
);
number!(
    /// Where a commit stands in the whole log. Grows by one with each commit; the first is 1.
    Position
);

/// An event as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded<E = Event> {
    /// The event's own id.
    pub id: EventId,
    /// The stream it stands in.
    pub stream: StreamId,
    /// Its version in that stream.
    pub version: Version,
    /// The position of its commit in the log.
    pub position: Position,
    /// The commit it came with.
    pub commit: CommitId,
    /// When it was decided, by the clock of the server that decided. Informational: order is by position
    /// only.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: Actor,
    /// The command it came from.
    pub command: CommandId,
    /// What began the chain of commands and events that it belongs to.
    pub correlation: CorrelationId,
    /// The event that led to the command, when a saga gave it.
    pub causation: Option<EventId>,
    /// The trace that it was made in, as a W3C `traceparent`.
    pub traceparent: Option<String>,
    /// What happened.
    pub event: E,
}

impl<E> Recorded<E> {
    /// The same record with another content.
    pub fn map<F>(self, change: impl FnOnce(E) -> F) -> Recorded<F> {
        Recorded {
            id: self.id,
            stream: self.stream,
            version: self.version,
            position: self.position,
            commit: self.commit,
            at: self.at,
            actor: self.actor,
            command: self.command,
            correlation: self.correlation,
            causation: self.causation,
            traceparent: self.traceparent,
            event: change(self.event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_reads_back_as_the_stream_it_was_made_from() {
        let stream = StreamId::service(OrganizationId(Uuid::from_u128(7)), ServiceId(Uuid::from_u128(9)));
        assert_eq!(stream.to_string().parse(), Ok(stream));
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for text in ["", "sb.evt", "sb.evt.x.service.y", "sb.evt.*.service.*", "a.b.c.d.e"] {
            assert!(text.parse::<StreamId>().is_err(), "{text}");
        }
    }
}
