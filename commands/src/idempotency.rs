//! The same command given twice has one effect and one answer.
//!
//! The id of a command that a caller named (by an `Idempotency-Key`) is made of two hashes: the first half of
//! caller and key, the second of what was asked for. It stands in every event that came of the command. So
//! whoever loads the stream, on any gateway and after any restart, sees that the command was carried out, and
//! where; and sees when the same key comes with another request. Nothing beside the log has to be kept.

use domain::id::CommandId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Bits of a UUID that tell its version and variant, and not of its value.
const VERSION_BYTE: usize = 6;

/// The id of a command that `caller` gives under `key`; `body` is everything that was asked for.
#[must_use]
pub fn command_id(caller: Uuid, key: &str, body: &[u8]) -> CommandId {
    let who = Sha256::new().chain_update(caller.as_bytes()).chain_update(key).finalize();
    let what = Sha256::digest(body);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&who[..8]);
    bytes[8..].copy_from_slice(&what[..8]);
    CommandId(Uuid::new_v8(bytes))
}

/// Whether the command may be given again under the same id.
#[must_use]
pub fn is_repeatable(command: CommandId) -> bool {
    command.0.get_version_num() == 8
}

/// How two commands stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Different commands.
    Different,
    /// The same one, given again.
    Same,
    /// Another request under the same key.
    KeyReused,
}

/// How `given` stands to `earlier`.
#[must_use]
pub fn relation(earlier: CommandId, given: CommandId) -> Relation {
    if earlier == given {
        return Relation::Same;
    }
    let (a, b) = (earlier.0.as_bytes(), given.0.as_bytes());
    let same_key = is_repeatable(earlier)
        && is_repeatable(given)
        && a[..VERSION_BYTE] == b[..VERSION_BYTE]
        && a[VERSION_BYTE + 1] == b[VERSION_BYTE + 1];
    if same_key { Relation::KeyReused } else { Relation::Different }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: Uuid = Uuid::from_u128(1);

    #[test]
    fn the_same_key_and_body_are_the_same_command() {
        let id = command_id(CALLER, "k", b"body");
        assert_eq!(relation(id, command_id(CALLER, "k", b"body")), Relation::Same);
    }

    #[test]
    fn the_same_key_with_another_body_is_seen() {
        let id = command_id(CALLER, "k", b"body");
        assert_eq!(relation(id, command_id(CALLER, "k", b"other")), Relation::KeyReused);
    }

    #[test]
    fn another_key_or_caller_is_another_command() {
        let id = command_id(CALLER, "k", b"body");
        assert_eq!(relation(id, command_id(CALLER, "l", b"body")), Relation::Different);
        assert_eq!(relation(id, command_id(Uuid::from_u128(2), "k", b"body")), Relation::Different);
    }

    #[test]
    fn commands_without_a_key_are_never_taken_for_one_another() {
        let (a, b) = (CommandId(Uuid::now_v7()), CommandId(Uuid::now_v7()));
        assert_eq!(relation(a, b), Relation::Different);
    }
}
