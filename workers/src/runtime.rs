//! The port to runtimes: it runs instances.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::command_line::CommandLine;
use domain::deployment::step::Fence;
use domain::id::{DeploymentId, OrganizationId, ServiceId};
use domain::plan::Start;
use domain::secret::Secret;
use domain::service::release::{Instance, InstanceId};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::key::StepKey;
use crate::output::{Output, StoredUntil};
use crate::registry::Files;

#[cfg(feature = "testing")]
pub mod conformance;
pub mod docker;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
pub mod process;

/// What an instance or a release command is given.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Whose it is.
    pub organization: OrganizationId,
    /// The service.
    pub service: ServiceId,
    /// Where its files are.
    pub files: Files,
    /// The directory within them to run in; empty for the root.
    pub root: String,
    /// The port it listens on, when it does not take the one in `PORT`.
    pub port: Option<u16>,
    /// Whether it may not write its own files.
    pub read_only: bool,
    /// Its variables, in the clear, and what the platform adds (`SWITCHBACK_RELEASE`, …) save `PORT`.
    pub variables: BTreeMap<String, Secret>,
    /// Memory limit, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processor limit, in thousandths of a core.
    pub cpu_millis: Option<u32>,
}

/// An instance to be started.
#[derive(Clone, Debug)]
pub struct InstanceRequest {
    /// Its name.
    pub id: InstanceId,
    /// What runs.
    pub start: Start,
    /// What it is given.
    pub environment: Environment,
    /// Where it was reached before, to be used again when that is free.
    pub address: Option<SocketAddr>,
}

/// How an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// Its program runs.
    Running {
        /// Where its port is to be.
        address: SocketAddr,
    },
    /// Its program has ended by itself.
    Exited {
        /// How, in words: `exit status 1`, `signal 9`.
        exit: String,
    },
    /// There is none of that name.
    Absent,
}

/// An instance ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Which.
    pub id: InstanceId,
    /// How, in words.
    pub exit: String,
}

/// Something that could not be run. The text is for the person who deploys.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RuntimeError {
    /// A stable word for programs: `program_not_found`, `port_taken`, `docker_needed`, `image_missing`,
    /// `release_command_failed`, `release_command_timed_out`, `release_command_cancelled`, `fenced`,
    /// `runtime_failed`.
    pub code: &'static str,
    /// What was wrong, and what to do. Never output of the program, never a value of a variable.
    pub message: String,
    /// Whether trying again would be of no use.
    pub permanent: bool,
    /// What was seen below.
    #[source]
    pub source: Option<eventlog::error::BoxError>,
}

/// Runs instances.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Starts an instance, or finds the one of that name that runs already. Does not wait until it listens.
    /// What it prints goes to `output`, for as long as it runs.
    ///
    /// # Errors
    /// [`RuntimeError`]; then nothing of it runs.
    async fn start(
        &self,
        fence: Fence,
        request: &InstanceRequest,
        output: Output,
    ) -> Result<Instance, RuntimeError>;

    /// How an instance is now.
    ///
    /// # Errors
    /// [`RuntimeError`].
    async fn state(&self, id: InstanceId) -> Result<InstanceState, RuntimeError>;

    /// The TCP ports that an instance's processes listen on, as far as that can be seen; to be asked when
    /// something is wrong, since it may take its time.
    ///
    /// # Errors
    /// [`RuntimeError`].
    async fn listening(&self, id: InstanceId) -> Result<Vec<u16>, RuntimeError>;

    /// Asks an instance to end (SIGTERM), ends it after `grace` with everything it started, and returns when
    /// nothing of it is left. One that does not run is stopped already.
    ///
    /// # Errors
    /// [`RuntimeError`], to be tried again.
    async fn stop(&self, id: InstanceId, grace: Duration) -> Result<(), RuntimeError>;

    /// Every instance of this installation that runs or left something, whoever started it.
    ///
    /// # Errors
    /// [`RuntimeError`].
    async fn list(&self) -> Result<Vec<InstanceId>, RuntimeError>;

    /// Runs a command to its end, as the release command is. What an earlier attempt of this step still runs
    /// is ended first. Ends within a moment when `cancel` is given.
    ///
    /// # Errors
    /// [`RuntimeError`], also when it ends with another status than 0.
    async fn run(
        &self,
        key: StepKey,
        command: &CommandLine,
        environment: &Environment,
        output: Output,
        cancel: &CancellationToken,
    ) -> Result<(), RuntimeError>;

    /// Ends whatever runs for a deployment, instances and commands, and removes what they left.
    ///
    /// # Errors
    /// [`RuntimeError`], to be tried again.
    async fn clean(&self, deployment: DeploymentId) -> Result<(), RuntimeError>;

    /// Whether what the instance prints goes to an output of this process; always so for a runtime whose
    /// instances do not outlive it.
    fn is_attached(&self, _id: InstanceId) -> bool {
        true
    }

    /// From now on, what an instance prints and has printed goes to `output`, save what is stored already.
    /// One that is attached stays as it is. For instances that another process of the platform has started.
    ///
    /// # Errors
    /// [`RuntimeError`], to be tried again.
    async fn attach(
        &self,
        _id: InstanceId,
        _stored: StoredUntil,
        _output: Output,
    ) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Whose the instances of a deployment are, as far as they say so themselves.
    ///
    /// # Errors
    /// [`RuntimeError`].
    async fn organization_of(
        &self,
        _deployment: DeploymentId,
    ) -> Result<Option<OrganizationId>, RuntimeError> {
        Ok(None)
    }

    /// Instances that end by themselves from now on. A reader that falls behind looks at [`Runtime::state`].
    fn exits(&self) -> broadcast::Receiver<Exit>;
}

/// A runtime that several workers share.
pub type SharedRuntime = Arc<dyn Runtime>;
