//! What every runtime does, whatever it runs instances with: one suite for all of them.
//!
//! Each case is a function over a [`Stage`], so that a test of an adapter is one line and has its own name.

use std::time::Duration;

use async_trait::async_trait;
use domain::command_line::CommandLine;
use domain::deployment::step::{Fence, Step};
use domain::id::DeploymentId;
use domain::service::release::{Instance, InstanceId};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::key::StepKey;
use crate::output::Output;
use crate::runtime::{Environment, Exit, InstanceRequest, InstanceState, Runtime, RuntimeError};

/// How long anything may take before a case fails.
const LIMIT: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(5);

/// What a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    /// Nothing, until it is told to end.
    Sleep,
    /// It ends with this status.
    Exit(u8),
}

/// A runtime, and how programs for it are written.
#[async_trait]
pub trait Stage: Send + Sync {
    /// The runtime.
    fn runtime(&self) -> &dyn Runtime;
    /// Another process of the platform with the same runtime below, where that is possible.
    fn other(&self) -> Option<&dyn Runtime> {
        None
    }
    /// A new instance.
    fn instance(&self, play: Play) -> InstanceRequest;
    /// A release command, and what it is given.
    fn command(&self, play: Play) -> (CommandLine, Environment);
    /// Sees to it that an instance that plays [`Play::Exit`] comes to its end.
    fn let_end(&self, _id: InstanceId) {}
}

async fn start(
    runtime: &dyn Runtime,
    fence: u32,
    request: &InstanceRequest,
) -> Result<Instance, RuntimeError> {
    runtime.start(Fence(fence), request, Output::nowhere()).await
}

async fn told(exits: &mut broadcast::Receiver<Exit>) -> Exit {
    let exit = tokio::time::timeout(LIMIT, exits.recv()).await;
    exit.expect("the end is told in time").expect("it is told")
}

async fn is_running(runtime: &dyn Runtime, instance: Instance) -> bool {
    let state = runtime.state(instance.id).await.expect("its state");
    state == InstanceState::Running { address: instance.address }
}

/// An instance is started once, found as often as it is asked for, and stopped once.
///
/// # Panics
/// When it is not so; like all cases.
pub async fn an_instance_is_started_once(stage: &dyn Stage) {
    let (runtime, request) = (stage.runtime(), stage.instance(Play::Sleep));
    assert_eq!(runtime.state(request.id).await.expect("its state"), InstanceState::Absent);
    let first = start(runtime, 1, &request).await.expect("it starts");
    assert_eq!(start(runtime, 1, &request).await.expect("it is found"), first);
    assert!(is_running(runtime, first).await);
    if let Some(other) = stage.other() {
        assert_eq!(start(other, 1, &request).await.expect("the other finds it"), first);
        assert!(is_running(other, first).await);
    }
    assert_eq!(runtime.list().await.expect("a list"), [request.id]);
    runtime.stop(request.id, GRACE).await.expect("it stops");
    runtime.stop(request.id, GRACE).await.expect("it is stopped already");
    assert_eq!(runtime.state(request.id).await.expect("its state"), InstanceState::Absent);
    assert_eq!(runtime.list().await.expect("a list"), []);
}

/// Workers that start the same instance at once get the same one.
///
/// # Panics
/// When it is not so.
pub async fn two_starts_at_once_are_one(stage: &dyn Stage) {
    let (runtime, request) = (stage.runtime(), stage.instance(Play::Sleep));
    let other = stage.other().unwrap_or(runtime);
    let (a, b, c) =
        tokio::join!(start(runtime, 1, &request), start(other, 1, &request), start(runtime, 1, &request));
    let (a, b, c) = (a.expect("it starts"), b.expect("it starts"), c.expect("it starts"));
    assert_eq!((a, a), (b, c));
    assert_eq!(runtime.list().await.expect("a list"), [request.id]);
    runtime.stop(request.id, GRACE).await.expect("it stops");
}

/// An end that nobody asked for is told, stays to be seen, and the instance can be started again.
///
/// # Panics
/// When it is not so.
pub async fn an_end_is_told_and_seen(stage: &dyn Stage) {
    let (runtime, request) = (stage.runtime(), stage.instance(Play::Exit(3)));
    let mut exits = runtime.exits();
    for _ in 0..2 {
        start(runtime, 1, &request).await.expect("it starts");
        stage.let_end(request.id);
        let how = "exit status 3".to_owned();
        assert_eq!(told(&mut exits).await, Exit { id: request.id, exit: how.clone() });
        let state = runtime.state(request.id).await.expect("its state");
        assert_eq!(state, InstanceState::Exited { exit: how });
        assert_eq!(runtime.list().await.expect("a list"), [request.id]);
    }
    runtime.stop(request.id, GRACE).await.expect("it is removed");
    assert_eq!(runtime.list().await.expect("a list"), []);
}

/// An end that was asked for is told to nobody, in whichever process it was asked for.
///
/// # Panics
/// When it is not so.
pub async fn a_stop_is_no_end(stage: &dyn Stage) {
    let runtime = stage.runtime();
    let mut exits = runtime.exits();
    for stopper in [Some(runtime), stage.other()].into_iter().flatten() {
        let request = stage.instance(Play::Sleep);
        start(runtime, 1, &request).await.expect("it starts");
        stopper.stop(request.id, GRACE).await.expect("it stops");
    }
    let after = stage.instance(Play::Exit(3));
    start(runtime, 1, &after).await.expect("it starts");
    stage.let_end(after.id);
    assert_eq!(told(&mut exits).await.id, after.id, "the first that is told");
    runtime.clean(after.id.deployment).await.expect("it is removed");
}

/// A worker that slept through the start of another is refused.
///
/// # Panics
/// When it is not so.
pub async fn an_earlier_worker_is_refused(stage: &dyn Stage) {
    let (runtime, request) = (stage.runtime(), stage.instance(Play::Sleep));
    let instance = start(runtime, 2, &request).await.expect("it starts");
    for early in [Some(runtime), stage.other()].into_iter().flatten() {
        let error = start(early, 1, &request).await.expect_err("it is refused");
        assert_eq!((error.code, error.permanent), ("fenced", true));
    }
    assert_eq!(start(runtime, 3, &request).await.expect("a later one finds it"), instance);
    assert!(is_running(runtime, instance).await);
    runtime.stop(request.id, GRACE).await.expect("it stops");
}

/// Cleaning ends all of a deployment, and nothing else.
///
/// # Panics
/// When it is not so.
pub async fn cleaning_leaves_others(stage: &dyn Stage) {
    let (runtime, first, other) = (stage.runtime(), stage.instance(Play::Sleep), stage.instance(Play::Sleep));
    let second = InstanceRequest { id: InstanceId { ordinal: 1, ..first.id }, ..first.clone() };
    for request in [&first, &second, &other] {
        start(runtime, 1, request).await.expect("it starts");
    }
    runtime.clean(first.id.deployment).await.expect("it is cleaned");
    runtime.clean(first.id.deployment).await.expect("it is clean already");
    assert_eq!(runtime.list().await.expect("a list"), [other.id]);
    runtime.stop(other.id, GRACE).await.expect("it stops");
}

async fn run(
    runtime: &dyn Runtime,
    key: StepKey,
    what: &(CommandLine, Environment),
) -> Result<(), RuntimeError> {
    let (command, given) = what;
    runtime.run(key, command, given, Output::nowhere(), &CancellationToken::new()).await
}

fn key(fence: u32) -> StepKey {
    StepKey { deployment: DeploymentId(uuid::Uuid::now_v7()), step: Step::Prepare, fence: Fence(fence) }
}

/// A command that was run with success is not run again, and an earlier worker's is refused.
///
/// # Panics
/// When it is not so.
pub async fn a_command_is_run_once(stage: &dyn Stage) {
    let (runtime, key) = (stage.runtime(), key(2));
    let command = stage.command(Play::Exit(0));
    for runner in [Some(runtime), Some(runtime), stage.other()].into_iter().flatten() {
        run(runner, key, &command).await.expect("it is run");
    }
    let early = StepKey { fence: Fence(1), ..key };
    for runner in [Some(runtime), stage.other()].into_iter().flatten() {
        assert_eq!(run(runner, early, &command).await.expect_err("it is refused").code, "fenced");
    }
    assert_eq!(runtime.list().await.expect("a list"), [], "a command is no instance");
    runtime.clean(key.deployment).await.expect("it is cleaned");
}

/// A command that is cancelled ends, and leaves nothing.
///
/// # Panics
/// When it is not so.
pub async fn a_command_can_be_cancelled(stage: &dyn Stage) {
    let (runtime, key) = (stage.runtime(), key(1));
    let (command, given) = stage.command(Play::Sleep);
    let cancel = CancellationToken::new();
    let running = runtime.run(key, &command, &given, Output::nowhere(), &cancel);
    let cancelled = async {
        tokio::task::yield_now().await;
        cancel.cancel();
    };
    let (result, ()) = tokio::time::timeout(LIMIT, async { tokio::join!(running, cancelled) })
        .await
        .expect("it ends when it is cancelled");
    assert_eq!(result.expect_err("it was cancelled").code, "release_command_cancelled");
    runtime.clean(key.deployment).await.expect("it is clean");
}

/// A test for each case, on a new stage each; `$stage` is an expression that makes one.
#[macro_export]
macro_rules! runtime_conformance {
    ($stage:expr) => {
        $crate::runtime_conformance! { $stage =>
            an_instance_is_started_once,
            two_starts_at_once_are_one,
            an_end_is_told_and_seen,
            a_stop_is_no_end,
            an_earlier_worker_is_refused,
            cleaning_leaves_others,
            a_command_is_run_once,
            a_command_can_be_cancelled
        }
    };
    ($stage:expr => $($case:ident),*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let stage = $stage;
            $crate::runtime::conformance::$case(&stage).await;
        }
    )*};
}
