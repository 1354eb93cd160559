//! The client's commands, as a user runs them: the binary against a server that answers what a test wants.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod deploy;
mod exit;
mod fake;
mod follow;
mod git;
mod login;
mod output;
mod person;
mod retry;
mod rollback;
mod sources;
mod target;
mod terminal;
mod variables;
