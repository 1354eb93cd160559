//! Release commands: a container of their own, run once to its end.

use domain::deployment::step::{Fence, Step};
use domain::id::DeploymentId;
use domain::secret::Secret;
use tokio_util::sync::CancellationToken;
use workers::key::StepKey;
use workers::runtime::{Runtime, RuntimeError};

use crate::engine::LIMIT;
use crate::runtime::stage::{Stage, until};

fn key(fence: u32) -> StepKey {
    let deployment = DeploymentId(uuid::Uuid::now_v7());
    StepKey { deployment, step: Step::Prepare, fence: Fence(fence) }
}

async fn run(stage: &Stage, runtime: &dyn Runtime, key: StepKey, script: &str) -> Result<(), RuntimeError> {
    let mut environment = stage.environment();
    environment.variables.insert("SCRIPT".into(), Secret::new(script));
    let command = "sh -c $SCRIPT".parse().unwrap();
    runtime.run(key, &command, &environment, stage.output(), &CancellationToken::new()).await
}

#[tokio::test]
async fn a_command_runs_with_the_variables_and_without_a_port() {
    let stage = Stage::new();
    let key = key(1);
    run(&stage, &stage.runtime, key, "echo release $SWITCHBACK_RELEASE port $PORT.").await.unwrap();
    stage.wait_for("release v1 port .").await;
    // Nor by the next platform: this one may have died before it told anybody.
    run(&stage, &stage.other(), key, "echo again").await.unwrap();
    stage.wait_for("it was run to its end by an earlier attempt").await;
    assert_eq!(stage.printed().await, ["release v1 port ."]);
    stage.runtime.clean(key.deployment).await.unwrap();
    stage.is_empty().await;
}

#[tokio::test]
async fn a_command_that_fails_is_told_with_its_status_and_may_be_tried_again() {
    let stage = Stage::new();
    let key = key(1);
    for _ in 0..2 {
        let error = run(&stage, &stage.runtime, key, "echo why; exit 3").await.unwrap_err();
        assert_eq!((error.code, error.permanent), ("release_command_failed", true));
        assert_eq!(error.message, "the release command `sh -c $SCRIPT` ended with exit status 3");
    }
    until("both are heard", async || stage.printed().await == ["why", "why"]).await;
    assert_eq!(stage.engine.containers().await, Vec::<String>::new());
    run(&stage, &stage.runtime, key, "true").await.unwrap();
    stage.runtime.clean(key.deployment).await.unwrap();
    stage.is_empty().await;
}

#[tokio::test]
async fn a_command_of_a_worker_that_was_replaced_is_ended_by_the_next() {
    let stage = Stage::new();
    let other = stage.other();
    let (first, second) = (key(1), 2);
    let second = StepKey { fence: Fence(second), ..first };
    let slow = run(&stage, &stage.runtime, first, "echo begun; sleep 1000");
    let later = async {
        stage.wait_for("begun").await;
        run(&stage, &other, second, "echo mine").await
    };
    let both = tokio::time::timeout(LIMIT, async { tokio::join!(slow, later) });
    let (slow, later) = both.await.expect("both end");
    assert_eq!(slow.unwrap_err().code, "fenced");
    later.unwrap();
    stage.wait_for("mine").await;
    stage.runtime.clean(first.deployment).await.unwrap();
    stage.is_empty().await;
}

#[tokio::test]
async fn a_command_that_is_given_up_or_cancelled_leaves_nothing() {
    let stage = Stage::new();
    let key = key(1);
    tokio::select! {
        result = run(&stage, &stage.runtime, key, "echo begun; sleep 1000") => panic!("it ended: {result:?}"),
        () = stage.wait_for("begun") => {}
    }
    until("its container is gone", async || stage.engine.containers().await.is_empty()).await;
    let cancel = CancellationToken::new();
    let command = "sleep 1000".parse().unwrap();
    let environment = stage.environment();
    let running = stage.runtime.run(key, &command, &environment, stage.output(), &cancel);
    let cancelling = async {
        until("it runs", async || !stage.engine.containers().await.is_empty()).await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(running, cancelling);
    assert_eq!(result.unwrap_err().code, "release_command_cancelled");
    assert_eq!(stage.engine.containers().await, Vec::<String>::new());
    stage.runtime.clean(key.deployment).await.unwrap();
}

#[tokio::test]
async fn the_note_of_a_command_goes_with_the_last_instance() {
    let stage = Stage::new();
    let request = stage.instance("sleep 1000");
    let key = StepKey { deployment: request.id.deployment, ..key(1) };
    run(&stage, &stage.runtime, key, "true").await.unwrap();
    stage.start(&request).await;
    assert_eq!(stage.engine.containers().await.len(), 2);
    stage.runtime.stop(request.id, crate::runtime::stage::GRACE).await.unwrap();
    stage.is_empty().await;
}
