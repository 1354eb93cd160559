//! What a worker that was killed half-way leaves, and what is none of ours.

use std::collections::HashMap;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptions;
use domain::deployment::step::Fence;
use workers::output::Output;
use workers::runtime::{InstanceRequest, InstanceState, Runtime};

use crate::engine::BUSYBOX;
use crate::runtime::stage::{GRACE, Stage};

async fn create(stage: &Stage, request: &InstanceRequest, labels: &[(&str, String)]) -> String {
    let name = Some(format!("switchback-{}-{}", request.id.deployment, request.id.ordinal));
    let labels: HashMap<String, String> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let body = ContainerCreateBody {
        image: Some(BUSYBOX.into()),
        cmd: Some(vec!["true".into()]),
        labels: Some(labels),
        ..Default::default()
    };
    let options = CreateContainerOptions { name, ..Default::default() };
    stage.engine.client.create_container(Some(options), body).await.unwrap().id
}

fn labels(stage: &Stage, request: &InstanceRequest, fence: u32) -> Vec<(&'static str, String)> {
    vec![
        ("dev.switchback.installation", stage.engine.installation.to_string()),
        ("dev.switchback.deployment", request.id.deployment.to_string()),
        ("dev.switchback.service", request.environment.service.to_string()),
        ("dev.switchback.instance", request.id.ordinal.to_string()),
        ("dev.switchback.fence", fence.to_string()),
    ]
}

#[tokio::test]
async fn a_container_that_was_made_and_not_started_is_made_anew() {
    let stage = Stage::new();
    let request = stage.instance("sleep 1000");
    let left = create(&stage, &request, &labels(&stage, &request, 1)).await;
    assert_eq!(stage.runtime.state(request.id).await.unwrap(), InstanceState::Absent);
    assert_eq!(stage.runtime.list().await.unwrap(), [request.id], "so that somebody removes it");
    let instance = stage.start(&request).await;
    let running = InstanceState::Running { address: instance.address };
    assert_eq!(stage.runtime.state(request.id).await.unwrap(), running);
    assert!(!stage.engine.containers().await.contains(&left));
    stage.runtime.stop(request.id, GRACE).await.unwrap();
    stage.is_empty().await;
}

#[tokio::test]
async fn a_container_of_a_later_worker_is_left_alone() {
    let stage = Stage::new();
    let request = stage.instance("sleep 1000");
    let left = create(&stage, &request, &labels(&stage, &request, 5)).await;
    let error = stage.runtime.start(Fence(4), &request, Output::nowhere()).await.unwrap_err();
    assert_eq!(error.code, "fenced");
    assert_eq!(stage.engine.containers().await, [left]);
    stage.runtime.clean(request.id.deployment).await.unwrap();
}

#[tokio::test]
async fn what_is_not_ours_is_never_touched() {
    let stage = Stage::new();
    let request = stage.instance("sleep 1000");
    let foreign = create(&stage, &request, &[]).await;
    let error = stage.runtime.start(Fence(1), &request, Output::nowhere()).await.unwrap_err();
    assert!(error.permanent && error.message.contains("belongs to somebody else"), "{error}");
    assert_eq!(stage.runtime.state(request.id).await.unwrap(), InstanceState::Absent);
    stage.runtime.stop(request.id, GRACE).await.unwrap();
    stage.runtime.clean(request.id.deployment).await.unwrap();
    let client = &stage.engine.client;
    client.inspect_container(&foreign, None).await.expect("it is still there");
    client.remove_container(&foreign, None).await.unwrap();
}

#[tokio::test]
async fn instances_outlive_the_platform() {
    let stage = Stage::new();
    let request = stage.instance("sleep 1000");
    let instance = {
        let platform = stage.other();
        platform.start(Fence(1), &request, Output::nowhere()).await.unwrap()
    };
    let running = InstanceState::Running { address: instance.address };
    assert_eq!(stage.runtime.state(request.id).await.unwrap(), running);
    assert_eq!(stage.runtime.start(Fence(1), &request, Output::nowhere()).await.unwrap(), instance);
    stage.runtime.stop(request.id, GRACE).await.unwrap();
    stage.is_empty().await;
}
