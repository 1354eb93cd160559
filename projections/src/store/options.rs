//! How a `PostgreSQL` server is used. Each number is a limit; the defaults suit one process of a platform
//! with a server of its own.

use std::fmt;
use std::time::Duration;

/// The role that readers take when nothing else is said.
pub const ROLE: &str = "switchback_reader";
/// The longest name that `PostgreSQL` does not cut.
const ROLE_MAX: usize = 63;

/// A pool of connections, and what its server may take for one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Connections at most.
    pub max: u32,
    /// Connections that are kept open when nobody needs them.
    pub min: u32,
    /// How long one is waited for, the making of it included. Whoever gets none is told so.
    pub wait: Duration,
    /// How long one that nobody needs stays open.
    pub idle: Duration,
    /// How old one gets: new settings, addresses and rights of the server come to all in this time.
    pub lifetime: Duration,
    /// How long a statement may take (`statement_timeout`).
    pub statement: Duration,
    /// How long a statement may wait for a lock (`lock_timeout`).
    pub lock: Duration,
    /// How long a transaction may wait for its next statement (`idle_in_transaction_session_timeout`).
    pub idle_in_transaction: Duration,
}

impl Pool {
    /// Readers: ten connections; a question that has no answer after ten seconds gets none.
    pub const READERS: Self = Self {
        max: 10,
        min: 0,
        wait: Duration::from_secs(3),
        idle: Duration::from_mins(10),
        lifetime: Duration::from_mins(30),
        statement: Duration::from_secs(10),
        lock: Duration::from_secs(5),
        idle_in_transaction: Duration::from_secs(10),
    };
    /// The projector and its migrations: one connection for what is live, one for each rebuild that is under
    /// way at once. It gives up a lock quickly and asks anew, so that no reader queues behind it.
    pub const WRITERS: Self = Self {
        max: 4,
        min: 0,
        wait: Duration::from_secs(5),
        idle: Duration::from_mins(10),
        lifetime: Duration::from_mins(30),
        statement: Duration::from_mins(1),
        lock: Duration::from_millis(500),
        idle_in_transaction: Duration::from_mins(1),
    };

    /// The limits that the server keeps, as it writes them.
    pub(super) fn limits(&self) -> [(&'static str, String); 3] {
        let in_ms = |limit: Duration| format!("{}ms", limit.as_millis());
        [
            ("statement_timeout", in_ms(self.statement)),
            ("lock_timeout", in_ms(self.lock)),
            ("idle_in_transaction_session_timeout", in_ms(self.idle_in_transaction)),
        ]
    }
}

/// How a server is used.
#[derive(Clone)]
pub struct Options {
    /// Who asks. One such pool for each of the two servers, when there is a replica.
    pub readers: Pool,
    /// Who writes, and who asks for the platform as a whole.
    pub writers: Pool,
    /// The role that readers take, so that row-level security holds them back. Made by the projector, when it
    /// may. Installations that share a server should not share it.
    pub role: String,
    /// The address of a streaming replica, one server, for reads. Without it, all goes to the primary.
    pub replica: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { readers: Pool::READERS, writers: Pool::WRITERS, role: ROLE.to_owned(), replica: None }
    }
}

impl Options {
    /// With other limits for readers.
    #[must_use]
    pub const fn readers(mut self, readers: Pool) -> Self {
        self.readers = readers;
        self
    }

    /// With other limits for the projector.
    #[must_use]
    pub const fn writers(mut self, writers: Pool) -> Self {
        self.writers = writers;
        self
    }

    /// With reads from a replica.
    #[must_use]
    pub fn replica(mut self, url: impl Into<String>) -> Self {
        self.replica = Some(url.into());
        self
    }

    /// With another role for readers: small letters, digits and `_`.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = role.into();
        self
    }

    /// Whether the role is a name that needs no quotes: it stands in statements as it is.
    pub(super) fn has_plain_role(&self) -> bool {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let role = &self.role;
        role.len() <= ROLE_MAX
            && role.chars().all(is_plain)
            && role.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
    }
}

/// Without the replica's address: a password may stand in it.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { readers, writers, role, replica } = self;
        let has_replica = replica.is_some();
        f.debug_struct("Options")
            .field("readers", readers)
            .field("writers", writers)
            .field("role", role)
            .field("has_replica", &has_replica)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_a_plain_name() {
        for role in [ROLE, "_r1", &"r".repeat(63)] {
            assert!(Options::default().role(role).has_plain_role(), "{role}");
        }
        for role in ["", "1r", "Reader", "a b", "a\"b", "a;b", "ä", &"r".repeat(64)] {
            assert!(!Options::default().role(role).has_plain_role(), "{role}");
        }
    }

    #[test]
    fn the_password_of_a_replica_is_not_shown() {
        let options = Options::default().replica("postgres://ada:secret@127.0.0.1/x");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
