//! Commits for tests: small, valid, and of no meaning.

use chrono::{DateTime, Utc};
use domain::claim;
use domain::context::Actor;
use domain::event::Event;
use domain::id::{CommandId, CommitId, CorrelationId, EventId, OrganizationId, UserId};
use domain::stream::{AggregateKind, StreamId};
use uuid::Uuid;

use crate::commit::{Commit, Metadata};

/// A stream that nobody has written to.
#[must_use]
pub fn fresh_stream() -> StreamId {
    StreamId { organization: Uuid::now_v7().into(), kind: AggregateKind::Claim, id: Uuid::now_v7() }
}

/// An event with a text of one's own in it.
#[must_use]
pub fn taken(hostname: &str) -> Event {
    let owner = claim::Owner {
        organization: OrganizationId::PLATFORM,
        kind: AggregateKind::Service,
        id: Uuid::from_u128(7),
    };
    let key = claim::Key::Hostname { hostname: hostname.to_owned() };
    claim::Event::Taken { key, owner, at: DateTime::UNIX_EPOCH }.into()
}

/// The smallest event.
#[must_use]
pub fn released() -> Event {
    claim::Event::Released {}.into()
}

/// A commit with one event that says `text`.
#[must_use]
pub fn commit(stream: StreamId, text: &str) -> Commit {
    commit_of(stream, vec![taken(text)])
}

/// A commit with some events.
#[must_use]
pub fn commit_of(stream: StreamId, events: Vec<Event>) -> Commit {
    let metadata = Metadata {
        at: Utc::now(),
        actor: Actor::saga(Some(UserId(Uuid::from_u128(3)))),
        command: CommandId(Uuid::now_v7()),
        correlation: CorrelationId(Uuid::now_v7()),
        causation: Some(EventId(Uuid::now_v7())),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
    };
    let events = events.into_iter().map(|event| (EventId(Uuid::now_v7()), event)).collect();
    Commit { id: CommitId(Uuid::now_v7()), stream, metadata, events }
}
