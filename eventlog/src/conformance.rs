//! One suite for every adapter: what the ports promise, tried on each of them.
//!
//! A case is a function over a fixture; the macros [`log_suite!`](crate::log_suite) and its sisters make a
//! test of each, with the case's name, in whichever module they stand.

pub mod blobs;
pub mod calls;
pub mod entries;
mod examples;
pub mod log;
pub mod logs;
pub mod queue;

pub use examples::{commit, commit_of, fresh_stream, released, taken};

/// Makes a test of each named case of a suite.
#[macro_export]
macro_rules! cases {
    ($suite:ident, $fixture:expr, $($case:ident),*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::conformance::$suite::$case($fixture).await;
        }
    )*};
}

/// Runs each named case of a suite, one after the other, each on a fixture of its own.
#[macro_export]
macro_rules! cases_in_turn {
    ($suite:ident, $fixture:expr, $($case:ident),*) => {$(
        $crate::conformance::$suite::$case($fixture).await;
    )*};
}
