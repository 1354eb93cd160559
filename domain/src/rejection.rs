//! Why a command may not be carried out, in a form that an interface can pass on.

use std::error::Error;

/// What sort of refusal it is; an interface makes its status code of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the command is about is not there.
    NotFound,
    /// What it is about stands in a state that does not allow it.
    Conflict,
    /// The command itself breaks a rule.
    Invalid,
}

/// A refusal: its text says what is wrong and what to do.
pub trait Rejection: Error {
    /// A stable word for programs; listed in the documentation.
    fn code(&self) -> &'static str;
    /// What sort of refusal it is.
    fn kind(&self) -> Kind;
    /// The field of the request that is at fault, when it is one.
    fn field(&self) -> Option<&'static str> {
        None
    }
}
