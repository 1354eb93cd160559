//! Builds in a real engine.

mod dockerfile;
mod generated;
mod hostile;
mod secrets;
mod stopped;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::deployment::step::{Fence, Step};
use domain::digest::Digest;
use domain::id::{DeploymentId, ServiceId};
use domain::plan::Plan;
use domain::secret::Secret;
use domain::source::Source;
use eventlog::error::StoreError;
use eventlog::logs::{Line, LogName, LogStore, NewLine};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workers::builder::docker::{BaseImages, DockerBuilder, Engine, Settings, tag};
use workers::builder::{BuildError, BuildRequest, Builder};
use workers::key::StepKey;
use workers::output::Output;

use crate::engine::{BUSYBOX, LIMIT, TestEngine};

/// A deployment that is built.
pub(crate) struct Workshop {
    pub(crate) engine: TestEngine,
    pub(crate) builder: DockerBuilder,
    pub(crate) request: BuildRequest,
    data: TempDir,
    lines: Arc<Lines>,
}

impl Workshop {
    /// With the files of one deployment.
    pub(crate) fn new(tree: &[(&str, &str)]) -> Self {
        Self::with(tree, |_| {})
    }

    pub(crate) fn with(tree: &[(&str, &str)], change: impl FnOnce(&mut Settings)) -> Self {
        let engine = TestEngine::new();
        let data = tempfile::tempdir().unwrap();
        let address = Engine::at(&engine.url).unwrap();
        let installation = engine.installation.to_string();
        let mut settings = Settings::new(address, installation, data.path().to_owned());
        settings.bases = BaseImages::all(&BUSYBOX.parse().unwrap());
        change(&mut settings);
        let deployment = DeploymentId(Uuid::now_v7());
        let request = BuildRequest {
            service: ServiceId(Uuid::now_v7()),
            deployment,
            source: Source::Upload { digest: Digest::from_sha256([0; 32]), revision: None },
            revision: None,
            directory: data.path().join(deployment.to_string()).join("app"),
            variables: BTreeMap::new(),
            fresh: false,
        };
        let workshop =
            Self { builder: DockerBuilder::new(settings), engine, request, data, lines: Arc::default() };
        workshop.write(tree);
        workshop
    }

    pub(crate) fn write(&self, tree: &[(&str, &str)]) {
        for (name, text) in tree {
            let path = self.request.directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    pub(crate) fn variables(mut self, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
        self.request.variables = variables.collect();
        self
    }

    /// Another deployment of the same service.
    pub(crate) fn next(&mut self, tree: &[(&str, &str)]) {
        self.request.deployment = DeploymentId(Uuid::now_v7());
        self.request.directory = self.data.path().join(self.request.deployment.to_string()).join("app");
        self.lines.0.lock().unwrap().clear();
        self.write(tree);
    }

    /// A deployment of another service.
    pub(crate) fn other_service(&mut self, tree: &[(&str, &str)]) {
        self.request.service = ServiceId(Uuid::now_v7());
        self.next(tree);
    }

    pub(crate) fn output(&self) -> Output {
        let (output, store) = Output::to(self.lines.clone(), LogName::Build(self.request.deployment), "test");
        tokio::spawn(store);
        output
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.0.lock().unwrap().iter().map(|line| line.text.clone()).collect()
    }

    /// Waits until a line begins like this.
    pub(crate) async fn wait_for(&self, begin: &str) {
        let wait = async {
            while !self.lines().iter().any(|line| line.starts_with(begin)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        waited.unwrap_or_else(|_| panic!("no line begins with {begin:?}: {:#?}", self.lines()));
    }

    pub(crate) fn key(&self, step: Step, fence: u32) -> StepKey {
        StepKey { deployment: self.request.deployment, step, fence: Fence(fence) }
    }

    pub(crate) async fn detect(&self) -> Result<Plan, BuildError> {
        self.builder.detect(&self.request, &self.output()).await
    }

    pub(crate) async fn build(&self) -> Result<Plan, BuildError> {
        let plan = self.detect().await?;
        self.build_by(&plan, &CancellationToken::new()).await?;
        Ok(plan)
    }

    pub(crate) async fn build_by(&self, plan: &Plan, cancel: &CancellationToken) -> Result<(), BuildError> {
        let key = self.key(Step::Build, 1);
        self.builder.build(key, &self.request, plan, &self.output(), cancel).await
    }

    /// Builds, and shows what was printed when that fails.
    pub(crate) async fn built(&self) -> Plan {
        self.build().await.unwrap_or_else(|error| panic!("{error} {error:?}: {:#?}", self.lines()))
    }

    pub(crate) fn image(&self) -> String {
        tag(self.request.deployment)
    }

    /// The files of the image, by their paths.
    pub(crate) async fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files_of(&self.engine, &self.image()).await.1
    }

    pub(crate) async fn exists(&self) -> bool {
        self.engine.client.inspect_image(&self.image()).await.is_ok()
    }

    pub(crate) fn directory_is_gone(&self) -> bool {
        !self.request.directory.exists()
    }
}

/// Everything in an image as the engine exports it: all bytes, and the files of the topmost layers.
pub(crate) async fn files_of(engine: &TestEngine, image: &str) -> (Vec<u8>, BTreeMap<String, Vec<u8>>) {
    let mut exported = vec![];
    let mut stream = Box::pin(engine.client.export_image(image));
    while let Some(piece) = stream.next().await {
        exported.extend_from_slice(&piece.unwrap());
    }
    let directory = tempfile::tempdir().unwrap();
    tar::Archive::new(exported.as_slice()).unpack(directory.path()).unwrap();
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.path().join("manifest.json")).unwrap()).unwrap();
    let mut files = BTreeMap::new();
    let mut everything = exported.clone();
    for layer in manifest[0]["Layers"].as_array().unwrap() {
        let bytes = fs::read(directory.path().join(layer.as_str().unwrap())).unwrap();
        everything.extend_from_slice(&bytes);
        read_layer(&bytes, &mut files);
    }
    (everything, files)
}

fn read_layer(bytes: &[u8], files: &mut BTreeMap<String, Vec<u8>>) {
    use std::io::Read;
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = Path::new("/").join(entry.path().unwrap()).display().to_string();
        let mut content = vec![];
        entry.read_to_end(&mut content).unwrap();
        files.insert(path, content);
    }
}

#[derive(Default)]
struct Lines(Mutex<Vec<NewLine>>);

#[async_trait]
impl LogStore for Lines {
    async fn append(&self, _: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        self.0.lock().unwrap().extend(lines);
        Ok(())
    }

    async fn append_new(&self, log: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        self.append(log, lines).await
    }

    async fn read(&self, _: LogName, _: u64, _: usize) -> Result<Vec<Line>, StoreError> {
        Ok(vec![])
    }

    async fn last(&self, _: LogName, _: usize) -> Result<Vec<Line>, StoreError> {
        Ok(vec![])
    }

    async fn follow(&self, _: LogName, _: u64) -> BoxStream<'static, Result<Line, StoreError>> {
        stream::empty().boxed()
    }

    async fn remove(&self, _: LogName) -> Result<(), StoreError> {
        Ok(())
    }
}
