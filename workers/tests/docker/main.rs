//! What is built, kept and run by a real Docker Engine, named by `SWITCHBACK_TEST_DOCKER`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

extern crate switchback_workers as workers;

mod builder;
mod daemon;
mod engine;
mod registry;
mod runtime;
