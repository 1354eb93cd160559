//! The API over a log and read models in memory, asked as a client asks it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

extern crate switchback_gateway as gateway;

mod commands_twice;
mod events;
mod failures;
mod house;
mod logs;
mod project;
mod rollback;
mod service;
mod tokens;
mod variables;
