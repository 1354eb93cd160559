//! The chain of commits in a stream: each begins at the version where the one before it ended, and carries
//! its hash.
//!
//! A hole or a changed byte breaks it, whichever engine lost or changed it.

use domain::stream::{StreamId, Version};

use crate::bounded::Bounded;
use crate::commit::{Hash, Head, RecordedCommit};
use crate::error::ReadError;

/// How many streams a reader of all of them remembers the ends of. Of a stream that was forgotten the next
/// commit is taken as it comes.
const STREAMS_MAX: usize = 20_000;

/// The version before a commit's first event.
fn before(commit: &RecordedCommit) -> Version {
    commit.events.first().map_or(Version::ZERO, |event| Version(event.version.0.saturating_sub(1)))
}

/// Checks that a commit follows the end of its stream.
///
/// # Errors
/// [`ReadError::Damaged`].
pub(crate) fn check_follows(end: &Head, commit: &RecordedCommit) -> Result<(), ReadError> {
    let problem = if before(commit) != end.version {
        format!(
            "{} goes on after version {}, though it had {}: commits are missing or stand twice",
            commit.stream,
            before(commit),
            end.version
        )
    } else if commit.previous != end.hash {
        format!(
            "{} has another commit before version {} than it had when this was written: a byte was changed",
            commit.stream,
            end.version.next()
        )
    } else if commit.head.position <= end.position {
        format!("{} goes back from position {}", commit.stream, end.position)
    } else {
        return Ok(());
    };
    Err(ReadError::Damaged { position: commit.head.position, problem })
}

/// Checks the commits of many streams as they are read.
#[derive(Debug)]
pub(crate) struct Chains {
    ends: Bounded<StreamId, (Version, Hash)>,
}

impl Default for Chains {
    fn default() -> Self {
        Self { ends: Bounded::new(STREAMS_MAX) }
    }
}

impl Chains {
    /// Checks the next commit.
    ///
    /// # Errors
    /// [`ReadError::Damaged`].
    pub(crate) fn check(&mut self, commit: &RecordedCommit) -> Result<(), ReadError> {
        let begins = before(commit) == Version::ZERO;
        let known = if begins { Some((Version::ZERO, Hash::default())) } else { None };
        if let Some((version, hash)) = self.ends.get(&commit.stream).copied().or(known) {
            check_follows(&Head { version, hash, ..Head::EMPTY }, commit)?;
        }
        self.ends.insert(commit.stream, (commit.head.version, commit.head.hash));
        Ok(())
    }
}
