//! What every command comes with: who gives it, under which id, in which chain.

use domain::context::Actor;
use domain::id::{CommandId, CorrelationId, EventId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What a command comes with.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Who gives it.
    pub actor: Actor,
    /// Its id: the same command given again has the same.
    pub command: CommandId,
    /// The chain it belongs to.
    pub correlation: CorrelationId,
    /// The event that led to it.
    pub causation: Option<EventId>,
    /// The W3C `traceparent` it is carried out under.
    pub traceparent: Option<String>,
}

impl Request {
    /// A command that nobody will give again under the same id.
    #[must_use]
    pub fn new(actor: Actor) -> Self {
        let id = Uuid::now_v7();
        Self {
            actor,
            command: CommandId(id),
            correlation: CorrelationId(id),
            causation: None,
            traceparent: None,
        }
    }

    /// A command that may be given again, and then is the same one ([`crate::idempotency::command_id`]).
    #[must_use]
    pub fn repeatable(actor: Actor, command: CommandId) -> Self {
        Self { command, correlation: CorrelationId(command.0), ..Self::new(actor) }
    }

    /// An id for what the command makes. A command that may be given again always makes the same one.
    #[must_use]
    pub fn fresh_id(&self, what: &str) -> Uuid {
        if crate::idempotency::is_repeatable(self.command) {
            let digest = Sha256::new().chain_update(self.command.0.as_bytes()).chain_update(what).finalize();
            let mut half = [0; 16];
            half.copy_from_slice(&digest[..16]);
            Uuid::new_v8(half)
        } else {
            Uuid::now_v7()
        }
    }
}
