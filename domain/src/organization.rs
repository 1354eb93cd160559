//! An organisation: the tenant that projects belong to. Who may do what is decided on its stream.
//!
//! `Absent → Active`. It never has no owner.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::context::Context;
use crate::id::UserId;
use crate::rejection::{self, Kind};
use crate::stream::AggregateKind;

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Owner,
}

/// Orders.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make the organisation, with its first owner.
    Create {
        /// Its name.
        name: String,
        /// Its first owner.
        owner: UserId,
    },
}

/// Facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The organisation exists.
    Created {
        /// Its name.
        name: String,
        /// Its first owner.
        owner: UserId,
    },
}

/// The state of an organisation.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Organization {
    /// Not made yet.
    #[default]
    Absent,
    /// In use.
    Active {
        /// Its name.
        name: String,
        /// Who belongs to it, and as what.
        members: BTreeMap<UserId, Role>,
    },
}

impl Organization {
    /// What `user` is in the organisation.
    #[must_use]
    pub fn role_of(&self, user: UserId) -> Option<Role> {
        match self {
            Self::Absent => None,
            Self::Active { members, .. } => members.get(&user).copied(),
        }
    }
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// It is there already.
    #[error("the organization exists already")]
    AlreadyExists,
}

impl rejection::Rejection for Rejection {
    fn code(&self) -> &'static str {
        "organization_exists"
    }

    fn kind(&self) -> Kind {
        Kind::Conflict
    }
}

impl Aggregate for Organization {
    const KIND: AggregateKind = AggregateKind::Organization;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, _ctx: &Context) -> Result<Vec<Event>, Rejection> {
        match (self, command) {
            (Self::Absent, Command::Create { name, owner }) => Ok(vec![Event::Created { name, owner }]),
            (Self::Active { name, members }, Command::Create { name: same, owner })
                if *name == same && members.contains_key(&owner) =>
            {
                Ok(vec![])
            }
            (Self::Active { .. }, Command::Create { .. }) => Err(Rejection::AlreadyExists),
        }
    }

    fn evolve(self, event: &Event) -> Self {
        match event {
            Event::Created { name, owner } => {
                Self::Active { name: name.clone(), members: BTreeMap::from([(*owner, Role::Owner)]) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::testing::given;

    const OWNER: UserId = UserId(Uuid::from_u128(1));

    fn create(name: &str) -> Command {
        Command::Create { name: name.into(), owner: OWNER }
    }

    fn created() -> Event {
        Event::Created { name: "home".into(), owner: OWNER }
    }

    #[test]
    fn the_first_owner_comes_with_it() {
        given::<Organization>([]).when(create("home")).then([created()]);
        assert_eq!(given::<Organization>([created()]).state().role_of(OWNER), Some(Role::Owner));
    }

    #[test]
    fn making_it_again_changes_nothing_and_another_is_refused() {
        given::<Organization>([created()]).when(create("home")).then([]);
        given::<Organization>([created()]).when(create("other")).then_rejected(&Rejection::AlreadyExists);
    }

    #[test]
    fn a_stranger_has_no_role() {
        let stranger = UserId(Uuid::from_u128(2));
        assert_eq!(given::<Organization>([created()]).state().role_of(stranger), None);
    }
}
