//! How far the read models are behind the log, as any process sees it that reads both.
//!
//! It is asked of the checkpoints and not of the projector: a projector that is gone is the one whose lag
//! matters most.

use chrono::{DateTime, Utc};
use domain::stream::Position;
use eventlog::error::ReadError;
use eventlog::log::{Filter, SharedLog};
use eventlog::measure::Metric;
use serde::Serialize;

use crate::projection::ALL;
use crate::projector::checkpoint::{self, Checkpoint};
use crate::store::{QueryError, ReadStore};

/// How many commits each projection is behind.
pub const LAG_EVENTS: Metric = Metric::gauge(
    "switchback_projection_lag_events",
    &["projection"],
    "Commits of the log that queries of a projection do not see yet.",
);
/// For how long.
pub const LAG_SECONDS: Metric = Metric::gauge(
    "switchback_projection_lag_seconds",
    &["projection"],
    "Age of the oldest commit that queries of a projection do not see yet.",
);
/// Whether an event stopped it.
pub const STOPPED: Metric = Metric::gauge(
    "switchback_projection_stopped",
    &["projection"],
    "1 while an event that cannot be applied stops a projection, else 0.",
);

/// What this crate measures.
pub const METRICS: &[Metric] = &[LAG_EVENTS, LAG_SECONDS, STOPPED];

/// How a projection stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lag {
    /// Its name.
    #[serde(skip)]
    pub projection: &'static str,
    /// `live`, `building` while it has no rows that queries see, `stopped`.
    pub state: &'static str,
    /// Up to where the log is in the rows that queries see.
    pub position: Position,
    /// How many commits they do not see yet.
    pub lag: u64,
    /// The age of the oldest of these, in milliseconds.
    pub lag_ms: u64,
    /// The position of the event that stopped it. Why it did stands in the log of the projector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Position>,
}

/// Something that kept the lag from being known.
#[derive(Debug, thiserror::Error)]
pub enum LagError {
    /// The read models.
    #[error("read of the checkpoints")]
    Reads(#[from] QueryError),
    /// The log.
    #[error("read of the end of the log")]
    Log(#[from] ReadError),
}

/// How each projection stands, at a time.
///
/// # Errors
/// [`LagError`].
pub async fn lag(reads: &ReadStore, log: &SharedLog, now: DateTime<Utc>) -> Result<Vec<Lag>, LagError> {
    // The checkpoints first, so that what happens in between is lag and not a negative number.
    let checkpoints = checkpoint::all(reads).await?;
    let head = log.head().await?;
    let mut lags: Vec<Lag> = ALL.iter().map(|known| standing(known.name, &checkpoints, head)).collect();
    let mut ages: Vec<(Position, u64)> = vec![];
    for lag in lags.iter_mut().filter(|lag| lag.lag > 0) {
        // Those that stand together, as most do, have the same age.
        let known = ages.iter().find(|(position, _)| *position == lag.position).map(|(_, age)| *age);
        lag.lag_ms = match known {
            Some(age) => age,
            None => age(log, lag.position, now).await?,
        };
        ages.push((lag.position, lag.lag_ms));
    }
    Ok(lags)
}

fn standing(name: &'static str, checkpoints: &[Checkpoint], head: Position) -> Lag {
    let ours: Vec<&Checkpoint> = checkpoints.iter().filter(|known| known.name == name).collect();
    let live = ours.iter().find(|known| known.state == "live");
    let stopped_at = ours.iter().find_map(|known| known.error_position);
    let state = match (live, stopped_at) {
        (_, Some(_)) => "stopped",
        (Some(_), None) => "live",
        (None, None) => "building",
    };
    let position = live.map_or(Position::ZERO, |live| live.position);
    Lag { projection: name, state, position, lag: head.0.saturating_sub(position.0), lag_ms: 0, stopped_at }
}

/// The age of the first commit after a position.
async fn age(log: &SharedLog, after: Position, now: DateTime<Utc>) -> Result<u64, ReadError> {
    let page = log.read_all(after, &Filter::all(), 1).await?;
    let at = page.commits.first().and_then(|commit| commit.events.first()).map(|recorded| recorded.at);
    Ok(at.map_or(0, |at| u64::try_from((now - at).num_milliseconds()).unwrap_or(0)))
}

/// Sets the gauges; to nothing, when the lag is not known: a lag that was known once says nothing now.
pub fn show(lags: &Result<Vec<Lag>, LagError>) {
    match lags {
        Ok(lags) => {
            for lag in lags {
                #[expect(clippy::cast_precision_loss, reason = "a lag of 2^53 commits is not told exactly")]
                LAG_EVENTS.set(lag.lag as f64, [lag.projection]);
                LAG_SECONDS.set(std::time::Duration::from_millis(lag.lag_ms).as_secs_f64(), [lag.projection]);
                STOPPED.set(f64::from(u8::from(lag.stopped_at.is_some())), [lag.projection]);
            }
        }
        Err(_) => {
            for projection in ALL {
                LAG_EVENTS.set(f64::NAN, [projection.name]);
                LAG_SECONDS.set(f64::NAN, [projection.name]);
                STOPPED.set(f64::NAN, [projection.name]);
            }
        }
    }
}
