//! A claim: one key, one owner. It makes a slug, a service's name or a hostname unique.
//!
//! `Free → Held → Free → …`. A key never has two owners: the stream of a claim is the key itself, and taking
//! it is an append to that stream.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::aggregate::Aggregate;
use crate::context::Context;
use crate::id::{EnvironmentId, OrganizationId};
use crate::rejection::{self, Kind};
use crate::stream::{AggregateKind, StreamId};

/// How long an owner that was not created yet keeps what it claimed. A creation takes milliseconds; whoever
/// has not finished after this has died on the way.
pub const GRACE: TimeDelta = TimeDelta::minutes(1);

/// What can be claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Key {
    /// A project's slug within its organisation.
    ProjectSlug {
        /// The organisation.
        organization: OrganizationId,
        /// The slug.
        slug: String,
    },
    /// A service's name within an environment.
    ServiceName {
        /// The organisation.
        organization: OrganizationId,
        /// The environment.
        environment: EnvironmentId,
        /// The name.
        name: String,
    },
    /// A hostname, in the whole installation.
    Hostname {
        /// The hostname.
        hostname: String,
    },
}

impl Key {
    /// The stream of the claim. Its id is the first half of a SHA-256 over the key, so equal keys have one
    /// stream.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        let organization = match self {
            Self::ProjectSlug { organization, .. } | Self::ServiceName { organization, .. } => *organization,
            Self::Hostname { .. } => OrganizationId::PLATFORM,
        };
        let digest = Sha256::digest(self.to_string().as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        StreamId { organization, kind: AggregateKind::Claim, id: Uuid::new_v8(half) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProjectSlug { organization, slug } => write!(f, "project-slug:{organization}:{slug}"),
            Self::ServiceName { environment, name, .. } => write!(f, "service-name:{environment}:{name}"),
            Self::Hostname { hostname } => write!(f, "hostname:{hostname}"),
        }
    }
}

/// The owner of a claim: the aggregate that it was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Owner {
    /// Its organisation.
    pub organization: OrganizationId,
    /// Its kind.
    pub kind: AggregateKind,
    /// Its id.
    pub id: Uuid,
}

impl Owner {
    /// The owner's stream.
    #[must_use]
    pub const fn stream(self) -> StreamId {
        StreamId { organization: self.organization, kind: self.kind, id: self.id }
    }
}

impl From<StreamId> for Owner {
    fn from(stream: StreamId) -> Self {
        Self { organization: stream.organization, kind: stream.kind, id: stream.id }
    }
}

/// Orders.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Take the key for an owner.
    Take {
        /// The key.
        key: Key,
        /// For whom.
        owner: Owner,
    },
    /// Take the key from an owner that was found to be gone, or never to have come.
    TakeOver {
        /// The key.
        key: Key,
        /// From whom.
        from: Owner,
        /// For whom.
        owner: Owner,
    },
    /// Give the key back.
    Release {
        /// By whom.
        owner: Owner,
    },
}

/// Facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The key has an owner.
    Taken {
        /// The key.
        key: Key,
        /// For whom.
        owner: Owner,
        /// When.
        at: DateTime<Utc>,
    },
    /// The key is free.
    Released {},
}

/// The state of a claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Claim {
    /// Nobody has the key.
    #[default]
    Free,
    /// Somebody has it.
    Held {
        /// Who.
        owner: Owner,
        /// Since when.
        since: DateTime<Utc>,
    },
}

/// Why a claim is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// Another has it.
    #[error("it is taken")]
    Taken {
        /// Who has it.
        owner: Owner,
        /// Since when.
        since: DateTime<Utc>,
    },
}

impl rejection::Rejection for Rejection {
    fn code(&self) -> &'static str {
        "name_taken"
    }

    fn kind(&self) -> Kind {
        Kind::Conflict
    }

    fn field(&self) -> Option<&'static str> {
        Some("name")
    }
}

impl Aggregate for Claim {
    const KIND: AggregateKind = AggregateKind::Claim;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, ctx: &Context) -> Result<Vec<Event>, Rejection> {
        let taken = |key, owner| Ok(vec![Event::Taken { key, owner, at: ctx.now }]);
        match (self, command) {
            (Self::Free, Command::Take { key, owner } | Command::TakeOver { key, owner, .. }) => {
                taken(key, owner)
            }
            (Self::Free, Command::Release { .. }) => Ok(vec![]),
            (
                Self::Held { owner: holder, .. },
                Command::Take { owner, .. } | Command::TakeOver { owner, .. },
            ) if *holder == owner => Ok(vec![]),
            (Self::Held { owner: holder, .. }, Command::TakeOver { key, from, owner }) if *holder == from => {
                taken(key, owner)
            }
            (Self::Held { owner: holder, .. }, Command::Release { owner }) if *holder == owner => {
                Ok(vec![Event::Released {}])
            }
            (Self::Held { owner, since }, Command::Take { .. } | Command::TakeOver { .. }) => {
                Err(Rejection::Taken { owner: *owner, since: *since })
            }
            (Self::Held { .. }, Command::Release { .. }) => Ok(vec![]), // It was given on in the meantime.
        }
    }

    fn evolve(self, event: &Event) -> Self {
        match event {
            Event::Taken { owner, at, .. } => Self::Held { owner: *owner, since: *at },
            Event::Released {} => Self::Free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, given};

    fn key() -> Key {
        Key::Hostname { hostname: "web.shop.localhost".into() }
    }

    fn owner(id: u128) -> Owner {
        Owner {
            organization: OrganizationId::PLATFORM,
            kind: AggregateKind::Service,
            id: Uuid::from_u128(id),
        }
    }

    fn taken(by: u128) -> Event {
        Event::Taken { key: key(), owner: owner(by), at: NOW }
    }

    #[test]
    fn a_free_key_can_be_taken() {
        given::<Claim>([]).when(Command::Take { key: key(), owner: owner(1) }).then([taken(1)]);
    }

    #[test]
    fn taking_it_again_for_the_same_owner_changes_nothing() {
        given::<Claim>([taken(1)]).when(Command::Take { key: key(), owner: owner(1) }).then([]);
    }

    #[test]
    fn a_held_key_is_refused_to_another() {
        given::<Claim>([taken(1)])
            .when(Command::Take { key: key(), owner: owner(2) })
            .then_rejected(&Rejection::Taken { owner: owner(1), since: NOW });
    }

    #[test]
    fn a_key_can_be_taken_over_only_from_whom_was_named() {
        let take_over = |from| Command::TakeOver { key: key(), from: owner(from), owner: owner(2) };
        given::<Claim>([taken(1)]).when(take_over(1)).then([taken(2)]);
        given::<Claim>([taken(3)])
            .when(take_over(1))
            .then_rejected(&Rejection::Taken { owner: owner(3), since: NOW });
    }

    #[test]
    fn only_the_owner_gives_it_back() {
        given::<Claim>([taken(1)]).when(Command::Release { owner: owner(2) }).then([]);
        given::<Claim>([taken(1)]).when(Command::Release { owner: owner(1) }).then([Event::Released {}]);
        given::<Claim>([taken(1), Event::Released {}])
            .when(Command::Take { key: key(), owner: owner(2) })
            .then([taken(2)]);
    }

    #[test]
    fn equal_keys_have_one_stream_and_others_another() {
        let other = Key::Hostname { hostname: "api.shop.localhost".into() };
        assert_eq!(key().stream(), key().stream());
        assert_ne!(key().stream(), other.stream());
    }
}
