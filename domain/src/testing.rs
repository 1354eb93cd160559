//! Given – when – then, and the values that tests share.
//!
//! Other crates' tests use them too, by the feature "testing": [`values`] for the things that events are
//! about, [`history`] for what has happened to a service or a deployment, [`samples`] for one event of every
//! type.

pub mod catalogue;
pub mod history;
pub mod samples;
pub mod values;

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::aggregate::{Aggregate, replay};
use crate::context::{Actor, Context};
use crate::id::UserId;

/// The time at which all tests take place: 2026-01-01T00:00:00Z.
pub const NOW: DateTime<Utc> = match DateTime::from_timestamp(1_767_225_600, 0) {
    Some(now) => now,
    None => DateTime::UNIX_EPOCH,
};

/// A context at [`NOW`], with a person as actor.
#[must_use]
pub fn context() -> Context {
    context_at(NOW)
}

/// A context at another time.
#[must_use]
pub fn context_at(now: DateTime<Utc>) -> Context {
    Context { now, actor: Actor::user(UserId(Uuid::from_u128(1))) }
}

/// An aggregate with a history.
#[derive(Debug)]
pub struct Given<A: Aggregate>(A);

/// What came of a command.
#[derive(Debug)]
pub struct Then<A: Aggregate>(Result<Vec<A::Event>, A::Rejection>);

/// Begins a test: the history.
#[must_use]
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let events: Vec<A::Event> = events.into_iter().collect();
    Given(replay(&events))
}

impl<A: Aggregate> Given<A> {
    /// The command, given at [`NOW`].
    #[must_use]
    pub fn when(self, command: A::Command) -> Then<A> {
        Then(self.0.decide(command, &context()))
    }

    /// The command, given at another time.
    #[must_use]
    pub fn when_at(self, now: DateTime<Utc>, command: A::Command) -> Then<A> {
        Then(self.0.decide(command, &context_at(now)))
    }

    /// The state itself.
    #[must_use]
    pub fn state(self) -> A {
        self.0
    }
}

impl<A: Aggregate> Then<A>
where
    A::Event: Debug,
{
    /// The events that must follow.
    ///
    /// # Panics
    /// When others do, or a rejection.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) {
        let expected: Vec<A::Event> = expected.into_iter().collect();
        assert_eq!(self.0.expect("the command was rejected"), expected);
    }

    /// The rejection that must follow.
    ///
    /// # Panics
    /// When events follow, or another rejection.
    #[track_caller]
    pub fn then_rejected(self, expected: &A::Rejection) {
        assert_eq!(&self.0.expect_err("the command was accepted"), expected);
    }
}
