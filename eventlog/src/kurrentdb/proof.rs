//! What stands in the metadata of each event: the hash of its data.

use serde::{Deserialize, Serialize};

use crate::commit::Hash;

#[derive(Serialize, Deserialize)]
pub(super) struct Proof {
    sha256: String,
}

impl Proof {
    pub(super) fn of(hash: Hash) -> Self {
        Self { sha256: hash.to_string() }
    }

    /// The hash that the data of an event has to have; none when its metadata does not say.
    pub(super) fn read(metadata: &[u8]) -> Option<Hash> {
        let proof: Self = serde_json::from_slice(metadata).ok()?;
        let mut hash = Hash::default();
        hex::decode_to_slice(proof.sha256, &mut hash.0).ok()?;
        Some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back_and_nothing_else_is_one() {
        let hash = Hash([0xab; 32]);
        let metadata = serde_json::to_vec(&Proof::of(hash)).unwrap();
        assert_eq!(Proof::read(&metadata), Some(hash));
        for other in ["", "{}", r#"{"sha256":""}"#, r#"{"sha256":"abab"}"#, r#"{"sha256":7}"#] {
            assert_eq!(Proof::read(other.as_bytes()), None, "{other}");
        }
    }
}
