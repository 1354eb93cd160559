//! Whether what the platform stands on can be reached.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

/// Asks an engine whether it is there; answers with what is wrong, in words.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// An engine that the platform stands on.
#[derive(Clone)]
pub struct Engine {
    /// What it is for: `log`, `read`, `queue`.
    pub name: &'static str,
    /// What it is: `sqlite`, `jetstream`, `postgres`.
    pub kind: &'static str,
    /// Asks it.
    pub probe: Probe,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.kind)
    }
}
