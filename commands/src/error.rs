//! Why a command was not carried out.

use domain::rejection::{Kind, Rejection};
use eventlog::error::{AppendError, ReadError};

use crate::keyring::KeyringError;

/// A command that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It may not be: a rule of the domain.
    #[error("{message}")]
    Rejected {
        /// A stable word for programs.
        code: &'static str,
        /// What sort of refusal it is.
        kind: Kind,
        /// The field at fault.
        field: Option<String>,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The caller may see what it is about, but not do this.
    #[error("you may not {0} here")]
    Forbidden(&'static str),
    /// The key was used before, for another request.
    #[error("the Idempotency-Key was used before with another request; use a new one")]
    KeyReused,
    /// Others kept changing the same thing.
    #[error("others are changing the same thing at the moment; try again")]
    Contended,
    /// The log could not be written; nothing happened.
    #[error("the command was not recorded")]
    Append(#[source] AppendError),
    /// The log could not be read; nothing happened.
    #[error("what the command is about could not be read")]
    Read(#[from] ReadError),
    /// A secret could not be sealed or opened.
    #[error("a secret could not be handled")]
    Keyring(#[from] KeyringError),
}

impl CommandError {
    /// A rejection by the domain.
    #[must_use]
    pub fn rejected(rejection: &impl Rejection) -> Self {
        Self::Rejected {
            code: rejection.code(),
            kind: rejection.kind(),
            field: rejection.field().map(str::to_owned),
            message: rejection.to_string(),
        }
    }

    /// A rejection with words of its own.
    #[must_use]
    pub fn conflict(code: &'static str, field: Option<&str>, message: impl Into<String>) -> Self {
        Self::Rejected {
            code,
            kind: Kind::Conflict,
            field: field.map(str::to_owned),
            message: message.into(),
        }
    }

    /// The stable word of a rejection.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Rejected { code, .. } => Some(code),
            Self::Forbidden(_)
            | Self::KeyReused
            | Self::Contended
            | Self::Append(_)
            | Self::Read(_)
            | Self::Keyring(_) => None,
        }
    }
}
