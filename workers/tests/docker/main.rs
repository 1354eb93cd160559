//! What is built and run by a real Docker Engine, named by `SWITCHBACK_TEST_DOCKER`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

extern crate switchback_workers as workers;

mod daemon;
mod engine;
mod runtime;
