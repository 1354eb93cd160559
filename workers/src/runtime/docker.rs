//! The runtime for one server: each instance is a container of a Docker Engine.
//!
//! An instance is `Absent → Running → Exited | Absent`, and its container says all of it: name and labels
//! follow from deployment and ordinal, so that any process of the platform finds what another has started.
//! Containers outlive the platform; what they print is read from the engine's own log when somebody is back.
//! They have no more of the host than their program needs (`docker/container.rs`), and nothing that does not
//! carry our installation's label is ever touched. Files are never copied into or out of a container.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use domain::command_line::CommandLine;
use domain::deployment::step::Fence;
use domain::id::{DeploymentId, OrganizationId, ServiceId};
use domain::secret::Secret;
use domain::service::release::{Instance, InstanceId};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fences::Fences;
use crate::key::StepKey;
use crate::output::{Output, StoredUntil};
use crate::runtime::docker::container::Container;
use crate::runtime::docker::engine::Engine;
use crate::runtime::docker::network::Gates;
use crate::runtime::docker::outages::Outages;
use crate::runtime::docker::reader::Reader;
use crate::runtime::{Environment, Exit, InstanceRequest, InstanceState, Runtime, RuntimeError};

mod arguments;
mod container;
mod engine;
mod events;
mod firewall;
mod holes;
mod image;
mod instance;
mod labels;
mod listening;
mod network;
mod outages;
mod reader;
mod release_command;

/// How many ends of instances a slow reader may be behind before it has to look for itself.
const EXITS_KEPT: usize = 1024;

/// Who fetches images from a registry.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password or token.
    pub password: Secret,
}

/// How instances run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The engine: `unix:///var/run/docker.sock`, or `docker:` for the usual place.
    pub url: String,
    /// What is ours in it carries this id as a label.
    pub installation: Uuid,
    /// An address of this host on which each instance's port is published, for edges on other machines.
    /// Without it, the edge reaches containers by their own addresses, which only this host can.
    pub publish: Option<IpAddr>,
    /// Capabilities that are left of the kernel's list.
    pub capabilities: Vec<String>,
    /// Processes and threads of one instance at most.
    pub processes_max: u32,
    /// Open files of one process at most; no more than the engine itself may have, or nothing starts where it
    /// lacks the capability to raise limits.
    pub open_files_max: u64,
    /// How much `/tmp` holds where the rest may not be written.
    pub temporary_bytes: u64,
    /// How much of what one instance prints the engine keeps until it is read, in each of so many files.
    pub log_bytes: u64,
    /// How many files.
    pub log_files: u32,
    /// By host of the registry, where fetching needs one.
    pub logins: BTreeMap<String, Login>,
}

impl Settings {
    /// With limits that no healthy application reaches.
    #[must_use]
    pub fn new(url: impl Into<String>, installation: Uuid) -> Self {
        Self {
            url: url.into(),
            installation,
            publish: None,
            capabilities: vec!["NET_BIND_SERVICE".into()],
            processes_max: 256,
            // More than an engine's own limit cannot be given, and some have no more than 20,000.
            open_files_max: 16_384,
            temporary_bytes: 256 * 1024 * 1024,
            log_bytes: 10 * 1024 * 1024,
            log_files: 3,
            logins: BTreeMap::new(),
        }
    }
}

/// Runs instances as containers. Dropping it leaves them running.
#[derive(Clone, Debug)]
pub struct DockerRuntime {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    engine: Arc<Engine>,
    fences: Fences,
    /// One start or removal of an instance at a time.
    instance_gates: Gates<InstanceId>,
    /// A service's network is not removed while something is being started on it.
    service_gates: Gates<ServiceId>,
    readers: Mutex<HashMap<InstanceId, Reader>>,
    /// Containers that this process is stopping.
    stopping: Mutex<HashSet<String>>,
    exits: broadcast::Sender<Exit>,
    outages: Outages,
    closing: CancellationToken,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl DockerRuntime {
    /// Uses an engine, which may be away for the moment. To be called where tasks can be spawned.
    ///
    /// # Errors
    /// [`RuntimeError`] when the address is none.
    pub fn connect(settings: Settings) -> Result<Self, RuntimeError> {
        let engine = Arc::new(Engine::new(&settings.url)?);
        let shared = Arc::new(Shared {
            settings,
            engine,
            fences: Fences::default(),
            instance_gates: Gates::default(),
            service_gates: Gates::default(),
            readers: Mutex::default(),
            stopping: Mutex::default(),
            exits: broadcast::channel(EXITS_KEPT).0,
            outages: Outages::default(),
            closing: CancellationToken::new(),
        });
        let now = Utc::now().timestamp_nanos_opt().unwrap_or_default();
        tokio::spawn(events::listen(Arc::downgrade(&shared), now));
        Ok(Self { shared })
    }

    /// Asks whether the engine answers.
    ///
    /// # Errors
    /// [`RuntimeError`] when it does not.
    pub async fn ping(&self) -> Result<(), RuntimeError> {
        self.shared.engine.version().await?;
        Ok(())
    }

    /// What an operator should know of this engine before anybody's code runs on it, a line each.
    ///
    /// # Errors
    /// [`RuntimeError`] when it does not answer.
    pub async fn warnings(&self) -> Result<Vec<String>, RuntimeError> {
        let mut lines = holes::of(&self.shared.engine.version().await?);
        if !firewall::is_usable().await {
            lines.push(firewall::ADVICE.to_owned());
        }
        Ok(lines)
    }

    /// Does something to its end, whether or not the caller waits for it: a step that is given up half-way
    /// leaves an instance that is known, not one that is half there.
    async fn to_the_end<T: Send + 'static>(
        work: impl Future<Output = Result<T, RuntimeError>> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        tokio::spawn(work).await.map_err(|_| failed("go on, as the platform is stopping"))?
    }
}

impl Shared {
    fn readers(&self) -> MutexGuard<'_, HashMap<InstanceId, Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_reader(&self, container: &str) {
        self.readers().retain(|_, reader| reader.container != container);
    }

    fn stopping(&self) -> MutexGuard<'_, HashSet<String>> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self, container: &str) -> bool {
        self.stopping().contains(container)
    }

    fn is_ours(&self, found: &Container) -> bool {
        let installation = found.labels.get(labels::INSTALLATION);
        installation.is_some_and(|id| *id == self.settings.installation.to_string())
    }

    /// A container of ours, by its name or id.
    async fn find(&self, name: &str) -> Result<Option<Container>, RuntimeError> {
        let found = self.engine.inspect(name).await?.and_then(Container::of);
        Ok(found.filter(|found| self.is_ours(found)))
    }

    /// Lets a worker act, unless a later one has.
    fn admit(&self, key: StepKey) -> Result<(), RuntimeError> {
        self.fences.enter(key).map_err(|_| self.fenced(key))
    }

    fn fenced(&self, key: StepKey) -> RuntimeError {
        let fenced = crate::fences::Fenced { step: key.step };
        let message = fenced.to_string();
        RuntimeError { code: "fenced", message, permanent: true, source: Some(fenced.into()) }
    }

    async fn list(&self) -> Result<Vec<InstanceId>, RuntimeError> {
        let mut ours = self.labels(labels::INSTANCE, "");
        // Only whether there is one: which, is the container's.
        ours[1] = labels::INSTANCE.to_owned();
        let listed = self.engine.containers(ours).await?;
        let mut ids: Vec<InstanceId> =
            listed.iter().filter_map(|container| labels::instance(&container.labels)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    async fn clean(self: Arc<Self>, deployment: DeploymentId) -> Result<(), RuntimeError> {
        let containers = self.engine.containers(self.labels(labels::DEPLOYMENT, deployment)).await?;
        let services: HashSet<ServiceId> = containers
            .iter()
            .filter_map(|container| container.labels.get(labels::SERVICE)?.parse().ok())
            .collect();
        for container in containers {
            self.engine.remove(&container.id).await?;
            self.forget_reader(&container.id);
        }
        for service in services {
            self.remove_networks(service).await?;
        }
        Ok(())
    }

    async fn organization_of(
        &self,
        deployment: DeploymentId,
    ) -> Result<Option<OrganizationId>, RuntimeError> {
        let containers = self.engine.containers(self.labels(labels::DEPLOYMENT, deployment)).await?;
        Ok(containers.iter().find_map(|container| container.labels.get(labels::ORGANIZATION)?.parse().ok()))
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn start(
        &self,
        fence: Fence,
        request: &InstanceRequest,
        output: Output,
    ) -> Result<Instance, RuntimeError> {
        Self::to_the_end(self.shared.clone().start(fence, request.clone(), output)).await
    }

    async fn state(&self, id: InstanceId) -> Result<InstanceState, RuntimeError> {
        self.shared.state(id).await
    }

    async fn listening(&self, id: InstanceId) -> Result<Vec<u16>, RuntimeError> {
        let found = self.shared.find(&labels::instance_name(id)).await?;
        let Some(process) = found.and_then(|found| found.process) else { return Ok(vec![]) };
        let listening = tokio::task::spawn_blocking(move || listening::ports(process)).await;
        listening.map_err(|_| failed("look at the ports of a container"))
    }

    async fn stop(&self, id: InstanceId, grace: Duration) -> Result<(), RuntimeError> {
        Self::to_the_end(self.shared.clone().stop(id, grace)).await
    }

    async fn list(&self) -> Result<Vec<InstanceId>, RuntimeError> {
        self.shared.list().await
    }

    async fn run(
        &self,
        key: StepKey,
        command: &CommandLine,
        environment: &Environment,
        output: Output,
        cancel: &CancellationToken,
    ) -> Result<(), RuntimeError> {
        self.shared.run(key, command, environment, output, cancel).await
    }

    async fn clean(&self, deployment: DeploymentId) -> Result<(), RuntimeError> {
        Self::to_the_end(self.shared.clone().clean(deployment)).await
    }

    fn is_attached(&self, id: InstanceId) -> bool {
        self.shared.readers().contains_key(&id)
    }

    async fn attach(&self, id: InstanceId, stored: StoredUntil, output: Output) -> Result<(), RuntimeError> {
        self.shared.attach(id, stored, output).await
    }

    async fn organization_of(
        &self,
        deployment: DeploymentId,
    ) -> Result<Option<OrganizationId>, RuntimeError> {
        self.shared.organization_of(deployment).await
    }

    fn exits(&self) -> broadcast::Receiver<Exit> {
        self.shared.exits.subscribe()
    }
}

/// The engine's fault, or nobody's.
fn failed(doing: &str) -> RuntimeError {
    let message = format!("the Docker runtime could not {doing}");
    RuntimeError { code: "runtime_failed", message, permanent: false, source: None }
}
