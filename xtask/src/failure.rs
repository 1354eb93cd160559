//! How a task says that it did not succeed.
//!
//! Nobody matches on a cause here: it is printed, and the exit code is 1. So there is one type with a text
//! and a source, and not an enum per file.

use std::error::Error;
use std::fmt;

/// Why a task ended badly.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The task has printed it already, in its own way.
    Said,
    /// What could not be done, and the cause where there is one.
    Because {
        /// Reads well after `xtask:`.
        doing: String,
        /// What the system or a library said.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl Failure {
    /// A failure whose text says everything.
    pub(crate) fn new(doing: impl Into<String>) -> Self {
        Failure::Because { doing: doing.into(), source: None }
    }

    /// A task was called in a way that it does not know.
    pub(crate) fn usage(what: impl fmt::Display) -> Self {
        Failure::new(format!("{what}; `cargo xtask help` lists what there is"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Said => Ok(()),
            Failure::Because { doing, source } => {
                f.write_str(doing)?;
                let mut cause = source.as_deref().map(|source| source as &dyn Error);
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}

/// Says what was being done when something went wrong.
pub(crate) trait Doing<T> {
    /// `text` completes "failed to …".
    fn doing(self, text: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Error + Send + Sync + 'static> Doing<T> for Result<T, E> {
    fn doing(self, text: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::Because {
            doing: format!("failed to {}", text()),
            source: Some(Box::new(error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_what_was_done_and_why_it_failed() {
        let error = std::io::Error::other("no space left");
        let failure = Err::<(), _>(error).doing(|| "write x".to_owned()).unwrap_err();
        assert_eq!(failure.to_string(), "failed to write x: no space left");
    }
}
