//! What every event log promises.
//!
//! `append` appending, races, repeats; `read` reading and what is damaged; `follow` subscribing.

mod append;
mod follow;
mod read;

use async_trait::async_trait;
use domain::stream::Position;

use crate::log::SharedLog;

pub use append::*;
pub use follow::*;
pub use read::*;

/// A log to be tried, empty at first.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The log.
    fn log(&self) -> SharedLog;

    /// Ends every process that has the log open, as far as the adapter can have it, and opens it again.
    async fn reopen(&mut self);

    /// The same log, where the answers to some appends get lost on the way: those of `every`-th, after the
    /// append was done or before it, as it comes.
    async fn losing_answers(&self, every: u32) -> SharedLog;

    /// Whether positions count commits, from 1. Where they do not, they only grow.
    fn counts_commits(&self) -> bool {
        true
    }

    /// Makes the log hold other bytes at a position than were written.
    async fn tamper(&self, position: Position);

    /// Makes the log lose the commit at a position.
    async fn lose(&self, position: Position);
}

/// Makes a test of each case, for the fixture that the expression gives (it may await).
#[macro_export]
macro_rules! log_suite {
    ($fixture:expr) => {
        $crate::log_cases!(cases, $fixture);
    };
}

/// Gives every case, with the fixture, to one of the macros that do something with cases.
#[macro_export]
macro_rules! log_cases {
    ($macro:ident, $fixture:expr) => {
        $crate::$macro!(
            log,
            $fixture,
            a_commit_reads_back_as_it_was_appended,
            an_append_where_it_is_not_expected_is_a_conflict,
            a_key_that_many_claim_has_one_owner,
            many_writers_of_one_stream_lose_no_update,
            the_same_commit_twice_has_the_same_answer,
            the_same_commit_twice_has_the_same_answer_after_others_and_after_a_restart,
            a_lost_answer_ends_as_exactly_one_commit,
            the_largest_commit_is_taken_and_a_larger_one_is_refused,
            positions_grow_in_the_order_of_answers,
            a_stream_that_nobody_wrote_is_empty,
            a_stream_reads_from_any_version,
            a_long_stream_reads_whole,
            all_reads_from_any_position_in_pages,
            a_filter_lets_through_what_it_says,
            its_size_grows_with_what_is_appended,
            what_was_appended_is_there_after_a_restart,
            a_changed_byte_is_found,
            a_hole_is_found,
            a_subscriber_gets_what_there_is_and_then_what_comes,
            no_gap_and_no_repeat_at_the_seam,
            a_subscriber_that_goes_and_comes_back_misses_nothing,
            a_subscriber_gets_only_what_its_filter_lets_through
        );
    };
}
