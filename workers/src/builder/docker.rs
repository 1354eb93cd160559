//! The builder on a Docker Engine: BuildKit builds an image, by the repository's Dockerfile or by one made of
//! the plan.
//!
//! A build is `Looked at → Sent → Building → Tagged`, or ended: by its failure, by a cancellation, at its time
//! limit; closing the connection ends it in the engine too. What it leaves is one image with a tag of its own,
//! `switchback/build:<deployment>`, until a registry has taken it. It gets no secret but by a mount in memory,
//! caches that belong to its service, and no more of the machine than its limits
//! (`docs/decisions/0013-builds-in-the-engines-buildkit.md`).

mod bases;
mod body;
mod build;
mod context;
mod engine;
mod generate;
mod ignored;
mod limits;
mod outcome;
mod progress;
mod pull;
mod request;
mod scan;
mod session;
mod settings;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::{PruneImagesOptionsBuilder, RemoveImageOptionsBuilder};
use domain::id::DeploymentId;
use domain::plan::{Language, Plan, Run, Start};
use domain::source::Source;
use domain::source::image::ImageReference;
use eventlog::error::BoxError;
use tokio_util::sync::CancellationToken;

use crate::builder::detect::detect;
use crate::builder::docker::build::Build;
use crate::builder::tools::Tools;
use crate::builder::{BuildError, BuildRequest, Builder};
use crate::disk;
use crate::fences::{Fenced, Fences};
use crate::key::StepKey;
use crate::output::Output;
use crate::turns::Turns;

pub use crate::builder::docker::bases::{Base, BaseImages, InvalidBase};
pub use crate::builder::docker::engine::{Engine, InvalidAddress};
pub use crate::builder::docker::limits::BuildLimits;
pub use crate::builder::docker::progress::LogLimits;
pub(crate) use crate::builder::docker::pull::{PullError, exposed, pull};
pub use crate::builder::docker::settings::Settings;

/// The installation that something in the engine belongs to.
pub const INSTALLATION: &str = "dev.switchback.installation";
/// The service.
pub const SERVICE: &str = "dev.switchback.service";
/// The deployment.
pub const DEPLOYMENT: &str = "dev.switchback.deployment";
/// The revision, by the name that registries and scanners know.
pub const REVISION: &str = "org.opencontainers.image.revision";

/// Builds in a Docker Engine.
#[derive(Debug)]
pub struct DockerBuilder {
    settings: Settings,
    fences: Fences,
    turns: Turns,
}

/// The name of what a deployment has built, until a registry has taken it.
#[must_use]
pub fn tag(deployment: DeploymentId) -> String {
    format!("switchback/build:{deployment}")
}

impl DockerBuilder {
    /// With these settings; the engine is not asked yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, fences: Fences::default(), turns: Turns::default() }
    }

    /// An image has nothing to be found out but its port.
    async fn look_at_image(&self, reference: &ImageReference, output: &Output) -> Result<Plan, BuildError> {
        if self.settings.is_guarded(reference) {
            let message = format!(
                "`{reference}` is in the registry of this platform, where services keep what they built; \
                 deploy the repository, or push the image somewhere else"
            );
            return Err(refused("image_refused", message));
        }
        output.say(format!("image {reference}")).await;
        pull(&self.settings.engine, &reference.to_string(), None).await.map_err(of_pull)?;
        let ports = exposed(&self.settings.engine, &reference.to_string()).await.map_err(of_pull)?;
        let mut run = Run::new(Start::Image {});
        if let [port] = ports.as_slice() {
            output.say(format!("it listens on port {port}, the one it exposes")).await;
            run.port = Some(*port);
        }
        Ok(Plan {
            language: Language::Image,
            detected_by: reference.to_string(),
            root: String::new(),
            dockerfile: None,
            install: vec![],
            build: vec![],
            run,
        })
    }

    /// Removes what a deployment left in the engine: its tag, and images of it that have lost theirs.
    async fn remove_images(&self, deployment: DeploymentId) -> Result<(), BuildError> {
        let docker = self.settings.engine.client().await.map_err(|error| away("clean up", error))?;
        let options = RemoveImageOptionsBuilder::default().build();
        match docker.remove_image(&tag(deployment), Some(options), None).await {
            Ok(_) => {}
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => return Err(away("remove what a build left", error)),
        }
        let labels = vec![format!("{DEPLOYMENT}={deployment}"), self.settings.label()];
        let filters = HashMap::from([("dangling", vec!["true".to_owned()]), ("label", labels)]);
        let options = PruneImagesOptionsBuilder::default().filters(&filters).build();
        docker.prune_images(Some(options)).await.map_err(|error| away("remove what a build left", error))?;
        Ok(())
    }
}

pub(super) fn refused(code: &'static str, message: impl Into<String>) -> BuildError {
    BuildError { code, message: message.into(), permanent: true, source: None }
}

fn failed(doing: &str, source: impl Into<BoxError>) -> BuildError {
    let message = format!("the build could not be done: failed to {doing}");
    BuildError { code: "build_failed", message, permanent: false, source: Some(source.into()) }
}

fn away(doing: &str, source: impl Into<BoxError>) -> BuildError {
    let message = format!("the Docker Engine could not {doing}; see `switchback doctor`");
    BuildError { code: "docker_away", message, permanent: false, source: Some(source.into()) }
}

fn of_pull(error: PullError) -> BuildError {
    let PullError { code, message, permanent, source } = error;
    BuildError { code, message, permanent, source }
}

#[async_trait]
impl Builder for DockerBuilder {
    async fn detect(&self, request: &BuildRequest, output: &Output) -> Result<Plan, BuildError> {
        if let Source::Image { reference } = &request.source {
            return self.look_at_image(reference, output).await;
        }
        let directory = request.directory.clone();
        let detecting = tokio::task::spawn_blocking(move || detect(&directory, &Tools::in_images()));
        let detected = detecting.await.unwrap_or_else(|error| Err(failed("look at the files", error)))?;
        for note in detected.notes {
            output.say(note).await;
        }
        let mut plan = detected.plan;
        if plan.dockerfile.is_some() {
            let looked = build::look(&self.settings, request, &plan).await?;
            for note in looked.notes {
                output.say(note).await;
            }
            let mut ports = looked.ports.into_iter();
            if let (None, Some(port), None) = (plan.run.port, ports.next(), ports.next()) {
                output.say(format!("it listens on port {port}, the one that its Dockerfile exposes")).await;
                plan.run.port = Some(port);
            }
        }
        Ok(plan)
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
        if matches!(request.source, Source::Image { .. }) {
            return Ok(()); // It was built elsewhere.
        }
        let build = Build::new(&self.settings, request, plan, output);
        // What is dropped here closes its connection, and the engine ends the build.
        tokio::select! {
            result = Box::pin(build.run()) => result?,
            () = cancel.cancelled() => return Err(refused("build_cancelled", "the build was cancelled")),
            () = turn.superseded.cancelled() => return Err(failed("go on", Fenced { step: key.step })),
            () = tokio::time::sleep(self.settings.limit) => return Err(timed_out(self.settings.limit)),
        }
        // The image has all that is needed of them.
        remove_directory(&self.settings, request.deployment).await
    }

    async fn clean(&self, deployment: DeploymentId) -> Result<(), BuildError> {
        let _turn = self.turns.take(deployment).await;
        self.remove_images(deployment).await?;
        remove_directory(&self.settings, deployment).await?;
        self.fences.forget(deployment);
        Ok(())
    }
}

async fn remove_directory(settings: &Settings, deployment: DeploymentId) -> Result<(), BuildError> {
    let directory = settings.builds.join(deployment.to_string());
    let removing = tokio::task::spawn_blocking(move || disk::remove(&directory)).await;
    let removed = removing.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    removed.map_err(|error| failed("remove the files", error))
}

fn timed_out(limit: Duration) -> BuildError {
    let message = format!(
        "the build was ended because it took longer than {} s; does a step wait for something, or serve \
         instead of build?",
        limit.as_secs()
    );
    refused("build_timed_out", message)
}
