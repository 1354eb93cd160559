//! What a decision is told about the world: the time and who asks. Nothing else reaches `decide`.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::UserId;

/// What kind of actor gave a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person, with a session or a token.
    User,
    /// A saga of the platform, carrying on what a person began.
    Saga,
    /// The reconciler, which keeps running what should run.
    Reconciler,
    /// The platform itself, as at its first start.
    Platform,
}

/// Who gave a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// Which one: a user's id, or nil for a part of the platform.
    pub id: Uuid,
    /// On whose behalf, when a part of the platform carries on what a person began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<UserId>,
}

impl Actor {
    /// A person.
    #[must_use]
    pub const fn user(user: UserId) -> Self {
        Self { kind: ActorKind::User, id: user.0, on_behalf_of: None }
    }

    /// A saga, on behalf of whoever began it.
    #[must_use]
    pub const fn saga(on_behalf_of: Option<UserId>) -> Self {
        Self { kind: ActorKind::Saga, id: Uuid::nil(), on_behalf_of }
    }

    /// The reconciler.
    #[must_use]
    pub const fn reconciler() -> Self {
        Self { kind: ActorKind::Reconciler, id: Uuid::nil(), on_behalf_of: None }
    }

    /// The platform itself.
    #[must_use]
    pub const fn platform() -> Self {
        Self { kind: ActorKind::Platform, id: Uuid::nil(), on_behalf_of: None }
    }

    /// The person behind the command, directly or through a saga.
    #[must_use]
    pub fn person(&self) -> Option<UserId> {
        match self.kind {
            ActorKind::User => Some(UserId(self.id)),
            ActorKind::Saga | ActorKind::Reconciler | ActorKind::Platform => self.on_behalf_of,
        }
    }
}

/// What a decision is told about the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The time at which the command is decided.
    pub now: DateTime<Utc>,
    /// Who gave it.
    pub actor: Actor,
}
