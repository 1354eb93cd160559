//! A deployment as its service sees it: what it brings, whether it has the turn, what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::release::{Build, ReleaseNumber, Specification};
use crate::id::DeploymentId;
use crate::source::Source;

/// How many deployments that are over a service remembers, so that a late repeat of a command changes
/// nothing.
pub const PAST_MAX: usize = 64;

/// What a deployment brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Subject {
    /// Files that are to be built.
    Source {
        /// Where they come from.
        source: Source,
        /// Whether to build also when the same revision was built the same way before.
        #[serde(default)]
        fresh: bool,
    },
    /// What runs now, with the configuration as it is then.
    Configuration {},
    /// What an earlier release ran.
    Release {
        /// Which one.
        release: ReleaseNumber,
        /// What it ran, as its own event recorded it.
        build: Box<Build>,
    },
}

/// How a deployment ended, as its service sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has the traffic.
    Succeeded,
    /// It could not.
    Failed,
    /// It was stopped.
    Cancelled,
}

/// A deployment that has the turn or waits for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Which one.
    pub deployment: DeploymentId,
    /// What it brings.
    pub subject: Subject,
    /// The release it has cut.
    pub cut: Option<(ReleaseNumber, Box<Specification>)>,
}

/// What became of a deployment that does not have the turn and does not wait for it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It had the turn.
    Ended(Outcome),
    /// It waited, and a newer one took its place.
    Superseded,
    /// It waited, and was taken back.
    Withdrawn,
}
