//! How ends are said, and that none is missed.

use domain::deployment::step::Fence;
use workers::output::Output;
use workers::runtime::{Exit, InstanceState, Runtime};

use crate::engine::LIMIT;
use crate::runtime::stage::{GRACE, Stage, until};

#[tokio::test]
async fn an_instance_that_needs_too_much_memory_is_said_to() {
    let stage = Stage::new();
    let mut request = stage.instance("tail /dev/zero");
    request.environment.memory_bytes = Some(16 * 1024 * 1024);
    let (exit, _) = stage.run(&request).await;
    assert_eq!(exit.exit, "killed: out of memory (limit 16 MiB)");
    stage.is_empty().await;
}

#[tokio::test]
async fn a_program_that_is_not_in_the_image_is_said() {
    let stage = Stage::new();
    let (exit, printed) = stage.run(&stage.instance("gunicorn app:app")).await;
    assert_eq!(exit.exit, "exit status 127: there is no such program in the image", "{printed:?}");
    let (exit, _) = stage.run(&stage.script("kill -9 $$")).await;
    assert_eq!(exit.exit, "signal 9 (SIGKILL)");
}

#[tokio::test]
async fn an_end_is_told_to_every_process_of_the_platform() {
    let stage = Stage::new();
    let other = stage.other();
    other.list().await.unwrap(); // It is connected, and hears.
    let mut exits = other.exits();
    let request = stage.instance("sh -c 'exit 7'");
    stage.runtime.start(Fence(1), &request, Output::nowhere()).await.unwrap();
    let exit = tokio::time::timeout(LIMIT, exits.recv()).await.expect("in time").unwrap();
    assert_eq!(exit, Exit { id: request.id, exit: "exit status 7".into() });
    stage.runtime.stop(request.id, GRACE).await.unwrap();
}

#[tokio::test]
async fn an_end_that_nobody_heard_is_seen() {
    let stage = Stage::new();
    let request = stage.instance("sh -c 'exit 7'");
    {
        let gone = stage.other();
        gone.start(Fence(1), &request, Output::nowhere()).await.unwrap();
    }
    until("it has ended", async || {
        stage.runtime.state(request.id).await.unwrap()
            == InstanceState::Exited { exit: "exit status 7".into() }
    })
    .await;
    assert_eq!(stage.runtime.list().await.unwrap(), [request.id]);
    stage.runtime.stop(request.id, GRACE).await.unwrap();
    stage.is_empty().await;
}

#[tokio::test]
async fn the_engine_of_this_machine_has_holes_that_are_named() {
    let stage = Stage::new();
    let version = stage.engine.client.version().await.unwrap().version.unwrap();
    let warnings = stage.runtime.warnings().await.unwrap();
    let is_old = version.starts_with("20.");
    assert_eq!(warnings.iter().any(|line| line.contains(&version)), is_old, "{version}: {warnings:?}");
}
