//! What workers work with: the bus, the queue, the ports and the settings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use commands::bus::Bus;
use domain::deployment::step::{Lane, Step};
use domain::id::DeploymentId;
use eventlog::logs::SharedLogs;
use eventlog::queue::SharedQueue;

use crate::builder::SharedBuilder;
use crate::registry::SharedRegistry;
use crate::registry::collect::RELEASES_KEPT;
use crate::runtime::SharedRuntime;
use crate::source::SharedSource;
use crate::traffic::SharedTraffic;

/// What an operator can choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where builds take place: `<builds>/<deployment>/app`.
    pub builds: PathBuf,
    /// How long steps may take, where that is not [`Step::limit`].
    pub limits: BTreeMap<Step, Duration>,
    /// How many pieces of work of the build lane are done at once.
    pub builds_max: usize,
    /// How many of the other lane.
    pub rollouts_max: usize,
    /// How many releases of a service keep what they need to be rolled back to without building again.
    pub releases_kept: usize,
    /// How long a worker may be silent before its work goes to another.
    pub lease: Duration,
}

impl Settings {
    /// With everything but the place at its default.
    #[must_use]
    pub fn new(builds: PathBuf) -> Self {
        Self {
            builds,
            limits: BTreeMap::new(),
            builds_max: 2,
            rollouts_max: 64,
            releases_kept: RELEASES_KEPT,
            lease: Duration::from_secs(30),
        }
    }

    /// How long a step may take.
    #[must_use]
    pub fn limit(&self, step: Step) -> Duration {
        self.limits.get(&step).copied().unwrap_or(step.limit())
    }

    /// How many pieces of work of a lane are done at once.
    #[must_use]
    pub const fn slots(&self, lane: Lane) -> usize {
        match lane {
            Lane::Build => self.builds_max,
            Lane::Rollout => self.rollouts_max,
        }
    }

    /// Where the files of a deployment are built.
    #[must_use]
    pub fn workspace(&self, deployment: DeploymentId) -> PathBuf {
        self.builds.join(deployment.to_string()).join("app")
    }
}

/// What workers work with.
#[derive(Clone)]
pub struct Context {
    /// Gives commands.
    pub bus: Bus,
    /// Holds work.
    pub queue: SharedQueue,
    /// Takes what is printed.
    pub logs: SharedLogs,
    /// Brings files.
    pub source: SharedSource,
    /// Builds.
    pub builder: SharedBuilder,
    /// Keeps what was built.
    pub registry: SharedRegistry,
    /// Runs instances.
    pub runtime: SharedRuntime,
    /// Routes requests.
    pub traffic: SharedTraffic,
    /// What the operator chose.
    pub settings: Settings,
}
