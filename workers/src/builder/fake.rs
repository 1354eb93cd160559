//! A builder for tests: it runs nothing, and writes down what it was asked for.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use domain::id::DeploymentId;
use domain::plan::{Language, Plan, Run, Start};
use tokio_util::sync::CancellationToken;

use crate::builder::{BuildError, BuildRequest, Builder};
use crate::disk;
use crate::key::StepKey;
use crate::ledger::{Ledger, Operation, Refusal};
use crate::output::Output;
use crate::registry::fake;

/// The builder for tests. A build leaves one file, `built`.
#[derive(Debug)]
pub struct FakeBuilder {
    ledger: Ledger,
    builds: PathBuf,
    plan: Mutex<Plan>,
}

impl FakeBuilder {
    /// Writes into a ledger; builds are in `<builds>/<deployment>/app`.
    #[must_use]
    pub fn new(ledger: Ledger, builds: impl Into<PathBuf>) -> Self {
        let plan = Plan {
            language: Language::Static,
            detected_by: "a fake".into(),
            root: String::new(),
            dockerfile: None,
            install: vec![],
            build: vec![],
            run: Run::new(Start::Static { directory: ".".into() }),
        };
        Self { ledger, builds: builds.into(), plan: Mutex::new(plan) }
    }

    /// From now on this is what it detects.
    pub fn detects(&self, plan: Plan) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }
}

fn error(refusal: Refusal) -> BuildError {
    let permanent = refusal.is_permanent();
    BuildError {
        code: "build_failed",
        message: refusal.to_string(),
        permanent,
        source: Some(Box::new(refusal)),
    }
}

fn of_disk(source: std::io::Error) -> BuildError {
    let message = "the disk of the test cannot be written".into();
    BuildError { code: "build_failed", message, permanent: false, source: Some(Box::new(source)) }
}

#[async_trait]
impl Builder for FakeBuilder {
    async fn detect(&self, request: &BuildRequest, _: &Output) -> Result<Plan, BuildError> {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let operation = Operation::Detect(request.deployment);
        self.ledger.perform(operation, None, None, || (plan, false)).await.map_err(error)
    }

    async fn build(
        &self,
        key: StepKey,
        request: &BuildRequest,
        _: &Plan,
        _: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), BuildError> {
        let effect = || {
            let file = request.directory.join("built");
            let is_visible = !file.exists();
            (fs::create_dir_all(&request.directory).and_then(|()| fs::write(file, "")), is_visible)
        };
        let operation = Operation::Build(key.deployment);
        let built = self.ledger.perform(operation, Some(key), Some(cancel), effect).await.map_err(error)?;
        built.map_err(of_disk)
    }

    async fn clean(&self, deployment: DeploymentId) -> Result<(), BuildError> {
        let directory = self.builds.join(deployment.to_string());
        let effect = || {
            let is_taken = fake::has_taken(&directory.join("app"));
            let is_visible = directory.exists() && !is_taken;
            (if is_taken { Ok(()) } else { disk::remove(&directory) }, is_visible)
        };
        let cleaned =
            self.ledger.perform(Operation::Clean(deployment), None, None, effect).await.map_err(error)?;
        cleaned.map_err(of_disk)
    }
}
