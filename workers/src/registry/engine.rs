//! Images that stay in the Docker Engine where they were built: for one machine, without a registry.
//!
//! An image is known by its id. Its names lead to it and keep the engine's own clearing-up away:
//! `switchback/service-<service>:build-<deployment>` and `…:recipe-<hash>`.

use std::collections::HashMap;

use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ImageSummary;
use bollard::query_parameters::{
    ListImagesOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use chrono::{DateTime, Utc};
use domain::digest::Digest;
use domain::id::{DeploymentId, ServiceId};
use domain::service::release::Build;
use domain::source::Source;
use domain::source::image::ImageReference;
use eventlog::error::BoxError;
use sha2::{Digest as _, Sha256};

use crate::builder::BuildRequest;
use crate::builder::docker::{self, DEPLOYMENT, Engine, INSTALLATION, SERVICE};
use crate::fences::Fences;
use crate::key::StepKey;
use crate::registry::{Collected, Files, Keep, Registry, RegistryError};

/// Keeps images in the engine.
#[derive(Debug)]
pub struct EngineRegistry {
    engine: Engine,
    installation: String,
    fences: Fences,
}

impl EngineRegistry {
    /// In this engine, for this installation.
    #[must_use]
    pub fn new(engine: Engine, installation: impl Into<String>) -> Self {
        Self { engine, installation: installation.into(), fences: Fences::default() }
    }
}

/// Where images of a service are.
fn repository(service: ServiceId) -> String {
    format!("switchback/service-{}", service.0.simple())
}

/// The tag of a deployment's image. A deployment's id says when it began, and so how old the image is.
pub(super) fn build_tag(deployment: DeploymentId) -> String {
    format!("build-{}", deployment.0.simple())
}

/// The tag of what a recipe of a service came to; short enough, and of no other characters than a tag's.
pub(super) fn recipe_tag(service: ServiceId, recipe: &str) -> String {
    let hash = hex::encode(Sha256::digest(format!("{service} {recipe}")));
    format!("recipe-{}", &hash[..40])
}

/// When a deployment began, out of the id in the tag of its image.
pub(super) fn began(id: &str) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = uuid::Uuid::parse_str(id).ok()?.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

pub(super) fn failed(doing: &str, source: impl Into<BoxError>) -> RegistryError {
    let message = format!("the Docker Engine could not {doing}; see `switchback doctor`");
    RegistryError { code: "registry_failed", message, permanent: false, source: Some(source.into()) }
}

pub(super) fn missing(artifact: &Digest) -> RegistryError {
    RegistryError {
        code: "artifact_missing",
        message: format!(
            "the image {} is not there any more; deploy the same revision again",
            artifact.short()
        ),
        permanent: true,
        source: None,
    }
}

pub(super) fn build_missing() -> RegistryError {
    RegistryError {
        code: "build_missing",
        message: "what was built is not in the Docker Engine any more".into(),
        permanent: false,
        source: None,
    }
}

pub(super) fn of_pull(error: docker::PullError) -> RegistryError {
    let docker::PullError { code, message, permanent, source } = error;
    RegistryError { code, message, permanent, source }
}

/// The id of an image in the engine.
pub(super) async fn id_of(docker: &Docker, name: &str) -> Result<Option<Digest>, RegistryError> {
    match docker.inspect_image(name).await {
        Ok(image) => Ok(image.id.and_then(|id| id.parse().ok())),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(failed("look for an image", error)),
    }
}

/// Gives an image another name.
pub(super) async fn name(docker: &Docker, image: &str, repo: &str, tag: &str) -> Result<(), RegistryError> {
    let options = TagImageOptionsBuilder::default().repo(repo).tag(tag).build();
    docker.tag_image(image, Some(options)).await.map_err(|error| failed("name an image", error))
}

/// Takes a name away, and the image when it was the last. One that is used, or not there, stays as it is.
pub(super) async fn unname(docker: &Docker, name: &str) -> Result<(), RegistryError> {
    let options = RemoveImageOptionsBuilder::default().build();
    match docker.remove_image(name, Some(options), None).await {
        Ok(_) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        Err(error) => Err(failed("remove an image", error)),
    }
}

/// The digest of an image from elsewhere: what its name leads to now, or the one that it is pinned to.
pub(super) async fn resolve(engine: &Engine, reference: &ImageReference) -> Result<Digest, RegistryError> {
    if let Some(digest) = reference.digest() {
        return Ok(digest.clone());
    }
    let name = reference.to_string();
    docker::pull(engine, &name, None).await.map_err(of_pull)?;
    let docker = engine.client().await.map_err(|error| failed("look at an image", error))?;
    let image = docker.inspect_image(&name).await.map_err(|error| failed("look at an image", error))?;
    let digests = image.repo_digests.unwrap_or_default();
    let of_this = |digest: &&String| {
        let (name, _) = digest.split_once('@').unwrap_or((digest, ""));
        name.parse::<ImageReference>().is_ok_and(|name| name.name() == reference.name())
    };
    let digest = digests.iter().find(of_this).and_then(|digest| digest.split_once('@')?.1.parse().ok());
    digest.ok_or_else(|| failed("tell the digest of an image", format!("{name} has none")))
}

/// An image from elsewhere, here.
pub(super) async fn from_elsewhere(
    engine: &Engine,
    reference: &ImageReference,
    digest: &Digest,
) -> Result<Files, RegistryError> {
    let pinned = reference.pinned(digest);
    let docker = engine.client().await.map_err(|error| failed("look for an image", error))?;
    if id_of(docker, &pinned).await?.is_none() {
        docker::pull(engine, &pinned, None).await.map_err(of_pull)?;
    }
    Ok(Files::Image(pinned))
}

/// The images of an installation in an engine, with what it takes to see whether they are needed.
pub(super) async fn ours(docker: &Docker, installation: &str) -> Result<Vec<ImageSummary>, RegistryError> {
    let labels = vec![format!("{INSTALLATION}={installation}")];
    let filters = HashMap::from([("label", labels)]);
    let options = ListImagesOptionsBuilder::default().filters(&filters).build();
    docker.list_images(Some(options)).await.map_err(|error| failed("list the images", error))
}

/// Whether an image is old enough to be removed, by its deployment.
pub(super) fn is_old(image: &ImageSummary, keep: &Keep) -> bool {
    let at = image.labels.get(DEPLOYMENT).and_then(|deployment| began(deployment));
    image.labels.contains_key(SERVICE) && at.is_some_and(|at| at <= keep.newer_than)
}

/// Takes all names of an image away.
pub(super) async fn remove(docker: &Docker, image: &ImageSummary) -> Result<(), RegistryError> {
    for tag in image.repo_tags.iter().filter(|tag| !tag.contains("<none>")) {
        unname(docker, tag).await?;
    }
    unname(docker, &image.id).await
}

#[async_trait]
impl Registry for EngineRegistry {
    async fn push(
        &self,
        key: StepKey,
        request: &BuildRequest,
        recipe: &str,
    ) -> Result<Digest, RegistryError> {
        self.fences.enter(key).map_err(|fenced| failed("keep an image", fenced))?;
        if let Source::Image { reference } = &request.source {
            return resolve(&self.engine, reference).await;
        }
        let docker = self.engine.client().await.map_err(|error| failed("keep an image", error))?;
        let (repository, built) = (repository(request.service), docker::tag(request.deployment));
        let kept = format!("{repository}:{}", build_tag(request.deployment));
        let id = match id_of(docker, &built).await? {
            Some(id) => {
                name(docker, &built, &repository, &build_tag(request.deployment)).await?;
                id
            }
            // Done before we crashed.
            None => id_of(docker, &kept).await?.ok_or_else(build_missing)?,
        };
        name(docker, &kept, &repository, &recipe_tag(request.service, recipe)).await?;
        unname(docker, &built).await?;
        Ok(id)
    }

    async fn find(&self, service: ServiceId, recipe: &str) -> Result<Option<Digest>, RegistryError> {
        let docker = self.engine.client().await.map_err(|error| failed("look for an image", error))?;
        id_of(docker, &format!("{}:{}", repository(service), recipe_tag(service, recipe))).await
    }

    async fn locate(&self, _service: ServiceId, build: &Build) -> Result<Files, RegistryError> {
        if let Source::Image { reference } = &build.source {
            return from_elsewhere(&self.engine, reference, &build.artifact).await;
        }
        let docker = self.engine.client().await.map_err(|error| failed("look for an image", error))?;
        let id = id_of(docker, build.artifact.as_str()).await?;
        id.map(|id| Files::Image(id.to_string())).ok_or_else(|| missing(&build.artifact))
    }

    async fn collect(&self, keep: &Keep) -> Result<Collected, RegistryError> {
        let docker = self.engine.client().await.map_err(|error| failed("clean up", error))?;
        let mut collected = Collected::default();
        for image in ours(docker, &self.installation).await? {
            let is_needed = image.id.parse().is_ok_and(|id: Digest| keep.artifacts.contains(&id));
            if is_needed || !is_old(&image, keep) {
                collected.kept += 1;
            } else {
                remove(docker, &image).await?;
                collected.removed += 1;
            }
        }
        Ok(collected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_an_image_says_how_old_it_is() {
        let before = Utc::now();
        let tag = build_tag(DeploymentId(uuid::Uuid::now_v7()));
        let at = began(tag.trim_start_matches("build-")).expect("a time");
        assert!((at - before).num_seconds().abs() < 5, "{at}");
        assert_eq!(began("no-uuid"), None);
    }
}
