//! An installation of its own in the engine for each test: what carries its label is gone afterwards.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::{
    ListContainersOptions, ListImagesOptions, ListNetworksOptions, RemoveContainerOptions, RemoveImageOptions,
};
use bollard::{ClientVersion, Docker};
use uuid::Uuid;

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// One program under many names, about 2 MB.
pub(crate) const BUSYBOX: &str = "switchback-test/busybox:latest";
const LABEL: &str = "dev.switchback.installation";

/// The engine, and an installation in it.
pub(crate) struct TestEngine {
    pub(crate) url: String,
    pub(crate) installation: Uuid,
    pub(crate) client: Docker,
}

impl TestEngine {
    pub(crate) fn new() -> Self {
        let url = std::env::var("SWITCHBACK_TEST_DOCKER")
            .expect("SWITCHBACK_TEST_DOCKER names a Docker Engine; `cargo xtask test` starts one");
        Self::at(url)
    }

    /// In an engine of the test's own.
    pub(crate) fn at(url: String) -> Self {
        let client = connect(&url);
        Self { url, installation: Uuid::now_v7(), client }
    }

    fn label(&self) -> String {
        format!("{LABEL}={}", self.installation)
    }

    /// The ids of this installation's containers.
    pub(crate) async fn containers(&self) -> Vec<String> {
        containers(&self.client, &self.label()).await
    }

    /// The names of this installation's networks.
    pub(crate) async fn networks(&self) -> Vec<String> {
        networks(&self.client, &self.label()).await
    }
}

fn connect(url: &str) -> Docker {
    let version = ClientVersion { major_version: 1, minor_version: 41 };
    let path = url.strip_prefix("unix://").expect("it begins with unix://");
    Docker::connect_with_unix(path, LIMIT.as_secs(), &version).expect("its address is understood")
}

fn filters(label: &str) -> Option<HashMap<String, Vec<String>>> {
    Some(HashMap::from([("label".to_owned(), vec![label.to_owned()])]))
}

async fn containers(client: &Docker, label: &str) -> Vec<String> {
    let options = ListContainersOptions { all: true, filters: filters(label), ..Default::default() };
    let found = client.list_containers(Some(options)).await.unwrap_or_default();
    found.into_iter().filter_map(|container| container.id).collect()
}

async fn networks(client: &Docker, label: &str) -> Vec<String> {
    let options = ListNetworksOptions { filters: filters(label) };
    let found = client.list_networks(Some(options)).await.unwrap_or_default();
    found.into_iter().filter_map(|network| network.name).collect()
}

async fn clean(client: &Docker, label: &str) {
    for id in containers(client, label).await {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        let _ = client.remove_container(&id, Some(options)).await;
    }
    for name in networks(client, label).await {
        let found = client.inspect_network(&name, None).await.ok().and_then(|network| network.options);
        let _ = client.remove_network(&name).await;
        if let Some(bridge) = found.and_then(|mut it| it.remove("com.docker.network.bridge.name")) {
            for (flag, to) in [("-d", "169.254.0.0/16"), ("-o", "sb-+")] {
                let rule = ["-w", "-D", "DOCKER-USER", "-i", &bridge, flag, to, "-j", "REJECT"];
                let _ = std::process::Command::new("/usr/sbin/iptables").args(rule).output();
            }
        }
    }
    let options = ListImagesOptions { all: false, filters: filters(label), ..Default::default() };
    for image in client.list_images(Some(options)).await.unwrap_or_default() {
        let options = RemoveImageOptions { force: true, ..Default::default() };
        let _ = client.remove_image(&image.id, Some(options), None).await;
    }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        // The runtime of the test cannot be waited for from here.
        let (url, label) = (self.url.clone(), self.label());
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let _ = tokio::time::timeout(LIMIT, clean(&connect(&url), &label)).await;
            });
        });
        let _ = cleaning.join();
    }
}
