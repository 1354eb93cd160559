//! Instances as containers.

mod arguments;
mod conformance;
mod crash;
mod exits;
mod hardening;
mod lines;
mod platform;
mod reached;
mod release_command;
mod restart;
pub(crate) mod stage;
