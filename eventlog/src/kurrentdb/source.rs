//! A subscription to all of our streams, or to some, from a position on.
//!
//! The client would subscribe again by itself, but gives up after a while and cannot be told from where: that
//! is done by whoever reads (`read`, `follow`). Where a checkpoint says that the server has looked further
//! than the last event, it is not believed: servers have named positions that were too far (`EventStore`
//! issue 4990).

use std::time::Duration;

use domain::stream::Position;
use eventstore::{
    ResolvedEvent, StreamPosition, SubscribeToAllOptions, Subscription, SubscriptionEvent, SubscriptionFilter,
};

use crate::kurrentdb::connection::{Problem, REQUEST_LIMIT, within};
use crate::kurrentdb::read::Shared;
use crate::log::Filter;

pub(super) struct Source {
    subscription: Option<Subscription>,
    made: u64,
    position: Position,
    prefixes: Vec<String>,
}

/// What a subscription has to tell.
pub(super) enum Seen {
    Event(Box<ResolvedEvent>),
    /// That it is sound.
    Other,
}

/// What the names of the streams begin with that a filter lets through; some others may begin so too.
fn prefixes(all: &str, filter: &Filter) -> Vec<String> {
    let Some(organization) = filter.organization else { return vec![all.to_owned()] };
    if filter.kinds.is_empty() {
        return vec![format!("{all}{organization}.")];
    }
    filter.kinds.iter().map(|kind| format!("{all}{organization}.{kind}.")).collect()
}

impl Source {
    /// A subscription that begins when it is first asked.
    pub(super) async fn open(shared: &Shared, after: Position, filter: &Filter) -> Self {
        let prefixes = prefixes(&shared.connection.all(), filter);
        let mut source = Self { subscription: None, made: 0, position: after, prefixes };
        source.begin(shared).await;
        source
    }

    async fn begin(&mut self, shared: &Shared) {
        let (client, made) = shared.connection.client();
        let filter =
            self.prefixes.iter().fold(SubscriptionFilter::on_stream_name(), SubscriptionFilter::add_prefix);
        let commit = self.position.0;
        let position = match self.position {
            Position::ZERO => StreamPosition::Start,
            _ => StreamPosition::Position(eventstore::Position { commit, prepare: commit }),
        };
        let options =
            SubscribeToAllOptions::default().position(position).filter(filter).requires_leader(true);
        self.subscription = Some(client.subscribe_to_all(&options).await);
        self.made = made;
    }

    /// What comes next, in the time that a call may take.
    pub(super) async fn next(&mut self, shared: &Shared) -> Result<Seen, Problem> {
        self.next_within(shared, REQUEST_LIMIT).await
    }

    /// What comes next. The subscription is over after an error, and begins again after the last event.
    pub(super) async fn next_within(&mut self, shared: &Shared, limit: Duration) -> Result<Seen, Problem> {
        if self.subscription.is_none() {
            self.begin(shared).await;
        }
        let Some(subscription) = &mut self.subscription else { return Err(Problem::Late) };
        let answer = within(limit, subscription.next_subscription_event()).await;
        if let Err(problem) = &answer {
            shared.connection.note(problem, self.made);
            self.end();
        }
        match answer? {
            SubscriptionEvent::EventAppeared(event) => {
                if let Some(event) = &event.event {
                    self.position = Position(event.position.commit);
                }
                Ok(Seen::Event(Box::new(event)))
            }
            SubscriptionEvent::Confirmed(_)
            | SubscriptionEvent::Checkpoint(_)
            | SubscriptionEvent::FirstStreamPosition(_)
            | SubscriptionEvent::LastStreamPosition(_)
            | SubscriptionEvent::LastAllPosition(_)
            | SubscriptionEvent::CaughtUp
            | SubscriptionEvent::FellBehind => Ok(Seen::Other),
        }
    }

    /// Ends the subscription.
    pub(super) fn end(&mut self) {
        self.subscription = None;
    }
}

#[cfg(test)]
mod tests {
    use domain::id::OrganizationId;
    use domain::stream::AggregateKind;

    use super::*;

    #[test]
    fn the_server_is_asked_for_what_the_filter_needs() {
        let kinds = vec![AggregateKind::Service, AggregateKind::Deployment];
        let organization = OrganizationId::PLATFORM;
        let all = Filter::all();
        let some = Filter { organization: Some(organization), kinds };
        assert_eq!(prefixes("sb.evt.", &all), ["sb.evt."]);
        assert_eq!(prefixes("sb.evt.", &Filter { kinds: some.kinds.clone(), ..all }), ["sb.evt."]);
        let service = format!("sb.evt.{organization}.service.");
        assert_eq!(prefixes("sb.evt.", &some)[0], service);
        assert_eq!(
            prefixes("sb.evt.", &Filter { kinds: vec![], ..some }),
            [format!("sb.evt.{organization}.")]
        );
    }
}
