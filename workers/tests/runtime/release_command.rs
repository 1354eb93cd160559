//! Release commands: run to their end, once, and ended with everything they started.

use std::time::Duration;

use domain::command_line::CommandLine;
use domain::deployment::step::{Fence, Step};
use domain::id::DeploymentId;
use switchback_workers::key::StepKey;
use switchback_workers::output::Output;
use switchback_workers::runtime::process::ProcessRuntime;
use switchback_workers::runtime::{Runtime, RuntimeError};
use tokio_util::sync::CancellationToken;

use crate::installation::{Installation, until};
use crate::recorder::Recorder;

fn key(fence: u32) -> StepKey {
    let deployment = DeploymentId(uuid::Uuid::now_v7());
    StepKey { deployment, step: Step::Prepare, fence: Fence(fence) }
}

fn command(words: &str) -> CommandLine {
    format!("@ program {words}").parse().expect("a command")
}

async fn run(
    installation: &Installation,
    runtime: &ProcessRuntime,
    key: StepKey,
    words: &str,
) -> Result<(), RuntimeError> {
    let environment = installation.environment(&[("A", "b")]);
    let cancel = CancellationToken::new();
    runtime.run(key, &command(words), &environment, Output::nowhere(), &cancel).await
}

#[tokio::test]
async fn a_command_runs_with_the_variables_and_without_a_port() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let (recorder, output, stored) = Recorder::start();
    let environment = installation.environment(&[("A", "b")]);
    let cancel = CancellationToken::new();
    runtime.run(key(1), &command("environment"), &environment, output, &cancel).await.unwrap();
    stored.await.unwrap();
    let lines = recorder.lines();
    let names: Vec<_> = lines.iter().filter_map(|line| line.split('=').next()).collect();
    assert_eq!(names, ["A", "HOME", "LANG", "PATH", "SWITCHBACK_PROCESS", "TMPDIR"]);
}

#[tokio::test]
async fn a_command_that_was_run_with_success_is_not_run_again() {
    let installation = Installation::new();
    let (key, file) = (key(1), installation.data.path().join("runs"));
    let words = format!("touch {}", file.display());
    let runs = || std::fs::read_to_string(&file).unwrap().lines().count();
    // Also by the next platform: this one may have died before it told anybody.
    for _ in 0..2 {
        let runtime = installation.runtime();
        run(&installation, &runtime, key, &words).await.unwrap();
        run(&installation, &runtime, key, &words).await.unwrap();
    }
    assert_eq!(runs(), 1);
    let runtime = installation.runtime();
    runtime.clean(key.deployment).await.unwrap();
    assert_eq!(installation.left(), Vec::<String>::new());
    run(&installation, &runtime, key, &words).await.unwrap();
    assert_eq!(runs(), 2);
}

#[tokio::test]
async fn a_command_that_fails_is_told_with_its_status_and_may_be_tried_again() {
    let installation = Installation::new();
    let (runtime, key) = (installation.runtime(), key(1));
    for _ in 0..2 {
        let error = run(&installation, &runtime, key, "exit 3").await.unwrap_err();
        assert_eq!((error.code, error.permanent), ("release_command_failed", true));
        assert_eq!(error.message, "the release command `@ program exit 3` ended with exit status 3");
    }
    let error = run(&installation, &runtime, key, "exit 0 && none").await.unwrap_err();
    assert!(error.message.contains("there is no program `none`"), "{error}");
    assert_eq!(installation.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_command_that_is_not_there_is_refused() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let cancel = CancellationToken::new();
    let environment = installation.environment(&[]);
    let command = "migrate --all".parse().unwrap();
    let error = runtime.run(key(1), &command, &environment, Output::nowhere(), &cancel).await.unwrap_err();
    assert_eq!((error.code, error.permanent), ("program_not_found", true));
    assert_eq!(installation.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_command_that_is_cancelled_is_ended_with_everything_it_started() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let (recorder, output, _stored) = Recorder::start();
    let environment = installation.environment(&[]);
    let cancel = CancellationToken::new();
    let command = command("family x hidden");
    let run = runtime.run(key(1), &command, &environment, output, &cancel);
    let cancelled = async {
        recorder.wait_for("ready", 5).await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(run, cancelled);
    assert_eq!(result.unwrap_err().code, "release_command_cancelled");
    assert_eq!(installation.supervisor.names().unwrap(), [].into());
    assert_eq!(installation.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_command_that_is_given_up_is_ended_by_the_next_attempt() {
    let installation = Installation::new();
    let (runtime, key) = (installation.runtime(), key(1));
    let file = installation.data.path().join("runs");
    let words = format!("touch {} wait", file.display());
    let given_up = async {
        until("it runs", || file.exists()).await;
    };
    tokio::select! {
        result = run(&installation, &runtime, key, &words) => panic!("it ended: {result:?}"),
        () = given_up => {}
    }
    run(&installation, &runtime, key, "exit 0").await.unwrap();
    installation.gone().await;
    assert_eq!(installation.left().len(), 1, "only the note: {:?}", installation.left());
}

#[tokio::test]
async fn a_worker_that_was_replaced_is_refused_and_its_command_is_ended() {
    let installation = Installation::new();
    let (runtime, key) = (installation.runtime(), key(1));
    let later = StepKey { fence: Fence(2), ..key };
    let file = installation.data.path().join("runs");
    let words = format!("touch {} wait", file.display());
    let first = run(&installation, &runtime, key, &words);
    let second = async {
        until("the first runs", || file.exists()).await;
        run(&installation, &runtime, later, "exit 0").await
    };
    let both = tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(first, second) });
    let (first, second) = both.await.expect("both end");
    assert_eq!(first.unwrap_err().code, "fenced");
    second.unwrap();
    assert_eq!(run(&installation, &runtime, key, "exit 0").await.unwrap_err().code, "fenced");
}
