//! What a step's work answers with when it could not be done.

use commands::error::CommandError;
use domain::deployment::step::Failure;
use eventlog::error::{BoxError, ReadError};

use crate::builder::BuildError;
use crate::registry::RegistryError;
use crate::runtime::RuntimeError;
use crate::source::SourceError;

/// A step that could not be done. Its text goes into an event: never output of the application, never a
/// secret.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// A stable word for programs.
    pub code: &'static str,
    /// What was wrong, and what to do.
    pub message: String,
    /// Whether trying again would be of no use.
    pub permanent: bool,
    /// What was seen below.
    #[source]
    pub source: Option<BoxError>,
}

impl StepError {
    /// A failure that will not go away by itself.
    #[must_use]
    pub fn permanent(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), permanent: true, source: None }
    }

    /// As it stands in the event.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure { code: self.code.to_owned(), message: self.message.clone(), permanent: self.permanent }
    }
}

macro_rules! from_port {
    ($($error:ty),*) => {$(
        impl From<$error> for StepError {
            fn from(error: $error) -> Self {
                Self {
                    code: error.code,
                    message: error.message,
                    permanent: error.permanent,
                    source: error.source,
                }
            }
        }
    )*};
}

from_port!(SourceError, BuildError, RegistryError, RuntimeError);

impl From<CommandError> for StepError {
    fn from(error: CommandError) -> Self {
        let (code, permanent) = match &error {
            CommandError::Rejected { code, .. } => (*code, true),
            CommandError::Forbidden(_) | CommandError::KeyReused => ("forbidden", true),
            CommandError::Keyring(keyring) => ("secret_unreadable", !keyring.is_passing()),
            CommandError::Contended | CommandError::Append(_) | CommandError::Read(_) => {
                ("log_unavailable", false)
            }
        };
        Self { code, message: error.to_string(), permanent, source: Some(Box::new(error)) }
    }
}

impl From<ReadError> for StepError {
    fn from(error: ReadError) -> Self {
        CommandError::from(error).into()
    }
}
