//! The built binary, driven as a user drives it: a platform of its own for each test, on free ports, in a
//! directory of its own, of which nothing is left afterwards.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "a test that fails says what the server said")]

mod application;
mod bad_input;
mod clock;
mod collector;
mod configuration;
mod crash;
mod deploy;
mod doctor;
mod engines;
mod failing;
mod history;
mod kill;
mod load;
mod metrics;
mod nats;
mod packaging;
mod platform;
mod rollback;
mod schema;
mod secrets;
mod stage;
mod start;
mod traces;
