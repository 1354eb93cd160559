//! The runtime that needs nothing but this machine: each instance is a program below a supervisor.
//!
//! An instance is `Absent → Running → Exited | Absent`. It listens on the loopback address, on a port that it
//! is given in `PORT`; it has a home and a place for temporary files of its own; and it ends with everything
//! it started when it is stopped, when it ends itself, and when the platform dies. It is not isolated from
//! this machine's files and network, and runs as the user the platform runs as.
//!
//! Nothing of an earlier run of the platform survives [`ProcessRuntime::open`]; the reconciler starts again
//! what should run.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::command_line::CommandLine;
use domain::deployment::step::Fence;
use domain::id::DeploymentId;
use domain::service::release::{Instance, InstanceId};
use eventlog::error::BoxError;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::disk;
use crate::fences::Fences;
use crate::key::StepKey;
use crate::output::Output;
use crate::process::{self, Child, Limits, Supervisor};
use crate::runtime::process::ports::Ports;
use crate::runtime::{Environment, Exit, InstanceRequest, InstanceState, Runtime, RuntimeError};

mod command;
mod directories;
mod environment;
mod instance;
mod ports;

/// How many ends of instances a slow reader may be behind before it has to look for itself.
const EXITS_KEPT: usize = 1024;

/// How instances run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where instances have their own files: `<data>/instances`.
    pub directory: PathBuf,
    /// Where programs are looked for, as in `PATH`, after what the application brought itself.
    pub path: String,
    /// Processes and threads of one instance at most, where control groups can be made.
    pub processes_max: u32,
    /// Open files of one process at most.
    pub open_files_max: u64,
}

impl Settings {
    /// With limits that no healthy application reaches.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, path: impl Into<String>) -> Self {
        Self { directory: directory.into(), path: path.into(), processes_max: 4096, open_files_max: 65_536 }
    }
}

/// Runs instances as processes.
#[derive(Clone, Debug)]
pub struct ProcessRuntime {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    supervisor: Supervisor,
    instances: Mutex<HashMap<InstanceId, Entry>>,
    /// One start or removal of an instance at a time.
    gates: Gates,
    fences: Fences,
    ports: Ports,
    exits: broadcast::Sender<Exit>,
    is_closed: AtomicBool,
}

type Gates = Mutex<HashMap<InstanceId, Arc<tokio::sync::Mutex<()>>>>;

/// An instance that was started and not stopped.
#[derive(Clone, Debug)]
struct Entry {
    child: Arc<Child>,
    address: SocketAddr,
    /// Whether it is ending because it was stopped.
    is_stopping: bool,
}

impl ProcessRuntime {
    /// Ends whatever an earlier run of the platform has left, and makes its directory. It blocks for a
    /// moment.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn open(mut settings: Settings, supervisor: Supervisor) -> Result<Self, RuntimeError> {
        let is_ours = |name: &str| name.starts_with(INSTANCE) || name.starts_with(command::COMMAND);
        supervisor
            .sweep(|name| !is_ours(name))
            .map_err(|error| failed("end what an earlier run left", error))?;
        // Programs run elsewhere, and are told of it.
        settings.directory =
            std::path::absolute(&settings.directory).map_err(|error| failed("find its directory", error))?;
        directories::open(&settings.directory)
            .map_err(|error| failed(&format!("make {}", settings.directory.display()), error))?;
        let shared = Shared {
            settings,
            supervisor,
            instances: Mutex::default(),
            gates: Mutex::default(),
            fences: Fences::default(),
            ports: Ports::default(),
            exits: broadcast::channel(EXITS_KEPT).0,
            is_closed: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Stops all instances at once, as the platform is stopping: none is started from now on, nobody is told
    /// of their ends, and their directories stay for the next run.
    pub async fn close(&self, grace: Duration) {
        self.shared.is_closed.store(true, Ordering::Release);
        let ids: Vec<InstanceId> = self.shared.instances().keys().copied().collect();
        let stopping = ids.into_iter().filter_map(|id| self.shared.stopping(id));
        futures::future::join_all(stopping.map(async |entry| entry.child.stop(grace).await)).await;
    }

    /// Does something to its end, whether or not the caller waits for it: a step that is given up half-way
    /// leaves an instance that is known, not one that is half there.
    async fn to_the_end<T: Send + 'static>(
        work: impl Future<Output = Result<T, RuntimeError>> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        tokio::spawn(work).await.map_err(|error| failed("go on, as the platform is stopping", error))?
    }
}

/// What the names of instances among the programs begin with.
const INSTANCE: &str = "instance/";

impl Shared {
    fn instances(&self) -> MutexGuard<'_, HashMap<InstanceId, Entry>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, id: InstanceId) -> Option<Entry> {
        self.instances().get(&id).cloned()
    }

    fn gate(&self, id: InstanceId) -> Arc<tokio::sync::Mutex<()>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().clone()
    }

    fn limits(&self, given: &Environment) -> Limits {
        Limits {
            memory_bytes: given.memory_bytes,
            cpu_millis: given.cpu_millis,
            processes_max: Some(self.settings.processes_max),
            open_files_max: Some(self.settings.open_files_max),
            file_bytes: None,
        }
    }

    /// Lets a worker act, unless a later one has.
    fn admit(&self, key: StepKey) -> Result<(), RuntimeError> {
        self.fences.enter(key).map_err(|error| {
            let message = error.to_string();
            RuntimeError { code: "fenced", message, permanent: true, source: Some(error.into()) }
        })
    }

    /// Ends programs that are in nobody's hands, by their names.
    async fn end(&self, names: Vec<String>) -> Result<(), RuntimeError> {
        let supervisor = self.supervisor.clone();
        let is_kept = move |name: &str| !names.iter().any(|wanted| wanted == name);
        blocking("end what is left", move || supervisor.sweep(is_kept)).await?;
        Ok(())
    }

    /// Removes the directories of an instance or a command.
    async fn remove(&self, name: String) -> Result<(), RuntimeError> {
        let directory = self.settings.directory.join(name);
        blocking("remove its directories", move || disk::remove(&directory)).await
    }

    fn state(&self, id: InstanceId) -> InstanceState {
        let Some(entry) = self.entry(id) else { return InstanceState::Absent };
        match entry.child.exit() {
            Some(exit) => InstanceState::Exited { exit: exit.to_string() },
            None => InstanceState::Running { address: entry.address },
        }
    }

    async fn listening(&self, id: InstanceId) -> Result<Vec<u16>, RuntimeError> {
        let Some(entry) = self.entry(id) else { return Ok(vec![]) };
        let supervisor = entry.child.supervisor_pid();
        blocking("look for its ports", move || ports::listening(supervisor)).await
    }

    /// What runs, is known or has left a directory, by the names of its directories: instances and commands.
    async fn names(self: &Arc<Self>) -> Result<BTreeSet<String>, RuntimeError> {
        let shared = self.clone();
        blocking("list what runs", move || {
            let mut names: BTreeSet<String> = shared.instances().keys().map(ToString::to_string).collect();
            names.extend(directories::list(&shared.settings.directory)?);
            let programs = shared.supervisor.names()?;
            let ours = programs.iter().filter_map(|name| {
                name.strip_prefix(INSTANCE).or_else(|| name.strip_prefix(command::COMMAND))
            });
            names.extend(ours.map(str::to_owned));
            Ok::<_, std::io::Error>(names)
        })
        .await
    }

    async fn list(self: Arc<Self>) -> Result<Vec<InstanceId>, RuntimeError> {
        let names = self.names().await?;
        Ok(names.iter().filter_map(|name| name.parse::<InstanceId>().ok()).collect())
    }

    async fn clean(self: Arc<Self>, deployment: DeploymentId) -> Result<(), RuntimeError> {
        let begin = format!("{deployment}.");
        for name in self.names().await?.into_iter().filter(|name| name.starts_with(&begin)) {
            let is_note = directories::forget_done(&self.settings.directory, &name);
            if is_note.map_err(|error| failed("forget a command", error))? {
                continue;
            }
            if let Ok(id) = name.parse::<InstanceId>() {
                self.clone().stop(id, Duration::ZERO).await?;
            } else {
                self.end(vec![format!("{}{name}", command::COMMAND)]).await?;
                self.remove(name).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn start(
        &self,
        fence: Fence,
        request: &InstanceRequest,
        output: Output,
    ) -> Result<Instance, RuntimeError> {
        Self::to_the_end(self.shared.clone().start(fence, request.clone(), output)).await
    }

    async fn state(&self, id: InstanceId) -> Result<InstanceState, RuntimeError> {
        Ok(self.shared.state(id))
    }

    async fn listening(&self, id: InstanceId) -> Result<Vec<u16>, RuntimeError> {
        self.shared.listening(id).await
    }

    async fn stop(&self, id: InstanceId, grace: Duration) -> Result<(), RuntimeError> {
        Self::to_the_end(self.shared.clone().stop(id, grace)).await
    }

    async fn list(&self) -> Result<Vec<InstanceId>, RuntimeError> {
        self.shared.clone().list().await
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

    fn exits(&self) -> broadcast::Receiver<Exit> {
        self.shared.exits.subscribe()
    }
}

/// Does something that blocks for a moment.
async fn blocking<T: Send + 'static, E: Into<BoxError> + Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, RuntimeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| failed(doing, error))?.map_err(|error| failed(doing, error))
}

/// The machine's fault.
fn failed(doing: &str, error: impl Into<BoxError>) -> RuntimeError {
    let source = error.into();
    let message = format!("the process runtime could not {doing}: {source}");
    RuntimeError { code: "runtime_failed", message, permanent: false, source: Some(source) }
}

/// The program's fault, in most cases.
fn refused(error: process::SpawnError) -> RuntimeError {
    use process::Refusal;
    match error {
        process::SpawnError::Refused(refusal) => {
            let message = refusal.to_string();
            let code = match refusal {
                Refusal::NotFound { .. } | Refusal::NotExecutable { .. } | Refusal::NoInterpreter { .. } => {
                    "program_not_found"
                }
                Refusal::Directory { .. } | Refusal::Failed { .. } => "runtime_failed",
            };
            RuntimeError { code, message, permanent: true, source: None }
        }
        process::SpawnError::Undescribed(_) | process::SpawnError::Supervisor { .. } => {
            failed("start the program", error)
        }
    }
}
