//! The builder that needs nothing but the tools of the languages: it runs the commands of a plan on this
//! machine.
//!
//! A build is `Prepared → Installing → Building → Settled`, or ended: by its failure, by a cancellation, at
//! its time limit, or when it takes too much of the disk; then nothing that it started lives on. It gets a
//! home and a place for temporary files of its own, caches that belong to its service, and an environment
//! with only what is meant for it. What it prints is shown without the values of the service's variables. It
//! is not isolated from this machine's files and network.

mod caches;
mod configuration;
mod environment;
mod outcome;
mod places;
mod settings;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use domain::command_line::CommandLine;
use domain::id::DeploymentId;
use domain::plan::Plan;
use domain::secret::Secret;
use domain::source::Source;
use eventlog::error::BoxError;
use tokio_util::sync::CancellationToken;

use crate::builder::detect::detect;
use crate::builder::process::places::Places;
use crate::builder::tools::{self, Tools};
use crate::builder::{BuildError, BuildRequest, Builder};
use crate::disk::{self, Exceeded, Size};
use crate::fences::{Fenced, Fences};
use crate::key::StepKey;
use crate::output::{Mask, Output};
use crate::process::{Exit, Program, Refusal, SpawnError, Supervisor};
use crate::registry::local::LocalRegistry;
use crate::turns::Turns;

pub(crate) use crate::builder::process::environment::BEHAVIOUR;
pub use crate::builder::process::environment::run_defaults;
pub use crate::builder::process::settings::Settings;

/// Builds on this machine.
#[derive(Debug)]
pub struct ProcessBuilder {
    settings: Settings,
    supervisor: Supervisor,
    fences: Fences,
    turns: Turns,
}

/// One build, while it runs.
struct Build<'a> {
    name: String,
    places: &'a Places,
    environment: BTreeMap<String, String>,
    mask: Mask,
    output: Output,
}

impl ProcessBuilder {
    /// Runs the tools below `supervisor`.
    #[must_use]
    pub fn new(settings: Settings, supervisor: Supervisor) -> Self {
        Self { settings, supervisor, fences: Fences::default(), turns: Turns::default() }
    }

    /// Ends what runs under some names.
    async fn end(&self, names: Vec<String>) -> Result<(), BuildError> {
        let supervisor = self.supervisor.clone();
        let sweep = move || supervisor.sweep(|other| !names.iter().any(|name| name == other));
        match tokio::task::spawn_blocking(sweep).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed("end an earlier build", error)),
            Err(error) => Err(failed("end an earlier build", error)),
        }
    }

    async fn run_all(&self, build: &Build<'_>, plan: &Plan) -> Result<(), BuildError> {
        // What a version manager puts before the interpreter takes as long as a small build.
        let interpreter = outcome::interpreter(&self.supervisor, build, plan.language);
        let ((), interpreter) = tokio::try_join!(self.run_commands(build, plan), interpreter)?;
        for note in outcome::settle(build, plan, interpreter).await? {
            build.output.say(note).await;
        }
        Ok(())
    }

    async fn run_commands(&self, build: &Build<'_>, plan: &Plan) -> Result<(), BuildError> {
        let install = plan.install.iter().map(|command| ("install", command));
        for (what, command) in install.chain(plan.build.iter().map(|command| ("build", command))) {
            build.output.say(format!("{what}: {command}")).await;
            self.run(build, command).await?;
        }
        Ok(())
    }

    /// Runs one command to its end. When this is given up, the command is killed.
    async fn run(&self, build: &Build<'_>, command: &CommandLine) -> Result<(), BuildError> {
        let program = Program {
            name: build.name.clone(),
            invocations: command.invocations(&build.environment),
            directory: build.places.root.clone(),
            environment: build.environment.clone(),
            limits: self.settings.limits,
        };
        let exit = match self.supervisor.spawn(program, &build.output).await {
            Ok(child) => child.wait().await,
            Err(SpawnError::Refused(refusal)) => Exit::NotStarted(refusal),
            Err(error) => return Err(failed("start a command", error)),
        };
        match exit {
            Exit::Status(0) => Ok(()),
            Exit::NotStarted(Refusal::NotFound { program, .. }) if !program.contains('/') => {
                let message = format!(
                    "`{command}` needs `{}`, which is not installed on this server; {}",
                    build.mask.apply(program.clone()),
                    tools::advice(&program)
                );
                Err(refused("tool_missing", message))
            }
            Exit::NotStarted(refusal) => Err(refused("build_failed", build.mask.apply(refusal.to_string()))),
            exit @ (Exit::Status(_) | Exit::Signal { .. } | Exit::Lost) => {
                Err(refused("build_failed", format!("`{command}` ended with {exit}; its output says why")))
            }
        }
    }

    fn exceeded(&self, exceeded: Exceeded) -> BuildError {
        match exceeded {
            Exceeded::Size(_) => refused(
                "build_too_large",
                format!(
                    "the build was ended because its files had more than {} or {} in number; leave out what \
                     it does not need, or have an operator raise the limit",
                    Size(self.settings.tree.bytes),
                    self.settings.tree.entries
                ),
            ),
            Exceeded::Disk(full) => BuildError {
                permanent: false,
                ..refused("disk_full", format!("the build was ended: {full}"))
            },
        }
    }
}

fn refused(code: &'static str, message: impl Into<String>) -> BuildError {
    BuildError { code, message: message.into(), permanent: true, source: None }
}

fn failed(doing: &str, source: impl Into<BoxError>) -> BuildError {
    let message = format!("the build could not be done: failed to {doing}");
    BuildError { code: "build_failed", message, permanent: false, source: Some(source.into()) }
}

fn name(deployment: DeploymentId) -> String {
    format!("build/{deployment}")
}

#[async_trait]
impl Builder for ProcessBuilder {
    async fn detect(&self, request: &BuildRequest, output: &Output) -> Result<Plan, BuildError> {
        if let Source::Image { reference } = &request.source {
            let message = format!(
                "`{reference}` is an image, which needs Docker, and this server runs programs without it; \
                 deploy the repository, or start the server with `--runtime docker:`"
            );
            return Err(refused("docker_needed", message));
        }
        let (directory, tools) = (request.directory.clone(), Tools::on(&self.settings.path));
        let detecting = tokio::task::spawn_blocking(move || detect(&directory, &tools));
        let detected = detecting.await.unwrap_or_else(|error| Err(failed("look at the files", error)))?;
        for note in detected.notes {
            output.say(note).await;
        }
        Ok(detected.plan)
    }

    async fn build(
        &self,
        key: StepKey,
        request: &BuildRequest,
        plan: &Plan,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), BuildError> {
        self.fences.enter(key).map_err(|fenced| failed("begin", fenced))?;
        let turn = self.turns.take(request.deployment).await;
        let name = name(request.deployment);
        self.end(vec![name.clone()]).await?;
        if let Err(full) = self.settings.reserve.check(&self.settings.data) {
            return Err(self.exceeded(Exceeded::Disk(full)));
        }
        let places = Places::new(&self.settings, request, plan);
        let making = places.clone().make(self.settings.clone());
        on_a_thread("make the directories", making).await?;
        let values = request.variables.values().map(Secret::reveal);
        let mask = Mask::new(values);
        let build = Build {
            name: name.clone(),
            environment: environment::build(&self.settings, &places, plan, &request.variables),
            output: output.masked(mask.clone()),
            places: &places,
            mask,
        };
        let watch = disk::watch(vec![places.deployment.clone()], self.settings.tree, self.settings.reserve);
        let result = tokio::select! {
            result = Box::pin(self.run_all(&build, plan)) => result,
            exceeded = watch => Err(self.exceeded(exceeded)),
            () = cancel.cancelled() => Err(refused("build_cancelled", "the build was cancelled")),
            () = turn.superseded.cancelled() => Err(failed("go on", Fenced { step: key.step })),
            () = tokio::time::sleep(self.settings.limit) => Err(timed_out(self.settings.limit)),
        };
        if result.is_err() {
            self.end(vec![name]).await?;
        }
        if let Err(error) = on_a_thread("remove them", move || places.clear()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "temporary files of a build stay");
        }
        result
    }

    async fn clean(&self, deployment: DeploymentId) -> Result<(), BuildError> {
        let _turn = self.turns.take(deployment).await;
        self.end(vec![name(deployment), format!("fetch/{deployment}")]).await?;
        let data = self.settings.data.clone();
        let directory = self.settings.builds().join(deployment.to_string());
        let removing = move || {
            if !LocalRegistry::holds(&data, &directory.join("app")) {
                return disk::remove(&directory);
            }
            places::clear(&directory)
        };
        on_a_thread("remove what a build left", removing).await?;
        self.fences.forget(deployment);
        Ok(())
    }
}

async fn on_a_thread(
    doing: &str,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), BuildError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| failed(doing, error))
}

fn timed_out(limit: Duration) -> BuildError {
    let message = format!(
        "the build was ended because it took longer than {} s; does a command wait for something, or \
         serve instead of build?",
        limit.as_secs()
    );
    refused("build_timed_out", message)
}
