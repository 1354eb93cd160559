//! What Switchback is, without anything of the world in it: aggregates, their rules, and what follows from
//! what.
//!
//! No I/O, no clock, no randomness: time and identifiers come in with the command or its
//! [`context::Context`].
//!
//! Read in this order: [`aggregate`] (how state, commands and events hang together), [`stream`] (where events
//! stand), [`service`] and [`deployment`] (the two that matter most), [`rollback`] (the past made current),
//! [`saga`] (what is to be done next).

pub mod aggregate;
pub mod context;
pub mod event;
pub mod id;
pub mod stream;
pub mod upcast;

pub mod digest;
pub mod hostname;
pub mod name;
pub mod rejection;
pub mod secret;

pub mod claim;
pub mod organization;
pub mod project;
pub mod user;

pub mod command_line;
pub mod manifest;
pub mod plan;
pub mod source;

pub mod deployment;
pub mod rollback;
pub mod saga;
pub mod service;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
