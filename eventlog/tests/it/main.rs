//! The suite of conformance on every adapter, and what only one of them has to be tried for.

#![expect(clippy::unwrap_used, reason = "tests")]

extern crate switchback_eventlog as eventlog;

mod disk;
mod files;
mod jetstream;
mod kurrentdb;
mod memory;
mod nats;
mod proxy;
mod sqlite;
mod writer;
