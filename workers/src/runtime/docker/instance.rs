//! The life of one instance: made or found, watched, stopped.

use std::sync::Arc;
use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptions, KillContainerOptions};
use domain::deployment::step::{Fence, Step};
use domain::plan::Start;
use domain::service::release::{Instance, InstanceId};
use tokio::time::{Instant, sleep, timeout};

use crate::key::StepKey;
use crate::output::{Mask, Output, StoredUntil};
use crate::runtime::docker::container::{Container, Phase, Wish, body};
use crate::runtime::docker::image::{self, Image};
use crate::runtime::docker::reader::Reader;
use crate::runtime::docker::{Shared, arguments, failed, labels};
use crate::runtime::{Environment, InstanceRequest, InstanceState, RuntimeError};

/// What it is to listen on when neither the plan nor the image says a port.
const PORT: u16 = 8080;
/// How often something that is in the way is looked at again.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// How long a container may take to end after SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How long its last lines may take to be read before it is removed.
const READ_LIMIT: Duration = Duration::from_secs(10);

impl Shared {
    /// Starts an instance, or finds it.
    pub(super) async fn start(
        self: Arc<Self>,
        fence: Fence,
        request: InstanceRequest,
        output: Output,
    ) -> Result<Instance, RuntimeError> {
        let id = request.id;
        let gate = self.instance_gates.of(id);
        let _only = gate.lock().await;
        let key = StepKey { deployment: id.deployment, step: Step::RollOut, fence };
        let name = labels::instance_name(id);
        for _ in 0..TRIES {
            self.admit(key)?;
            if let Some(found) = self.take_over(&name, key).await? {
                if found.phase == Phase::Running && !self.is_stopping(&found.id) {
                    let address = self.address(&found)?;
                    return Ok(Instance { id, address });
                }
                self.read_to_the_end(&found.id).await;
                self.engine.remove(&found.id).await?;
            }
            if let Some(container) = Box::pin(self.make_instance(&name, key, &request)).await? {
                self.read(id, container.clone(), StoredUntil::default(), output);
                let found = self.find(&container).await?;
                let address = found.and_then(|found| found.address(self.settings.publish));
                // It may have ended already, which its state tells whoever looks.
                let nowhere = || std::net::SocketAddr::from(([0, 0, 0, 0], PORT));
                return Ok(Instance { id, address: address.unwrap_or_else(nowhere) });
            }
            sleep(PAUSE_MAX).await;
        }
        Err(failed(&format!("start an instance: the container {name} is always in the way")))
    }

    /// The container of a name, when it is not in the hands of a later worker.
    pub(super) async fn take_over(
        &self,
        name: &str,
        key: StepKey,
    ) -> Result<Option<Container>, RuntimeError> {
        let Some(found) = self.engine.inspect(name).await?.and_then(Container::of) else { return Ok(None) };
        if !self.is_ours(&found) {
            let message = format!(
                "the container {name} is there already and belongs to somebody else; remove it by hand"
            );
            return Err(RuntimeError { code: "runtime_failed", message, permanent: true, source: None });
        }
        if labels::fence(&found.labels) > key.fence {
            return Err(self.fenced(key));
        }
        Ok(Some(found))
    }

    /// Makes and starts the container. Nothing, when something was in the way.
    async fn make_instance(
        &self,
        name: &str,
        key: StepKey,
        request: &InstanceRequest,
    ) -> Result<Option<String>, RuntimeError> {
        let given = &request.environment;
        let reference = image::reference(given)?;
        let image = self.image(reference).await?;
        let port = given.port.or(image.port).unwrap_or(PORT);
        let program = match &request.start {
            Start::Command(command) => {
                let variables = variables(&image, given, Some(port));
                arguments::program(command, &variables, &image.directory)
            }
            // The files that are served, and what serves them, are part of the image.
            Start::Static { .. } | Start::Image {} => arguments::Program::default(),
        };
        let mut labels = labels::of_release(self.settings.installation, key.deployment, key.fence, given);
        labels.insert(labels::INSTANCE.into(), request.id.ordinal.to_string());
        labels.insert(labels::PORT.into(), port.to_string());
        let gate = self.service_gates.of(given.service);
        let _only = gate.lock().await;
        let network = self.network(given.organization, given.service).await?;
        let wish = Wish { image: reference, program, given, port: Some(port), network: &network, labels };
        Box::pin(self.make(name, reference, body(&self.settings, wish), given)).await
    }

    /// Makes and starts a container. Nothing, when something was in the way: another worker has taken the
    /// name, or has just removed the network.
    pub(super) async fn make(
        &self,
        name: &str,
        reference: &str,
        body: ContainerCreateBody,
        given: &Environment,
    ) -> Result<Option<String>, RuntimeError> {
        // What the engine finds wrong with a request may repeat a part of it.
        let mask = Mask::new(given.variables.values().map(domain::secret::Secret::reveal));
        let masked = |mut error: RuntimeError| {
            error.message = mask.apply(error.message);
            error.source = None;
            error
        };
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        let doing = "make a container";
        let made = self
            .engine
            .call(doing, |client| {
                let (options, body) = (options.clone(), body.clone());
                async move { client.create_container(Some(options), body).await }
            })
            .await;
        let id = match made {
            Ok(made) => made.id,
            Err(trouble) if trouble.is_conflict() => return Ok(None),
            Err(trouble) if trouble.is_absent() && trouble.said.contains("image") => {
                return Err(image::missing(reference, "it was removed a moment ago", false));
            }
            Err(trouble) if trouble.is_absent() => return Ok(None),
            Err(trouble) => return Err(masked(trouble.into())),
        };
        let started = self
            .engine
            .call("start a container", |client| {
                let id = id.clone();
                async move { client.start_container(&id, None).await }
            })
            .await;
        match started {
            Ok(()) => Ok(Some(id)),
            Err(trouble) if trouble.status.is_none() => Err(masked(trouble.into())), // It may run.
            Err(trouble) => {
                self.engine.remove(&id).await?;
                // A network that is gone, or the container itself, which a later worker has removed.
                if trouble.is_absent() { Ok(None) } else { Err(masked(trouble.into())) }
            }
        }
    }

    pub(super) async fn state(&self, id: InstanceId) -> Result<InstanceState, RuntimeError> {
        let found = self.find(&labels::instance_name(id)).await?;
        let Some(found) = found else { return Ok(InstanceState::Absent) };
        Ok(match found.phase {
            Phase::Running => InstanceState::Running { address: self.address(&found)? },
            // Ended with the engine, as it does with the platform where there are processes.
            Phase::Over if found.finished.is_some_and(|at| self.outages.cover(at)) => InstanceState::Absent,
            Phase::Over => InstanceState::Exited { exit: found.exit() },
            // Its worker died before it was started; who starts it makes it anew.
            Phase::Created => InstanceState::Absent,
        })
    }

    fn address(&self, found: &Container) -> Result<std::net::SocketAddr, RuntimeError> {
        let address = found.address(self.settings.publish);
        address.ok_or_else(|| failed("say where a container is that has just been started or is ending"))
    }

    /// Stops an instance and removes what it left.
    pub(super) async fn stop(self: Arc<Self>, id: InstanceId, grace: Duration) -> Result<(), RuntimeError> {
        let Some(found) = self.find(&labels::instance_name(id)).await? else {
            self.readers().remove(&id);
            return Ok(());
        };
        self.stopping().insert(found.id.clone());
        let stopped = self.stop_container(&found, grace).await;
        let removed = match stopped {
            Ok(()) => self.remove_instance(id, &found).await,
            error => error,
        };
        self.stopping().remove(&found.id);
        removed
    }

    async fn remove_instance(&self, id: InstanceId, found: &Container) -> Result<(), RuntimeError> {
        let gate = self.instance_gates.of(id);
        let _only = gate.lock().await;
        self.read_to_the_end(&found.id).await;
        self.engine.remove(&found.id).await?;
        self.forget_reader(&found.id);
        self.forget_commands(id).await?;
        let service = found.labels.get(labels::SERVICE).and_then(|service| service.parse().ok());
        if let Some(service) = service {
            self.remove_networks(service).await?;
        }
        Ok(())
    }

    /// The notes of commands that were run, when the last instance of the deployment is gone.
    async fn forget_commands(&self, id: InstanceId) -> Result<(), RuntimeError> {
        let left = self.engine.containers(self.labels(labels::DEPLOYMENT, id.deployment)).await?;
        if left.iter().all(|container| labels::instance(&container.labels).is_none()) {
            for command in left {
                self.engine.remove(&command.id).await?;
            }
        }
        Ok(())
    }

    /// Asks a container to end, waits, and kills it.
    async fn stop_container(&self, found: &Container, grace: Duration) -> Result<(), RuntimeError> {
        if found.phase != Phase::Running {
            return Ok(());
        }
        let deadline = Instant::now() + grace;
        self.signal(&found.id, &found.stop_signal).await?;
        if self.ends_before(&found.id, deadline).await? {
            return Ok(());
        }
        self.signal(&found.id, "SIGKILL").await?;
        if self.ends_before(&found.id, Instant::now() + KILL_LIMIT).await? {
            return Ok(());
        }
        Err(failed("end a container that was killed; it is tried again"))
    }

    async fn signal(&self, id: &str, signal: &str) -> Result<(), RuntimeError> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        let doing = "send a signal to a container";
        let sent = self.engine.call(doing, |client| {
            let options = options.clone();
            async move { client.kill_container(id, Some(options)).await }
        });
        match sent.await {
            // It has ended by now.
            Err(trouble) if trouble.is_absent() || trouble.is_conflict() => Ok(()),
            other => Ok(other?),
        }
    }

    async fn ends_before(&self, id: &str, deadline: Instant) -> Result<bool, RuntimeError> {
        let mut pause = PAUSE;
        loop {
            let found = self.find(id).await?;
            if found.is_none_or(|found| found.phase != Phase::Running) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// From now on what a container prints goes to an output.
    pub(super) fn read(&self, id: InstanceId, container: String, stored: StoredUntil, output: Output) {
        let closing = self.closing.clone();
        let reader = Reader::start(Arc::clone(&self.engine), container, stored, output, closing);
        self.readers().insert(id, reader);
    }

    pub(super) async fn attach(
        &self,
        id: InstanceId,
        stored: StoredUntil,
        output: Output,
    ) -> Result<(), RuntimeError> {
        let gate = self.instance_gates.of(id);
        let _only = gate.lock().await;
        if self.readers().contains_key(&id) {
            return Ok(());
        }
        let found = self.find(&labels::instance_name(id)).await?;
        if let Some(found) = found.filter(|found| found.phase != Phase::Created) {
            self.read(id, found.id, stored, output);
        }
        Ok(())
    }

    /// Waits until the last line of a container that has ended is stored, when this process reads it.
    async fn read_to_the_end(&self, container: &str) {
        let reader = self.readers().values().find(|reader| reader.container == container).cloned();
        if let Some(reader) = reader
            && timeout(READ_LIMIT, reader.done.cancelled()).await.is_err()
        {
            tracing::warn!("the last lines of a container may be missing: they were not read in time");
        }
    }
}

/// What a command line can refer to: what the image says, and what is given.
pub(super) fn variables(
    image: &Image,
    given: &Environment,
    port: Option<u16>,
) -> std::collections::BTreeMap<String, String> {
    let mut variables = image.variables.clone();
    let own = given.variables.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
    variables.extend(own);
    variables.extend(port.map(|port| ("PORT".to_owned(), port.to_string())));
    variables
}
