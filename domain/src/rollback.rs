//! The past made current: what a service was at some moment, found by replay, and what bringing it back would
//! change.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::name::VariableName;
use crate::service::release::{Difference, ReleaseNumber, ReleaseStatus, Specification, variables};
use crate::service::{Active, Event, Service};
use crate::stream::{Position, Recorded};

/// What to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The release before the current one.
    Before,
    /// A release.
    Release(ReleaseNumber),
    /// What was live at a position of the log.
    Position(Position),
    /// What was live at a time.
    Time(DateTime<Utc>),
}

/// What a rollback would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// What is live now.
    pub from: Option<ReleaseNumber>,
    /// What is brought back.
    pub to: ReleaseNumber,
    /// What changes for whoever uses the service.
    pub changes: Vec<Difference>,
    /// Variables that were changed and not deployed yet, and whose change is lost.
    pub discarded: Vec<VariableName>,
}

/// Why there is nothing to go back to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NothingThere {
    /// No earlier release ran.
    #[error("there is no earlier release that ran; `switchback releases` shows all of them")]
    NoneBefore,
    /// Nothing was live then.
    #[error("nothing was live at that moment; `switchback releases` shows when each release was")]
    NothingLive,
    /// The release is not in the history.
    #[error("there is no release {0}; `switchback releases` shows all of them")]
    NoSuchRelease(ReleaseNumber),
}

impl crate::rejection::Rejection for NothingThere {
    fn code(&self) -> &'static str {
        match self {
            Self::NoneBefore => "no_earlier_release",
            Self::NothingLive => "nothing_live_then",
            Self::NoSuchRelease(_) => "release_not_found",
        }
    }

    fn kind(&self) -> crate::rejection::Kind {
        match self {
            Self::NoneBefore | Self::NothingLive => crate::rejection::Kind::Conflict,
            Self::NoSuchRelease(_) => crate::rejection::Kind::NotFound,
        }
    }
}

/// Finds the release that `target` means, and everything it fixed, by replaying the service's history.
///
/// # Errors
/// [`NothingThere`] when the history has no such release or moment.
pub fn find(
    history: &[Recorded<Event>],
    target: Target,
) -> Result<(ReleaseNumber, Specification), NothingThere> {
    let number = match target {
        Target::Release(number) => number,
        Target::Before => before(history)?,
        Target::Position(position) => live_when(history, |recorded| recorded.position <= position)?,
        Target::Time(time) => live_when(history, |recorded| recorded.at <= time)?,
    };
    let cut = history.iter().find_map(|recorded| {
        let Event::ReleaseCut { release, specification, .. } = &recorded.event else { return None };
        (*release == number).then_some(specification)
    });
    match cut {
        Some(specification) => Ok((number, (**specification).clone())),
        None => Err(NothingThere::NoSuchRelease(number)),
    }
}

fn live_when(
    history: &[Recorded<Event>],
    included: impl Fn(&Recorded<Event>) -> bool,
) -> Result<ReleaseNumber, NothingThere> {
    let then = history.iter().take_while(|recorded| included(recorded));
    let service = then.fold(Service::default(), |service, recorded| service.evolve(&recorded.event));
    let live = service.active().and_then(|active| active.live.as_ref());
    live.map(|live| live.number).ok_or(NothingThere::NothingLive)
}

fn before(history: &[Recorded<Event>]) -> Result<ReleaseNumber, NothingThere> {
    let now = history.iter().fold(Service::default(), |service, recorded| service.evolve(&recorded.event));
    let active = now.active().ok_or(NothingThere::NoneBefore)?;
    let current = active.live.as_ref().map(|live| live.number).ok_or(NothingThere::NoneBefore)?;
    let ran =
        active.releases.range(..current).rev().find(|(_, summary)| summary.status == ReleaseStatus::Retired);
    ran.map(|(number, _)| *number).ok_or(NothingThere::NoneBefore)
}

/// What bringing `to` back would change in the service as it is now.
#[must_use]
pub fn plan(now: &Active, to: ReleaseNumber, then: &Specification) -> Plan {
    let live = now.live.as_ref();
    let changes = live.map_or_else(Vec::new, |live| live.specification.difference(then));
    let staged = live.map_or_else(Vec::new, |live| variables(&live.specification.variables, &now.variables));
    let discarded = staged.into_iter().filter_map(|difference| match difference {
        Difference::VariableAdded { name }
        | Difference::VariableChanged { name }
        | Difference::VariableRemoved { name } => Some(name),
        Difference::Artifact { .. }
        | Difference::Revision { .. }
        | Difference::Setting { .. }
        | Difference::HostnameAdded { .. }
        | Difference::HostnameRemoved { .. }
        | Difference::Replicas { .. } => None,
    });
    let differs = |name: &VariableName| match (now.variables.get(name), then.variables.get(name)) {
        (Some(now), Some(then)) => !now.same_value(then),
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    };
    Plan { from: live.map(|live| live.number), to, changes, discarded: discarded.filter(differs).collect() }
}

#[cfg(test)]
mod tests;
