//! One suite for every adapter: what the ports promise, tried on each of them.
//!
//! A case is a function over a fixture; the macros [`log_suite!`](crate::log_suite) and its sisters make a test of each,
//! with the case's name, in whichever module they stand.

mod examples;
pub mod log;

pub use examples::{commit, commit_of, fresh_stream, released, taken};
