//! The events themselves, of one organisation, as `CloudEvents`: its history and then what comes, read from
//! the log and not from a read model. What `events`, `events -f` and the streams of the API give out.
//!
//! Each event has a place, [`Place`]; whoever goes on from the place of the last event that arrived misses
//! none and gets none twice.

use std::fmt;
use std::str::FromStr;

use domain::event::TYPE_PREFIX;
use domain::id::OrganizationId;
use domain::stream::{AggregateKind, Position, Recorded, Version};
use eventlog::commit::RecordedCommit;
use eventlog::envelope;
use eventlog::error::ReadError;
use eventlog::log::{Filter, MAX_PAGE, SharedLog};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use serde::Serialize;
use serde_json::Value;

/// How many events a page has at most.
pub const MAX_EVENTS: usize = 1000;
/// How many commits are looked at for one page at most: a narrow filter ends with a page that is not full.
const MAX_COMMITS: usize = 10 * MAX_PAGE;

/// Where an event stands: the position of its commit, and its version in its stream, which tells the events
/// of one commit apart. Written `1042.7`; `1042` alone means after the whole commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The commit.
    pub position: Position,
    /// The event in it; all of them, when it is not said.
    pub version: Option<Version>,
}

/// A text that is no place of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of an event in this stream; it is written 1042 or 1042.7")]
pub struct InvalidPlace(pub String);

impl Place {
    /// Before the first event.
    pub const START: Self = Self { position: Position::ZERO, version: None };

    /// After all events of a commit.
    #[must_use]
    pub const fn after(position: Position) -> Self {
        Self { position, version: None }
    }

    /// Before the first event of a commit.
    #[must_use]
    pub const fn from(position: Position) -> Self {
        Self { position: Position(position.0.saturating_sub(1)), version: None }
    }

    fn of(recorded: &Recorded) -> Self {
        Self { position: recorded.position, version: Some(recorded.version) }
    }

    /// The position after which the log has to be read to come to what follows this place.
    fn read_after(self) -> Position {
        if self.version.is_some() { Position(self.position.0.saturating_sub(1)) } else { self.position }
    }

    fn is_before(self, recorded: &Recorded) -> bool {
        match recorded.position.cmp(&self.position) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => self.version.is_some_and(|version| recorded.version > version),
            std::cmp::Ordering::Greater => true,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}.{version}", self.position),
            None => self.position.fmt(f),
        }
    }
}

impl FromStr for Place {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPlace(text.chars().take(40).collect());
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| invalid());
        match text.split_once('.') {
            Some((position, version)) => {
                Ok(Self { position: Position(number(position)?), version: Some(Version(number(version)?)) })
            }
            None => Ok(Self::after(Position(number(text)?))),
        }
    }
}

/// Which events are wanted. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only types that begin like one of these: `service`, `service.scaled`, or a full name.
    pub types: Vec<String>,
    /// Only of these kinds of aggregate.
    pub aggregates: Vec<AggregateKind>,
}

impl Wanted {
    fn filter(&self, organization: OrganizationId) -> Filter {
        Filter { organization: Some(organization), kinds: self.aggregates.clone() }
    }

    fn takes(&self, event_type: &str) -> bool {
        let short =
            |name: &str| name.strip_prefix(TYPE_PREFIX).unwrap_or(name).trim_start_matches('.').to_owned();
        let name = short(event_type);
        self.types.is_empty()
            || self.types.iter().any(|wanted| name.starts_with(short(wanted).trim_end_matches('*')))
    }
}

/// An event of the feed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Item {
    /// Where it stands: the id that a reader goes on from.
    #[serde(serialize_with = "written")]
    pub place: Place,
    /// The event.
    pub event: Value,
}

fn written<S: serde::Serializer>(place: &Place, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(place)
}

/// A part of the feed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Items {
    /// Events, oldest first.
    pub items: Vec<Item>,
    /// Where to go on.
    #[serde(serialize_with = "written")]
    pub next: Place,
    /// Whether the end of the log was reached.
    pub at_end: bool,
}

/// Events of an organisation after a place, at most `limit` of them ([`MAX_EVENTS`] at most).
///
/// # Errors
/// [`ReadError`].
pub async fn read(
    log: &SharedLog,
    organization: OrganizationId,
    after: Place,
    wanted: &Wanted,
    limit: usize,
) -> Result<Items, ReadError> {
    let limit = limit.clamp(1, MAX_EVENTS);
    let filter = wanted.filter(organization);
    let (mut items, mut reached, mut seen) = (vec![], after.read_after(), 0);
    while seen < MAX_COMMITS {
        let page = log.read_all(reached, &filter, MAX_PAGE.min(limit)).await?;
        let is_end = page.reached == reached;
        reached = page.reached;
        seen += page.commits.len();
        for item in page.commits.iter().flat_map(|commit| of_commit(commit, after, wanted)) {
            items.push(item);
            if items.len() == limit {
                let next = items.last().map_or(after, |item| item.place);
                return Ok(Items { items, next, at_end: false });
            }
        }
        if is_end {
            let next = if reached < after.position { after } else { Place::after(reached) };
            return Ok(Items { items, next, at_end: true });
        }
    }
    Ok(Items { items, next: Place::after(reached), at_end: false })
}

/// Events of an organisation after a place, and then each as it comes. Ends only with an error.
pub async fn follow(
    log: &SharedLog,
    organization: OrganizationId,
    after: Place,
    wanted: Wanted,
) -> BoxStream<'static, Result<Item, ReadError>> {
    let commits = log.subscribe(after.read_after(), wanted.filter(organization)).await;
    commits
        .flat_map(move |commit| {
            let items: Vec<Result<Item, ReadError>> = match commit {
                Ok(commit) => of_commit(&commit, after, &wanted).map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(items)
        })
        .boxed()
}

fn of_commit<'a>(
    commit: &'a RecordedCommit,
    after: Place,
    wanted: &'a Wanted,
) -> impl Iterator<Item = Item> + use<'a> {
    let new = commit.events.iter().filter(move |recorded| after.is_before(recorded));
    let taken = new.filter(|recorded| wanted.types.is_empty() || wanted.takes(&recorded.event.type_name()));
    taken.map(|recorded| Item { place: Place::of(recorded), event: envelope::cloud_event(recorded) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back() {
        for text in ["0", "1042", "1042.7"] {
            assert_eq!(text.parse::<Place>().map(|place| place.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "x", "-1", "1.", ".1", "1.2.3", "99999999999999999999"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn types_are_wanted_by_their_beginning_in_short_or_in_full() {
        let wanted = |types: &[&str]| Wanted {
            types: types.iter().map(|&name| name.to_owned()).collect(),
            aggregates: vec![],
        };
        let scaled = "dev.switchback.service.scaled.v1";
        for name in ["service", "service.", "service.*", "service.scaled", "dev.switchback.service.scaled.v1"]
        {
            assert!(wanted(&[name]).takes(scaled), "{name}");
        }
        assert!(wanted(&[]).takes(scaled));
        assert!(!wanted(&["deployment", "service.created"]).takes(scaled));
    }
}
