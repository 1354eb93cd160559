//! A runtime in memory, for tests: nothing runs, and everything that was done to it is written down.
//!
//! Its instances listen from the moment they are started. What would be seen in the world of an effect that
//! is repeated is not there twice: the ledger says which of them were visible, and of those there is to be
//! one for each name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::command_line::CommandLine;
use domain::deployment::step::{Fence, Step};
use domain::id::DeploymentId;
use domain::service::release::{Instance, InstanceId};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::fences::Fences;
use crate::key::StepKey;
use crate::output::Output;
use crate::runtime::fake::ledger::{Effect, Fault, Faults, Operation};
use crate::runtime::{Environment, Exit, InstanceRequest, InstanceState, Runtime, RuntimeError};

pub mod ledger;

/// The runtime in memory.
pub struct FakeRuntime {
    world: Mutex<World>,
    fences: Fences,
    faults: Mutex<Faults>,
    exits: broadcast::Sender<Exit>,
}

#[derive(Default)]
struct World {
    ledger: Vec<Effect>,
    asked: BTreeMap<Operation, usize>,
    /// A listener makes the address a real one: the kernel accepts connections for it.
    running: BTreeMap<InstanceId, TcpListener>,
    exited: BTreeMap<InstanceId, String>,
    done: BTreeSet<(DeploymentId, Step)>,
}

impl Default for FakeRuntime {
    fn default() -> Self {
        Self {
            world: Mutex::default(),
            fences: Fences::default(),
            faults: Mutex::new(Arc::new(|_, _| None)),
            exits: broadcast::channel(1024).0,
        }
    }
}

impl fmt::Debug for FakeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeRuntime").field("ledger", &self.ledger()).finish_non_exhaustive()
    }
}

impl FakeRuntime {
    /// From now on these faults happen; `|_, _| None` heals it.
    pub fn faults(&self, faults: impl Fn(&Operation, usize) -> Option<Fault> + Send + Sync + 'static) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(faults);
    }

    /// All that was done, in its order.
    #[must_use]
    pub fn ledger(&self) -> Vec<Effect> {
        self.world().ledger.clone()
    }

    /// How often each operation was visible.
    #[must_use]
    pub fn visible(&self) -> BTreeMap<Operation, usize> {
        let mut counts = BTreeMap::new();
        for effect in self.world().ledger.iter().filter(|effect| effect.is_visible) {
            *counts.entry(effect.operation).or_default() += 1;
        }
        counts
    }

    /// What runs.
    #[must_use]
    pub fn running(&self) -> BTreeSet<InstanceId> {
        self.world().running.keys().copied().collect()
    }

    /// Lets an instance end by itself. Nothing happens when it does not run.
    pub fn end(&self, id: InstanceId, exit: &str) {
        let mut world = self.world();
        if world.running.remove(&id).is_some() {
            world.exited.insert(id, exit.to_owned());
            drop(world);
            // There may be no reader.
            let _ = self.exits.send(Exit { id, exit: exit.to_owned() });
        }
    }

    /// What the platform's death does to its processes: none of them runs any more, and nobody is told.
    pub fn die(&self) {
        let mut world = self.world();
        world.running.clear();
        world.exited.clear();
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the world, or not, as the faults want it. The effect answers whether it was visible.
    async fn perform<T>(
        &self,
        operation: Operation,
        fence: Option<Fence>,
        effect: impl FnOnce(&mut World) -> Result<(T, bool), RuntimeError>,
    ) -> Result<T, RuntimeError> {
        let fault = {
            let nth = {
                let mut world = self.world();
                let nth = world.asked.entry(operation).or_default();
                *nth += 1;
                *nth
            };
            let faults = Arc::clone(&self.faults.lock().unwrap_or_else(PoisonError::into_inner));
            faults(&operation, nth)
        };
        let is_done = match fault {
            None => true,
            Some(Fault::Fail { .. }) => false,
            Some(Fault::NoAnswer { done } | Fault::Hang { done }) => done,
        };
        let result = is_done.then(|| {
            let mut world = self.world();
            let (value, is_visible) = effect(&mut world)?;
            world.ledger.push(Effect { operation, fence, is_visible });
            Ok(value)
        });
        match (fault, result) {
            (None, Some(result)) => result,
            (Some(Fault::Hang { .. }), _) => std::future::pending().await,
            (Some(Fault::NoAnswer { .. }), _) => Err(failed("no answer came in time", false)),
            (Some(Fault::Fail { permanent }), _) => Err(failed("it was made to fail", permanent)),
            (None, None) => Err(failed("it was neither done nor made to fail", true)),
        }
    }

    fn admit(&self, key: StepKey) -> Result<(), RuntimeError> {
        let fenced = |message| RuntimeError { code: "fenced", message, permanent: true, source: None };
        self.fences.enter(key).map_err(|error| fenced(error.to_string()))
    }
}

impl World {
    fn start(&mut self, request: &InstanceRequest) -> Result<(Instance, bool), RuntimeError> {
        let id = request.id;
        if let Some(listener) = self.running.get(&id) {
            return Ok((Instance { id, address: address(listener)? }, false));
        }
        let wanted = request.address.and_then(|address| TcpListener::bind(address).ok());
        let listener = match wanted {
            Some(listener) => listener,
            None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(machine)?,
        };
        let address = address(&listener)?;
        self.exited.remove(&id);
        self.running.insert(id, listener);
        Ok((Instance { id, address }, true))
    }

    fn stop(&mut self, id: InstanceId) -> bool {
        let ran = self.running.remove(&id).is_some();
        self.exited.remove(&id).is_some() || ran
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn start(
        &self,
        fence: Fence,
        request: &InstanceRequest,
        _output: Output,
    ) -> Result<Instance, RuntimeError> {
        let id = request.id;
        self.admit(StepKey { deployment: id.deployment, step: Step::RollOut, fence })?;
        self.perform(Operation::Start(id), Some(fence), |world| world.start(request)).await
    }

    async fn state(&self, id: InstanceId) -> Result<InstanceState, RuntimeError> {
        let world = self.world();
        if let Some(listener) = world.running.get(&id) {
            return Ok(InstanceState::Running { address: address(listener)? });
        }
        let exit = world.exited.get(&id).cloned();
        Ok(exit.map_or(InstanceState::Absent, |exit| InstanceState::Exited { exit }))
    }

    async fn listening(&self, id: InstanceId) -> Result<Vec<u16>, RuntimeError> {
        let world = self.world();
        let Some(listener) = world.running.get(&id) else { return Ok(vec![]) };
        Ok(vec![address(listener)?.port()])
    }

    async fn stop(&self, id: InstanceId, _grace: Duration) -> Result<(), RuntimeError> {
        self.perform(Operation::Stop(id), None, |world| Ok(((), world.stop(id)))).await
    }

    async fn list(&self) -> Result<Vec<InstanceId>, RuntimeError> {
        let world = self.world();
        let all: BTreeSet<InstanceId> = world.running.keys().chain(world.exited.keys()).copied().collect();
        Ok(all.into_iter().collect())
    }

    async fn run(
        &self,
        key: StepKey,
        command: &CommandLine,
        _environment: &Environment,
        output: Output,
        cancel: &CancellationToken,
    ) -> Result<(), RuntimeError> {
        self.admit(key)?;
        output.say(format!("running {command}")).await;
        let step = (key.deployment, key.step);
        let operation = Operation::Run(key.deployment, key.step);
        let run = self.perform(operation, Some(key.fence), |world| Ok(((), world.done.insert(step))));
        tokio::select! {
            biased;
            result = run => result,
            () = cancel.cancelled() => Err(RuntimeError {
                code: "release_command_cancelled",
                message: format!("the release command `{command}` was cancelled"),
                permanent: true,
                source: None,
            }),
        }
    }

    async fn clean(&self, deployment: DeploymentId) -> Result<(), RuntimeError> {
        let clean = |world: &mut World| {
            let ids = world.running.keys().chain(world.exited.keys()).copied();
            let ids: BTreeSet<InstanceId> = ids.filter(|id| id.deployment == deployment).collect();
            let noted = world.done.len();
            world.done.retain(|(of, _)| *of != deployment);
            let is_visible = !ids.is_empty() || world.done.len() != noted;
            ids.into_iter().for_each(|id| {
                world.stop(id);
            });
            Ok(((), is_visible))
        };
        self.perform(Operation::Clean(deployment), None, clean).await
    }

    fn exits(&self) -> broadcast::Receiver<Exit> {
        self.exits.subscribe()
    }
}

fn address(listener: &TcpListener) -> Result<SocketAddr, RuntimeError> {
    listener.local_addr().map_err(machine)
}

fn machine(error: std::io::Error) -> RuntimeError {
    RuntimeError { source: Some(error.into()), ..failed("the machine has no port", false) }
}

fn failed(message: &str, permanent: bool) -> RuntimeError {
    let message = format!("the fake runtime: {message}");
    RuntimeError { code: "runtime_failed", message, permanent, source: None }
}

#[cfg(test)]
mod tests {
    use domain::id::{OrganizationId, ServiceId};
    use domain::plan::Start;
    use uuid::Uuid;

    use super::*;
    use crate::registry::Files;

    fn request() -> InstanceRequest {
        InstanceRequest {
            id: InstanceId { deployment: DeploymentId(Uuid::from_u128(1)), ordinal: 0 },
            start: Start::Static { directory: ".".into() },
            environment: environment(),
            address: None,
        }
    }

    fn environment() -> Environment {
        Environment {
            organization: OrganizationId(Uuid::nil()),
            service: ServiceId(Uuid::nil()),
            files: Files::Directory("/".into()),
            root: String::new(),
            port: None,
            read_only: false,
            variables: BTreeMap::new(),
            memory_bytes: None,
            cpu_millis: None,
        }
    }

    async fn start(runtime: &FakeRuntime, fence: u32) -> Result<Instance, RuntimeError> {
        runtime.start(Fence(fence), &request(), Output::nowhere()).await
    }

    async fn run(runtime: &FakeRuntime, cancel: &CancellationToken) -> Result<(), RuntimeError> {
        let key = StepKey { deployment: request().id.deployment, step: Step::Prepare, fence: Fence(1) };
        let command = "migrate".parse().unwrap();
        runtime.run(key, &command, &environment(), Output::nowhere(), cancel).await
    }

    #[tokio::test]
    async fn an_effect_that_is_repeated_is_visible_once() {
        let runtime = FakeRuntime::default();
        let first = start(&runtime, 1).await.unwrap();
        assert_eq!(start(&runtime, 1).await.unwrap(), first);
        std::net::TcpStream::connect(first.address).expect("it listens");
        for _ in 0..2 {
            run(&runtime, &CancellationToken::new()).await.unwrap();
        }
        let operations = [Operation::Start(first.id), Operation::Run(first.id.deployment, Step::Prepare)];
        assert_eq!(runtime.visible(), operations.map(|operation| (operation, 1)).into());
        let seen: Vec<bool> = runtime.ledger().iter().map(|effect| effect.is_visible).collect();
        assert_eq!(seen, [true, false, true, false]);
    }

    #[tokio::test]
    async fn a_fault_says_no_whether_or_not_it_was_done() {
        let faults = [
            (Fault::Fail { permanent: true }, false),
            (Fault::NoAnswer { done: false }, false),
            (Fault::NoAnswer { done: true }, true),
        ];
        for (fault, is_done) in faults {
            let runtime = FakeRuntime::default();
            runtime.faults(move |_, nth| (nth == 1).then_some(fault));
            let error = start(&runtime, 1).await.unwrap_err();
            assert_eq!(error.permanent, fault == Fault::Fail { permanent: true });
            assert_eq!(!runtime.running().is_empty(), is_done);
            start(&runtime, 1).await.expect("the second time it works");
            assert_eq!(runtime.visible(), [(Operation::Start(request().id), 1)].into());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_never_answers_and_a_command_can_be_cancelled() {
        let runtime = FakeRuntime::default();
        runtime.faults(|_, _| Some(Fault::Hang { done: true }));
        let limit = Duration::from_secs(3600);
        assert!(tokio::time::timeout(limit, start(&runtime, 1)).await.is_err());
        assert_eq!(runtime.running(), [request().id].into());
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert_eq!(run(&runtime, &cancel).await.unwrap_err().code, "release_command_cancelled");
    }

    #[tokio::test]
    async fn a_lower_fence_is_refused_and_leaves_no_line() {
        let runtime = FakeRuntime::default();
        start(&runtime, 2).await.unwrap();
        assert_eq!(start(&runtime, 1).await.unwrap_err().code, "fenced");
        assert_eq!(runtime.ledger().len(), 1);
    }

    #[tokio::test]
    async fn an_end_is_told_and_a_death_is_not() {
        let runtime = FakeRuntime::default();
        let mut exits = runtime.exits();
        let id = start(&runtime, 1).await.unwrap().id;
        runtime.end(id, "exit status 1");
        assert_eq!(exits.recv().await.unwrap(), Exit { id, exit: "exit status 1".into() });
        assert_eq!(runtime.state(id).await.unwrap(), InstanceState::Exited { exit: "exit status 1".into() });
        start(&runtime, 1).await.unwrap();
        runtime.die();
        assert_eq!(runtime.state(id).await.unwrap(), InstanceState::Absent);
        assert!(exits.try_recv().is_err());
        runtime.clean(id.deployment).await.unwrap();
        assert!(!runtime.ledger().last().unwrap().is_visible);
    }
}
