//! A service: one program in one environment; its configuration, its releases, and whose turn it is to
//! deploy.
//!
//! `Absent → Active → Deleted`. Never do two deployments have the turn at once, never is a release's number
//! used twice, and never does traffic go to a release that was not cut here.

pub mod release;

mod decide;
mod evolve;
mod read;
mod rejection;
#[cfg(test)]
mod tests;
mod turn;
mod variable;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::release::{Build, Instance, InstanceId, ReleaseNumber, ReleaseSummary, Specification};
pub use self::turn::{End, Outcome, PAST_MAX, Request, Subject};
pub use self::variable::{InvalidVariable, MAX_VARIABLE_LENGTH, check_variable_value};
use crate::aggregate::Aggregate;
use crate::context::Context;
use crate::hostname::Hostname;
use crate::id::{DeploymentId, EnvironmentId, ProjectId};
use crate::name::{ServiceName, VariableName};
use crate::secret::Sealed;
use crate::stream::AggregateKind;

/// How many variables a service may have.
pub const MAX_VARIABLES: usize = 100;

/// Orders.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make the service; its name and hostname were claimed before.
    Create {
        /// Where.
        project: ProjectId,
        /// Where in it.
        environment: EnvironmentId,
        /// Its name.
        name: ServiceName,
        /// What it answers to.
        hostname: Hostname,
    },
    /// Set and remove variables.
    ChangeVariables {
        /// New values.
        set: BTreeMap<VariableName, Sealed>,
        /// To be removed.
        unset: BTreeSet<VariableName>,
        /// The deployment that is to carry them out, unless they wait for the next one.
        deploy: Option<DeploymentId>,
    },
    /// Choose how many instances.
    Scale {
        /// How many.
        replicas: u16,
        /// The deployment that is to carry it out.
        deploy: Option<DeploymentId>,
    },
    /// Deploy something.
    Deploy {
        /// Under which id.
        deployment: DeploymentId,
        /// What.
        subject: Subject,
    },
    /// Make an earlier release current again: what it ran, with the variables and the scale it ran with.
    RollBack {
        /// The deployment that is to carry it out.
        deployment: DeploymentId,
        /// The release.
        to: ReleaseNumber,
        /// What it fixed, found by replay.
        then: Box<Specification>,
    },
    /// Take back a deployment that waits.
    Withdraw {
        /// Which one.
        deployment: DeploymentId,
    },
    /// Fix what the deployment whose turn it is will run.
    CutRelease {
        /// The deployment.
        deployment: DeploymentId,
        /// What it built, when it built.
        build: Option<Box<Build>>,
    },
    /// Move the traffic to the deployment's release.
    Activate {
        /// The deployment.
        deployment: DeploymentId,
        /// Where its instances are.
        instances: Vec<Instance>,
    },
    /// Say where the live release's instances are now.
    MoveInstances {
        /// The release.
        release: ReleaseNumber,
        /// Where they are.
        instances: Vec<Instance>,
    },
    /// Record that an instance of the live release ended by itself.
    RecordExit {
        /// The release.
        release: ReleaseNumber,
        /// Which instance.
        instance: InstanceId,
        /// How it ended, in words: `exit status 1`, `signal 9`.
        exit: String,
    },
    /// Record that somebody saw the values of variables.
    RecordReveal {
        /// Which variables.
        names: BTreeSet<VariableName>,
    },
    /// The deployment is over: the turn goes on.
    EndDeployment {
        /// Which one.
        deployment: DeploymentId,
        /// How it ended.
        outcome: Outcome,
    },
    /// Delete the service.
    Delete,
}

/// Facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The service exists.
    Created {
        /// Where.
        project: ProjectId,
        /// Where in it.
        environment: EnvironmentId,
        /// Its name.
        name: ServiceName,
        /// What it answers to.
        hostname: Hostname,
    },
    /// Variables have other values, from the next release on.
    VariablesChanged {
        /// New values.
        set: BTreeMap<VariableName, Sealed>,
        /// Removed.
        unset: BTreeSet<VariableName>,
    },
    /// It is to have another number of instances, from the next release on.
    Scaled {
        /// How many.
        replicas: u16,
    },
    /// Somebody wants an earlier release back. What follows from it stands in the events behind this one.
    RollbackRequested {
        /// What was live.
        from: Option<ReleaseNumber>,
        /// What is wanted back.
        to: ReleaseNumber,
        /// The deployment that carries it out.
        deployment: DeploymentId,
    },
    /// Somebody wants something deployed.
    DeploymentRequested {
        /// Under which id.
        deployment: DeploymentId,
        /// What.
        subject: Subject,
    },
    /// It has the turn.
    DeploymentAdmitted {
        /// Which one.
        deployment: DeploymentId,
    },
    /// It waited, and a newer one took its place.
    DeploymentSuperseded {
        /// Which one.
        deployment: DeploymentId,
        /// By which.
        by: DeploymentId,
    },
    /// It waited, and was taken back.
    DeploymentWithdrawn {
        /// Which one.
        deployment: DeploymentId,
    },
    /// What will run is fixed, under a number.
    ReleaseCut {
        /// The number.
        release: ReleaseNumber,
        /// By which deployment.
        deployment: DeploymentId,
        /// What it fixes.
        specification: Box<Specification>,
    },
    /// The release has the traffic: from here on the edge sends requests to these instances.
    ReleaseActivated {
        /// The number.
        release: ReleaseNumber,
        /// By which deployment.
        deployment: DeploymentId,
        /// Where its instances are.
        instances: Vec<Instance>,
    },
    /// The live release's instances are somewhere else, as after a restart of the machine.
    InstancesMoved {
        /// The release.
        release: ReleaseNumber,
        /// Where they are.
        instances: Vec<Instance>,
    },
    /// An instance of the live release ended by itself; the reconciler starts it again.
    InstanceExited {
        /// The release.
        release: ReleaseNumber,
        /// Which instance.
        instance: InstanceId,
        /// How.
        exit: String,
    },
    /// Somebody saw the values of variables.
    VariablesRevealed {
        /// Which variables.
        names: BTreeSet<VariableName>,
    },
    /// The deployment does not have the turn any more.
    DeploymentEnded {
        /// Which one.
        deployment: DeploymentId,
        /// How it ended.
        outcome: Outcome,
    },
    /// The service is gone.
    Deleted {},
}

/// The release that has the traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// Its number.
    pub number: ReleaseNumber,
    /// The deployment that brought it.
    pub deployment: DeploymentId,
    /// What it fixes.
    pub specification: Box<Specification>,
    /// Where its instances are.
    pub instances: Vec<Instance>,
}

/// A service in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// Where it is.
    pub project: ProjectId,
    /// Where in the project.
    pub environment: EnvironmentId,
    /// Its name.
    pub name: ServiceName,
    /// What it answers to.
    pub hostnames: BTreeSet<Hostname>,
    /// Its variables, as the next release will have them.
    pub variables: BTreeMap<VariableName, Sealed>,
    /// How many instances, when that was chosen by command.
    pub replicas: Option<u16>,
    /// The deployment that has the turn.
    pub turn: Option<Request>,
    /// The one that waits for it.
    pub waiting: Option<Request>,
    /// Those that were over last, the newest at the end, [`PAST_MAX`] at most.
    pub past: VecDeque<(DeploymentId, End)>,
    /// All releases.
    pub releases: BTreeMap<ReleaseNumber, ReleaseSummary>,
    /// The one with the traffic.
    pub live: Option<Live>,
}

/// The state of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Service {
    /// Not made yet.
    #[default]
    Absent,
    /// In use.
    Active(Box<Active>),
    /// Gone. What still had the turn is remembered, so that it is stopped.
    Deleted {
        /// The deployment that had the turn.
        turn: Option<Box<Request>>,
    },
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// Not there, or not any more.
    #[error("there is no such service; `switchback services list` shows those there are")]
    NotFound,
    /// There already.
    #[error("the service exists already")]
    AlreadyExists,
    /// Too many variables.
    #[error("a service has {MAX_VARIABLES} variables at most, and this would make {0}; remove some first")]
    TooManyVariables(usize),
    /// Not a number of instances.
    #[error("{0} is not a number of instances; it is from 1 to {max}", max = crate::manifest::MAX_REPLICAS)]
    Replicas(u16),
    /// No such release.
    #[error("there is no release {wanted}; {there}")]
    ReleaseNotFound {
        /// What was asked for.
        wanted: ReleaseNumber,
        /// What there is.
        there: String,
    },
    /// A release that never had the traffic.
    #[error("release {0} never ran, so it cannot come back; `switchback releases` shows which did")]
    ReleaseNeverRan(ReleaseNumber),
    /// The release that has the traffic.
    #[error("release {0} is the current one, so there is nothing to roll back")]
    ReleaseIsCurrent(ReleaseNumber),
    /// Nothing was ever deployed.
    #[error("the service has no release yet; deploy something first with `switchback deploy`")]
    NothingDeployed,
    /// Not this deployment's turn, or not any more.
    #[error("deployment {0} does not have the turn")]
    NotItsTurn(DeploymentId),
    /// It built, but did not say what.
    #[error("deployment {0} has nothing built")]
    NothingBuilt(DeploymentId),
}

impl Aggregate for Service {
    const KIND: AggregateKind = AggregateKind::Service;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, _ctx: &Context) -> Result<Vec<Event>, Rejection> {
        self.decide_command(command)
    }

    fn evolve(self, event: &Event) -> Self {
        self.after(event)
    }
}
