//! The sagas over fakes of every port: each step fails, hangs, is repeated and is killed, and the world is as
//! it should be afterwards.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

extern crate switchback_workers as workers;

mod cancel;
mod crash;
mod faults;
mod invariants;
mod queue_lost;
mod rebuild;
mod reconcile;
mod world;
