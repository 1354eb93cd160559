//! What a command ends with when it does not end well: what failed, why, the next thing to try, and the exit
//! code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use serde_json::json;

use crate::ui::style::Style;
use crate::ui::{Form, Ui};

/// The exit codes of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did not work.
    Failed = 1,
    /// What was asked for makes no sense.
    Usage = 2,
    /// It is not there.
    NotFound = 3,
    /// The caller may not.
    NotAllowed = 4,
    /// Something else is in the way.
    Conflict = 5,
    /// It took too long.
    TimedOut = 6,
    /// Ctrl-C, by the convention of shells.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    why: Vec<String>,
    next: Option<String>,
    code: Option<String>,
    is_silent: bool,
}

impl Failure {
    /// With an exit code and what failed.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: vec![], next: None, code: None, is_silent: false }
    }

    /// What was asked for makes no sense.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// An error with all its causes.
    pub(crate) fn of(exit: Exit, error: &dyn Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| (*cause).source());
        let mut why: Vec<String> = Vec::new();
        for cause in causes.map(ToString::to_string) {
            // Some errors repeat the text of their cause.
            if why.last().is_none_or(|last| !last.ends_with(&cause)) {
                why.push(cause);
            }
        }
        Self { why, ..Self::new(exit, error.to_string()) }
    }

    /// And the reason.
    #[must_use]
    pub(crate) fn because(mut self, why: impl Into<String>) -> Self {
        self.why.push(why.into());
        self
    }

    /// And what to try.
    #[must_use]
    pub(crate) fn try_next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// And the word for programs.
    #[must_use]
    pub(crate) fn coded(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The word for programs, when it has one.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Says it on standard error, and gives the exit code.
    pub(crate) fn report(&self, ui: &Ui) -> ExitCode {
        if !self.is_silent {
            ui.failure(&self.text(ui));
        }
        self.exit.into()
    }

    fn text(&self, ui: &Ui) -> String {
        if ui.form() == Form::Json {
            let (code, next) = (self.code.as_deref(), self.next.as_deref());
            let error = json!({"message": self.what, "causes": self.why, "next": next, "code": code});
            return json!({"error": error, "exit": self.exit as u8}).to_string();
        }
        let mut text = format!("{}: {}", ui.err_style(Style::Bad, "error"), ui.err_foreign(&self.what));
        for why in &self.why {
            text.push_str(&format!("\n  {}", ui.err_foreign(why).replace('\n', "\n  ")));
        }
        if let Some(next) = &self.next {
            text.push_str(&format!("\n{}: {next}", ui.err_style(Style::Heading, "next")));
        }
        text
    }
}

/// A result that could not be printed. That nobody reads any more (`| head`) is no news to anybody.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let is_silent = error.kind() == io::ErrorKind::BrokenPipe;
        Self { is_silent, ..Self::new(Exit::Failed, "print the result").because(error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("pack the directory")]
    struct Outer(#[source] io::Error);

    #[test]
    fn an_error_brings_its_causes() {
        let failure = Failure::of(Exit::Failed, &Outer(io::Error::other("disk is full")));
        assert_eq!(failure.what, "pack the directory");
        assert_eq!(failure.why, ["disk is full"]);
    }

    #[test]
    fn nobody_reading_is_not_reported() {
        assert!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).is_silent);
        assert!(!Failure::from(io::Error::other("disk is full")).is_silent);
    }
}
