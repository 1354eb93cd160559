//! The steps of a deployment: their order, their limits, what each finds out, and which must be undone.

use std::fmt;
use std::time::Duration;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::plan::Plan;
use crate::service::release::{Build, Instance, ReleaseNumber};
use crate::source::Revision;

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Get the files of the revision.
    Fetch,
    /// Find out how they are built and run.
    Detect,
    /// Install and build.
    Build,
    /// Put what was built where every runtime finds it, under its digest.
    Push,
    /// Fix what will run, under the next number.
    Cut,
    /// Run the release command.
    Prepare,
    /// Start the instances.
    RollOut,
    /// See that they work.
    Verify,
    /// Move the traffic. It is one event on the service's stream, because the edge's routes are read from
    /// there: the moment it is in the log, the release is current and the traffic is its own.
    Activate,
    /// Let the instances of the release before finish what is in flight, and stop them.
    Retire,
}

/// Which workers take a step: those that build, or those that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Needs disk, processors and the tools of the languages.
    Build,
    /// Needs the runtime.
    Rollout,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Build, Self::Rollout];

    /// The lane's name in the work queue.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Rollout => "rollout",
        }
    }
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 10] = [
        Self::Fetch,
        Self::Detect,
        Self::Build,
        Self::Push,
        Self::Cut,
        Self::Prepare,
        Self::RollOut,
        Self::Verify,
        Self::Activate,
        Self::Retire,
    ];

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        let at = Self::ALL.iter().position(|step| *step == self)?;
        Self::ALL.get(at + 1).copied()
    }

    /// Which workers take it.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::Fetch | Self::Detect | Self::Build | Self::Push => Lane::Build,
            Self::Cut | Self::Prepare | Self::RollOut | Self::Verify | Self::Activate | Self::Retire => {
                Lane::Rollout
            }
        }
    }

    /// How often it is tried before the deployment fails. What can only fail again is tried once.
    #[must_use]
    pub const fn attempts(self) -> u32 {
        match self {
            Self::Detect | Self::Build | Self::Prepare | Self::Verify => 1,
            Self::Fetch | Self::Push | Self::RollOut => 3,
            Self::Cut | Self::Retire => 5,
            // Until it is known whether the traffic has moved: before that, nothing may be taken away.
            Self::Activate => u32::MAX,
        }
    }

    /// How long it may take, unless a setting says otherwise.
    #[must_use]
    pub const fn limit(self) -> Duration {
        match self {
            Self::Cut | Self::Activate => Duration::from_secs(30),
            Self::Detect => Duration::from_secs(60),
            Self::RollOut => Duration::from_secs(120),
            Self::Fetch | Self::Push => Duration::from_secs(300),
            Self::Prepare => Duration::from_secs(600),
            Self::Build => Duration::from_secs(900),
            // Both are bounded by settings of the service, an hour each at most.
            Self::Verify | Self::Retire => Duration::from_secs(3700),
        }
    }

    /// Whether it may leave something behind that has to be taken away when the deployment does not come to
    /// its end.
    #[must_use]
    pub const fn leaves_something(self) -> bool {
        match self {
            Self::Fetch | Self::Build | Self::Prepare | Self::RollOut => true,
            Self::Detect | Self::Push | Self::Cut | Self::Verify | Self::Activate | Self::Retire => false,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Detect => "detect",
            Self::Build => "build",
            Self::Push => "push",
            Self::Cut => "cut",
            Self::Prepare => "prepare",
            Self::RollOut => "roll_out",
            Self::Verify => "verify",
            Self::Activate => "activate",
            Self::Retire => "retire",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How often the undoing of a step is tried before it is parked for an operator to see.
pub const UNDO_ATTEMPTS: u32 = 5;

/// How long to wait after the `attempt`-th failure: 1 s, 2 s, 4 s, … 30 s.
#[must_use]
pub fn backoff(attempt: u32) -> TimeDelta {
    TimeDelta::seconds(1 << attempt.saturating_sub(1).min(5)).min(TimeDelta::seconds(30))
}

/// What a step found out. Each kind belongs to one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Output {
    /// Of [`Step::Fetch`].
    Fetch {
        /// The revision that was fetched, when the files came out of a repository.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<Revision>,
    },
    /// Of [`Step::Detect`].
    Detect {
        /// What will be done.
        plan: Box<Plan>,
    },
    /// Of [`Step::Build`].
    Build {
        /// The artifact of an earlier build of the same revision by the same plan, when nothing had to be
        /// built.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reused: Option<Digest>,
    },
    /// Of [`Step::Push`].
    Push {
        /// What was built.
        artifact: Digest,
    },
    /// Of [`Step::Cut`].
    Cut {
        /// The number.
        release: ReleaseNumber,
    },
    /// Of [`Step::Cut`] too: what was built is not there any more, so it is built again before anything is
    /// cut.
    ArtifactMissing {
        /// What is missing, and how it came to be.
        build: Box<Build>,
    },
    /// Of [`Step::Prepare`].
    Prepare {},
    /// Of [`Step::RollOut`].
    RollOut {
        /// What was started.
        instances: Vec<Instance>,
    },
    /// Of [`Step::Verify`].
    Verify {},
    /// Of [`Step::Activate`].
    Activate {},
    /// Of [`Step::Retire`].
    Retire {},
}

impl Output {
    /// The step it belongs to.
    #[must_use]
    pub const fn step(&self) -> Step {
        match self {
            Self::Fetch { .. } => Step::Fetch,
            Self::Detect { .. } => Step::Detect,
            Self::Build { .. } => Step::Build,
            Self::Push { .. } => Step::Push,
            Self::Cut { .. } | Self::ArtifactMissing { .. } => Step::Cut,
            Self::Prepare {} => Step::Prepare,
            Self::RollOut { .. } => Step::RollOut,
            Self::Verify {} => Step::Verify,
            Self::Activate {} => Step::Activate,
            Self::Retire {} => Step::Retire,
        }
    }
}

/// Why a step failed. Never holds output of the application or a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// A stable word for programs.
    pub code: String,
    /// What was wrong, and what to do.
    pub message: String,
    /// Whether trying again would be of no use. For [`Step::Activate`] only once the service itself has
    /// refused, since a time that is over or an answer that did not come does not tell whether the traffic
    /// has moved.
    pub permanent: bool,
}

/// Which of several workers may act: each start of a step has a higher one than all before, and the ports
/// refuse whoever comes with a lower one than they have seen.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Fence(pub u32);

impl Fence {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_half_a_minute() {
        let seconds: Vec<_> = (1..=7).map(|n| backoff(n).num_seconds()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn the_steps_follow_one_another() {
        let mut step = Step::ALL[0];
        let mut seen = vec![step];
        while let Some(next) = step.next() {
            seen.push(next);
            step = next;
        }
        assert_eq!(seen, Step::ALL);
    }
}
