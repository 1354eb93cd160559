//! How state, commands and events hang together.

use std::error::Error;
use std::fmt::Debug;

use crate::context::Context;
use crate::event::Event;
use crate::stream::AggregateKind;

/// A thing with a stream of its own: its state is the fold of its events, and only its own commands make new
/// ones.
///
/// The default value is the state before the first event.
pub trait Aggregate: Default + Clone + Debug + PartialEq + Send + Sync + 'static {
    /// Which streams it stands in.
    const KIND: AggregateKind;
    /// Orders that can be given to it.
    type Command: Debug + Send;
    /// Facts about it.
    type Event: Clone + Debug + PartialEq + Send + Sync + Into<Event> + TryFrom<Event>;
    /// Why a command may not be carried out.
    type Rejection: Error + Clone + PartialEq + Send + Sync + 'static;

    /// What follows from `command` in this state: events, none of them when its effect already holds.
    ///
    /// # Errors
    /// A rejection that says what is wrong and what to do; the state is unchanged.
    fn decide(&self, command: Self::Command, ctx: &Context) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The state after `event`. Total: what has happened is never refused.
    #[must_use]
    fn evolve(self, event: &Self::Event) -> Self;
}

/// The state after a whole history.
pub fn replay<'a, A: Aggregate>(events: impl IntoIterator<Item = &'a A::Event>) -> A {
    events.into_iter().fold(A::default(), A::evolve)
}
