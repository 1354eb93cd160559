//! A platform of its own for each test: a data directory, a supervisor, and the lines that steps say. At its
//! end nothing of it may run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::deployment::step::{Fence, Step};
use domain::digest::Digest;
use domain::id::{DeploymentId, ServiceId};
use domain::plan::{Language, Plan, Run, Start};
use domain::service::release::Build;
use domain::source::Source;
use eventlog::error::StoreError;
use eventlog::logs::{Line, LogName, LogStore, NewLine};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tempfile::TempDir;
use uuid::Uuid;
use workers::key::StepKey;
use workers::output::Output;
use workers::process::Supervisor;
use workers::registry::{Files, Registry, RegistryError};

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The platform's executable.
const STAND_IN: &str = env!("CARGO_BIN_EXE_workers-stand-in");

pub(crate) struct Platform {
    pub(crate) data: TempDir,
    pub(crate) supervisor: Supervisor,
    pub(crate) deployment: DeploymentId,
    lines: Arc<Lines>,
}

impl Platform {
    pub(crate) fn new() -> Self {
        Self {
            data: tempfile::tempdir().expect("a directory"),
            supervisor: Supervisor::new(STAND_IN, &Uuid::now_v7().to_string()),
            deployment: DeploymentId(Uuid::now_v7()),
            lines: Arc::default(),
        }
    }

    pub(crate) fn key(&self, step: Step, fence: u32) -> StepKey {
        StepKey { deployment: self.deployment, step, fence: Fence(fence) }
    }

    /// Where the deployment's files are built.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.data.path().join("builds").join(self.deployment.to_string()).join("app")
    }

    /// A place for lines, which [`Self::lines`] gives back.
    pub(crate) fn output(&self) -> Output {
        let (output, store) = Output::to(self.lines.clone(), LogName::Build(self.deployment), "test");
        tokio::spawn(store);
        output
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.0.lock().expect("not poisoned").iter().map(|line| line.text.clone()).collect()
    }

    /// Waits until a line begins like this.
    pub(crate) async fn wait_for(&self, begin: &str) {
        let wait = async {
            while !self.lines().iter().any(|line| line.starts_with(begin)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        waited.unwrap_or_else(|_| panic!("no line begins with {begin:?}: {:?}", self.lines()));
    }

    /// All lines, once one begins like this.
    pub(crate) async fn lines_after(&self, begin: &str) -> Vec<String> {
        self.wait_for(begin).await;
        self.lines()
    }

    /// Waits until nothing of it runs any more, for a second at most.
    pub(crate) async fn quiet(&self) {
        let wait = async {
            while !self.supervisor.names().expect("/proc").is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(1), wait).await.expect("nothing runs");
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let left = self.supervisor.sweep(|_| false).expect("swept");
        if !std::thread::panicking() {
            assert_eq!(left, [].into(), "processes were left");
        }
    }
}

/// The environment of the tests, from which the settings take what they pass on.
pub(crate) fn environment() -> BTreeMap<String, String> {
    std::env::vars().collect()
}

#[derive(Default)]
struct Lines(Mutex<Vec<NewLine>>);

#[async_trait]
impl LogStore for Lines {
    async fn append(&self, _: LogName, lines: Vec<NewLine>) -> Result<(), StoreError> {
        self.0.lock().expect("not poisoned").extend(lines);
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

/// Where a registry says that an artifact is.
pub(crate) async fn located(registry: &dyn Registry, artifact: &Digest) -> Result<PathBuf, RegistryError> {
    let source = Source::Upload { digest: artifact.clone(), revision: None };
    let plan = Plan {
        language: Language::Other,
        detected_by: String::new(),
        root: String::new(),
        dockerfile: None,
        install: vec![],
        build: vec![],
        run: Run::new(Start::Static { directory: ".".into() }),
    };
    let build = Build { artifact: artifact.clone(), source, revision: None, plan };
    Ok(match registry.locate(ServiceId(Uuid::nil()), &build).await? {
        Files::Directory(directory) => directory,
        Files::Image(image) => panic!("an image: {image}"),
    })
}
