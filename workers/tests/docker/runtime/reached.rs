//! Where instances are reached, and what is seen of their ports.

use std::net::{IpAddr, SocketAddr};

use domain::service::release::InstanceId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use workers::runtime::{InstanceState, Runtime};

use crate::runtime::stage::{GRACE, Stage, until};

/// What a web server answers with.
async fn get(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET /passwd HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test]
async fn an_instance_is_reached_on_the_port_that_it_was_given() {
    let stage = Stage::new();
    let mut request = stage.instance("httpd -f -p $PORT -h /etc");
    let instance = stage.start(&request).await;
    assert_eq!(instance.address.port(), 8080);
    until("it answers", async || {
        get(instance.address).await.is_some_and(|answer| answer.contains("root:x:0:0"))
    })
    .await;
    assert_eq!(stage.runtime.listening(request.id).await.unwrap(), [8080]);
    assert_eq!(
        stage.runtime.organization_of(request.id.deployment).await.unwrap(),
        Some(request.environment.organization)
    );
    request.id = InstanceId { ordinal: 1, ..request.id };
    request.environment.port = Some(3000);
    let second = stage.start(&request).await;
    assert_eq!(second.address.port(), 3000);
    assert_ne!(second.address.ip(), instance.address.ip());
    assert_eq!(stage.engine.networks().await.len(), 1, "a service has one network");
    stage.runtime.clean(request.id.deployment).await.unwrap();
    stage.is_empty().await;
}

#[tokio::test]
async fn an_edge_on_another_machine_reaches_a_published_port() {
    let localhost: IpAddr = [127, 0, 0, 1].into();
    let stage = Stage::with(|settings| settings.publish = Some(localhost));
    let request = stage.instance("httpd -f -p $PORT -h /etc");
    let instance = stage.start(&request).await;
    assert_eq!(instance.address.ip(), localhost);
    until("it answers", async || get(instance.address).await.is_some()).await;
    let state = stage.runtime.state(request.id).await.unwrap();
    assert_eq!(state, InstanceState::Running { address: instance.address });
    stage.runtime.stop(request.id, GRACE).await.unwrap();
    stage.is_empty().await;
}

#[tokio::test]
async fn an_image_that_is_nowhere_is_said() {
    let stage = Stage::new();
    let mut request = stage.instance("true");
    let reference = format!("127.0.0.1:1/none@sha256:{}", "0".repeat(64));
    request.environment.files = workers::registry::Files::Image(reference.clone());
    let output = workers::output::Output::nowhere();
    let error = stage.runtime.start(domain::deployment::step::Fence(1), &request, output).await.unwrap_err();
    assert_eq!(error.code, "image_missing");
    assert!(error.message.contains(&reference) && error.message.contains("Deploy again"), "{error}");
    stage.is_empty().await;
}

/// An image that was built elsewhere: its own command, user, directory and port.
#[tokio::test]
async fn an_image_runs_as_it_says_itself() {
    let stage = Stage::new();
    let image = commit(&stage).await;
    let mut request = stage.instance("never used");
    request.start = domain::plan::Start::Image {};
    request.environment.files = workers::registry::Files::Image(image.clone());
    let instance = stage.start(&request).await;
    assert_eq!(instance.address.port(), 9000, "what it exposes");
    stage.wait_for("65534 in /etc on 9000").await;
    until("it answers", async || get(instance.address).await.is_some()).await;
    stage.runtime.stop(request.id, GRACE).await.unwrap();
    stage.is_empty().await;
    let options = None::<bollard::query_parameters::RemoveImageOptions>;
    stage.engine.client.remove_image(&image, options, None).await.unwrap();
}

async fn commit(stage: &Stage) -> String {
    let client = &stage.engine.client;
    let body = bollard::models::ContainerCreateBody {
        image: Some(crate::engine::BUSYBOX.into()),
        cmd: Some(vec!["true".into()]),
        ..Default::default()
    };
    let container = client
        .create_container(None::<bollard::query_parameters::CreateContainerOptions>, body)
        .await
        .unwrap()
        .id;
    let script = "echo $(id -u) in $(pwd) on $PORT; exec httpd -f -p 9000 -h /etc";
    let config = bollard::models::ContainerConfig {
        cmd: Some(["sh", "-c", script].map(str::to_owned).into()),
        user: Some("65534".into()),
        working_dir: Some("/etc".into()),
        exposed_ports: Some(vec!["9000/tcp".into()]),
        labels: Some(
            [("dev.switchback.installation".to_owned(), stage.engine.installation.to_string())].into(),
        ),
        ..Default::default()
    };
    let options = bollard::query_parameters::CommitContainerOptions {
        container: Some(container.clone()),
        ..Default::default()
    };
    let image = client.commit_container(options, config).await.unwrap().id;
    client.remove_container(&container, None).await.unwrap();
    image
}
