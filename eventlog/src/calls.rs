//! The port to calls: ask every process of a kind something, and gather the answers.
//!
//! Who is there says so at once, and answers when it can; so whoever asks knows for how many answers it
//! waits. A process that hangs, or dies after it said so, is counted and has no answer. One that cannot be
//! reached at the moment is not counted: whoever has to be sure asks again, or knows from elsewhere how many
//! there are.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::error::StoreError;

/// Who is there says so within this time. It is always waited for, unless nobody serves the kind at all.
pub const ROLL_CALL: Duration = Duration::from_millis(500);
/// How many calls one process answers at once; more wait.
pub const AT_ONCE_MAX: usize = 64;

/// Answers a call. It is dropped when whoever asks does not wait any more.
pub type Handler = Arc<dyn Fn(Value) -> BoxFuture<'static, Value> + Send + Sync>;

/// What one process answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The process, by the name that it serves under.
    pub from: String,
    /// What it said.
    pub value: Value,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// How many processes said that they are there.
    pub present: usize,
    /// What those said that answered in time.
    pub answers: Vec<Answer>,
}

impl Answers {
    /// Whether all who are there answered. When nobody is there, they did.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.answers.len() == self.present
    }
}

/// Serves until it is dropped.
#[derive(Debug)]
#[must_use = "it serves until it is dropped"]
pub struct Serving(pub(crate) AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Calls.
#[async_trait]
pub trait Calls: Send + Sync {
    /// Answers calls of a kind (a word of letters, digits, `-` and `_`), under the name of this process.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn serve(&self, kind: &str, name: &str, handler: Handler) -> Result<Serving, StoreError>;

    /// Asks every process that serves a kind, and waits until all that are there have answered, at most for
    /// `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when nobody could be asked.
    async fn ask(&self, kind: &str, request: Value, limit: Duration) -> Result<Answers, StoreError>;
}

/// Calls that several parts of a program share.
pub type SharedCalls = Arc<dyn Calls>;
