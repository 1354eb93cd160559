//! The life of one instance: how it is started, attended and stopped.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use domain::deployment::step::{Fence, Step};
use domain::plan::Start;
use domain::service::release::{Instance, InstanceId};

use crate::key::StepKey;
use crate::output::Output;
use crate::process::{self, Child, Program};
use crate::runtime::process::{Entry, INSTANCE, Shared, directories, environment, failed, refused};
use crate::runtime::{Exit, InstanceRequest, RuntimeError};

fn name(id: InstanceId) -> String {
    format!("{INSTANCE}{id}")
}

impl Shared {
    /// Starts an instance, or finds it.
    pub(super) async fn start(
        self: Arc<Self>,
        fence: Fence,
        request: InstanceRequest,
        output: Output,
    ) -> Result<Instance, RuntimeError> {
        let id = request.id;
        let gate = self.gate(id);
        let _only = gate.lock().await;
        self.admit(StepKey { deployment: id.deployment, step: Step::RollOut, fence })?;
        if let Some(entry) = self.entry(id) {
            if entry.child.exit().is_none() && !entry.is_stopping {
                return Ok(Instance { id, address: entry.address });
            }
            entry.child.wait().await;
            self.forget(id, &entry);
        }
        if self.is_closed.load(Ordering::Acquire) {
            return Err(failed("start an instance", "the platform is stopping"));
        }
        // Not in our hands, and yet there, when its supervisor was killed a moment ago.
        self.end(vec![name(id)]).await?;
        let port = self.ports.take(request.address)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let started = match self.program(&request, port) {
            Ok(program) => self.supervisor.spawn(program, &output).await.map_err(refused),
            Err(error) => Err(error),
        };
        let child = match started {
            Ok(child) => Arc::new(child),
            Err(error) => {
                self.ports.give_back(port);
                self.remove(id.to_string()).await?;
                return Err(error);
            }
        };
        // The one on processes is nobody's wish, and its absence is in the documentation.
        for limit in child.unlimited().iter().filter(|limit| *limit != "pids") {
            output
                .say(format!("the limit of {limit} is not in force: this user may make no control groups"))
                .await;
        }
        let attended = attend(Arc::downgrade(&self), id, Arc::downgrade(&child), child.end(), output);
        self.instances().insert(id, Entry { child, address, is_stopping: false });
        tokio::spawn(attended);
        Ok(Instance { id, address })
    }

    /// What is started for an instance.
    fn program(&self, request: &InstanceRequest, port: u16) -> Result<Program, RuntimeError> {
        let given = &request.environment;
        let own = directories::make(&self.settings.directory, &request.id.to_string())
            .map_err(|error| failed("make the directories of an instance", error))?;
        let limits = self.limits(given);
        let directory = environment::directory(given)?.join(&given.root);
        match &request.start {
            Start::Command(command) => {
                let variables = environment::build(&self.settings.path, given, &own, Some(port));
                let invocations = command.invocations(&variables);
                let name = name(request.id);
                Ok(Program { name, invocations, directory, environment: variables, limits })
            }
            Start::Static { directory: files } => {
                let executable = self.supervisor.executable().display().to_string();
                let arguments = [executable.as_str(), "serve-static", "--", files];
                let variables = [("PORT".to_owned(), port.to_string())].into();
                let program = Program::new(name(request.id), arguments).directory(directory);
                Ok(program.environment(variables).limits(limits))
            }
            Start::Image {} => Err(environment::needs_an_engine()),
        }
    }

    /// Stops an instance and removes what it left.
    pub(super) async fn stop(self: Arc<Self>, id: InstanceId, grace: Duration) -> Result<(), RuntimeError> {
        if let Some(entry) = self.stopping(id) {
            entry.child.stop(grace).await;
        }
        let gate = self.gate(id);
        let only = gate.lock().await;
        // One that was started meanwhile is another.
        if let Some(entry) = self.entry(id) {
            if entry.child.exit().is_none() {
                return Ok(());
            }
            self.forget(id, &entry);
        }
        self.end(vec![name(id)]).await?;
        self.remove(id.to_string()).await?;
        drop(only);
        self.gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, gate| Arc::strong_count(gate) > 1);
        Ok(())
    }

    /// Notes that an instance is to end.
    pub(super) fn stopping(&self, id: InstanceId) -> Option<Entry> {
        let mut instances = self.instances();
        let entry = instances.get_mut(&id)?;
        entry.is_stopping = true;
        Some(entry.clone())
    }

    /// Notes that an instance is gone.
    fn forget(&self, id: InstanceId, entry: &Entry) {
        self.instances().remove(&id);
        self.ports.give_back(entry.address.port());
    }
}

/// Waits for the end of an instance, and tells of it when nobody asked for it. Holds neither the runtime nor
/// the instance: both end when their owner drops them.
async fn attend(
    shared: Weak<Shared>,
    id: InstanceId,
    child: Weak<Child>,
    end: impl Future<Output = process::Exit>,
    output: Output,
) {
    let exit = end.await;
    let Some(shared) = shared.upgrade() else { return };
    let entry = shared.entry(id).filter(|entry| Arc::as_ptr(&entry.child) == child.as_ptr());
    if entry.is_some_and(|entry| !entry.is_stopping) {
        output.say(format!("the program ended with {exit}")).await;
        // There may be no reader.
        let _ = shared.exits.send(Exit { id, exit: exit.to_string() });
    }
}
