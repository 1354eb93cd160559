//! Instances as containers.

mod arguments;
mod conformance;
mod crash;
mod exits;
mod hardening;
mod lines;
mod reached;
mod release_command;
mod stage;
