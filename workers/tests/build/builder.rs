//! Builds: their commands, limits and traces, and real ones in each language.

mod languages;
mod limits;
mod outcome;
mod output;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use domain::deployment::step::Step;
use domain::digest::Digest;
use domain::id::ServiceId;
use domain::plan::{Language, Plan, Run, Start};
use domain::secret::Secret;
use domain::source::Source;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workers::builder::process::{ProcessBuilder, Settings};
use workers::builder::{BuildError, BuildRequest, Builder};
use workers::disk::Reserve;

use crate::files;
use crate::platform::{Platform, environment};

/// A platform that builds.
struct Workshop {
    platform: Platform,
    builder: ProcessBuilder,
    request: BuildRequest,
}

impl Workshop {
    /// With the files of one deployment.
    fn new(tree: &[(&str, &str)]) -> Self {
        Self::with(tree, |_| {})
    }

    fn with(tree: &[(&str, &str)], change: impl FnOnce(&mut Settings)) -> Self {
        let platform = Platform::new();
        let mut settings = Settings::new(platform.data.path(), &environment());
        settings.reserve = Reserve { bytes: 0, percent: 0 };
        change(&mut settings);
        let request = BuildRequest {
            service: ServiceId(Uuid::now_v7()),
            deployment: platform.deployment,
            source: Source::Upload { digest: Digest::from_sha256([0; 32]), revision: None },
            revision: None,
            directory: platform.workspace(),
            variables: BTreeMap::new(),
            fresh: false,
        };
        fs::create_dir_all(&request.directory).expect("made");
        files::write(&request.directory, tree);
        Self { builder: ProcessBuilder::new(settings, platform.supervisor.clone()), platform, request }
    }

    fn variables(mut self, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
        self.request.variables = variables.collect();
        self
    }

    /// Another deployment of the same service.
    fn next(&mut self, tree: &[(&str, &str)]) {
        self.platform.deployment = domain::id::DeploymentId(Uuid::now_v7());
        self.request.deployment = self.platform.deployment;
        self.request.directory = self.platform.workspace();
        fs::create_dir_all(&self.request.directory).expect("made");
        files::write(&self.request.directory, tree);
    }

    async fn build(&self, plan: &Plan) -> Result<(), BuildError> {
        self.build_until(plan, 1, &CancellationToken::new()).await
    }

    async fn build_until(
        &self,
        plan: &Plan,
        fence: u32,
        cancel: &CancellationToken,
    ) -> Result<(), BuildError> {
        let key = self.platform.key(Step::Build, fence);
        self.builder.build(key, &self.request, plan, &self.platform.output(), cancel).await
    }

    /// Builds by what is detected.
    async fn detect_and_build(&self) -> Plan {
        let output = self.platform.output();
        let plan = self.builder.detect(&self.request, &output).await.expect("detected");
        let built = self.build(&plan).await;
        built.unwrap_or_else(|error| panic!("{error}: {:#?}", self.platform.lines()));
        plan
    }

    fn at(&self, path: &str) -> PathBuf {
        self.request.directory.join(path)
    }

    /// What else is in the directory of the deployment.
    fn beside(&self) -> Vec<String> {
        let directory = self.platform.workspace();
        let entries = fs::read_dir(directory.parent().expect("below")).into_iter().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// A plan of these commands.
fn plan(commands: &[&str]) -> Plan {
    Plan {
        language: Language::Other,
        detected_by: "a test".into(),
        root: String::new(),
        dockerfile: None,
        install: vec![],
        build: commands.iter().map(|command| command.parse().expect("sound")).collect(),
        run: Run::new(Start::Command("./start".parse().expect("sound"))),
    }
}
