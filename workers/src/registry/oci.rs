//! Images in a registry that speaks the OCI distribution protocol, pinned by digest.
//!
//! A service has a repository of its own, `<host>/<prefix>/<service>`; in it, `build-<deployment>` is what a
//! deployment pushed, and `recipe-<hash>` what the same revision, plan and variables came to last. The
//! manifest is what a registry takes last, so what cannot be found by its tag was not pushed.

mod address;
mod failure;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bollard::query_parameters::PushImageOptionsBuilder;
use domain::digest::Digest;
use domain::id::ServiceId;
use domain::service::release::Build;
use domain::source::Source;
use futures::TryStreamExt;
use hyper::header::HeaderValue;
use oci_client::client::ClientConfig;
use oci_client::{Client, Reference, RegistryOperation};
use serde_json::Value;

use crate::builder::BuildRequest;
use crate::builder::docker::{self, Engine};
use crate::fences::Fences;
use crate::key::StepKey;
use crate::registry::engine::{
    began, build_missing, build_tag, failed, from_elsewhere, id_of, is_old, missing, name, of_pull, ours,
    recipe_tag, remove, resolve, unname,
};
use crate::registry::oci::failure::{is_missing, of_engine, of_registry};
use crate::registry::{Collected, Files, Keep, Registry, RegistryError};

pub use crate::registry::oci::address::{Credentials, InvalidRegistry, RegistryAddress};

/// How long it holds that an image was there.
const SEEN_FOR: Duration = Duration::from_mins(1);
/// How many images are remembered to have been there.
const SEEN_MAX: usize = 10_000;
/// How long a registry has to begin an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How many tags a registry is asked for at once.
const TAGS_AT_ONCE: usize = 100;
/// How many answers with tags are read of one repository.
const PAGES_MAX: usize = 1_000;
/// Forms of manifests that are taken.
const MANIFESTS: [&str; 4] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
];

/// Keeps images in a registry.
pub struct OciRegistry {
    address: RegistryAddress,
    engine: Engine,
    installation: String,
    client: Client,
    http: reqwest::Client,
    fences: Fences,
    seen: Mutex<HashMap<String, Instant>>,
}

impl std::fmt::Debug for OciRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OciRegistry({})", self.address)
    }
}

impl OciRegistry {
    /// In this registry, to which this engine pushes.
    ///
    /// # Errors
    /// When no client can be made, as without certificates of authorities on this machine.
    pub fn new(
        address: RegistryAddress,
        engine: Engine,
        installation: impl Into<String>,
    ) -> Result<Self, RegistryError> {
        let config = ClientConfig {
            protocol: address.protocol(),
            read_timeout: Some(ANSWER_LIMIT),
            connect_timeout: Some(ANSWER_LIMIT),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| of_registry(&address, "connect to", error))?;
        let http = reqwest::Client::builder().timeout(ANSWER_LIMIT).build();
        let http = http.map_err(|error| failed("make a client", error))?;
        let (fences, seen) = (Fences::default(), Mutex::default());
        Ok(Self { address, engine, installation: installation.into(), client, http, fences, seen })
    }

    /// Asks the registry whether it is there and takes our credentials.
    ///
    /// # Errors
    /// [`RegistryError`] that says what is wrong and what to do.
    pub async fn check(&self) -> Result<(), RegistryError> {
        let reference = self.reference(ServiceId(uuid::Uuid::nil()), "latest");
        self.digest(&reference).await.map(|_| ())
    }

    fn reference(&self, service: ServiceId, tag: &str) -> Reference {
        Reference::with_tag(self.address.host().to_owned(), self.address.repository(service), tag.to_owned())
    }

    fn pinned(&self, service: ServiceId, digest: &Digest) -> Reference {
        let repository = self.address.repository(service);
        Reference::with_digest(self.address.host().to_owned(), repository, digest.to_string())
    }

    /// What a tag leads to, when there is such a tag.
    async fn digest(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        match self.client.fetch_manifest_digest(reference, &self.address.auth()).await {
            Ok(digest) => {
                let parsed = digest.parse();
                parsed
                    .map(Some)
                    .map_err(|error: domain::digest::InvalidDigest| failed("read a digest", error))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(of_registry(&self.address, "ask", error)),
        }
    }

    async fn push_by_engine(&self, repository: &str, tag: &str) -> Result<(), RegistryError> {
        let docker = self.engine.client().await.map_err(|error| failed("push an image", error))?;
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        let pushing = docker.push_image(repository, Some(options), self.address.for_engine());
        let pushed = pushing.try_for_each(|_| std::future::ready(Ok(()))).await;
        pushed.map_err(|error| of_engine(&self.address, error))
    }

    /// The same manifest under another tag.
    async fn tag_remotely(&self, from: &Reference, to: &Reference) -> Result<(), RegistryError> {
        let auth = self.address.auth();
        let doing = |error| of_registry(&self.address, "name an image in", error);
        let (bytes, _) = self.client.pull_manifest_raw(from, &auth, &MANIFESTS).await.map_err(doing)?;
        let manifest: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let kind = manifest["mediaType"].as_str().unwrap_or(MANIFESTS[1]);
        let kind = HeaderValue::from_str(kind).map_err(|error| failed("read a manifest", error))?;
        self.client.push_manifest_raw(to, bytes, kind).await.map(|_| ()).map_err(doing)
    }

    fn was_seen(&self, image: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, at| at.elapsed() < SEEN_FOR);
        seen.contains_key(image)
    }

    fn remember(&self, image: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < SEEN_MAX {
            seen.insert(image.to_owned(), Instant::now());
        }
    }

    fn forget(&self, image: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(image);
    }

    /// Brings an image to the engine, with the platform's own credentials.
    async fn ensure_here(&self, image: &str) -> Result<(), RegistryError> {
        docker::pull(&self.engine, image, self.address.for_engine()).await.map_err(of_pull)
    }

    /// Every tag of a repository; none of one that is not there.
    async fn tags(&self, repository: &Reference) -> Result<Vec<String>, RegistryError> {
        let mut tags: Vec<String> = vec![];
        for _ in 0..PAGES_MAX {
            let last = tags.last().map(String::as_str);
            let auth = self.address.auth();
            match self.client.list_tags(repository, &auth, Some(TAGS_AT_ONCE), last).await {
                Ok(page) if page.tags.is_empty() || page.tags.last() == tags.last() => break,
                // Some registries answer with all of them at once, whatever they are asked for.
                Ok(page) => {
                    let is_last = page.tags.len() != TAGS_AT_ONCE;
                    tags.extend(page.tags);
                    if is_last {
                        break;
                    }
                }
                Err(error) if is_missing(&error) => break,
                // A repository whose tags were all removed has none, and some say so in this way.
                Err(oci_client::errors::OciDistributionError::JsonError(_)) => break,
                Err(error) => return Err(of_registry(&self.address, "list the images of", error)),
            }
        }
        Ok(tags)
    }

    /// Removes a manifest with all its tags. Not every registry lets go of one.
    async fn delete(&self, image: &Reference) -> Result<bool, RegistryError> {
        let auth = self.address.auth();
        let doing = "remove an image from";
        let token = self.client.auth(image, &auth, RegistryOperation::Push).await;
        let token = token.map_err(|error| of_registry(&self.address, doing, error))?;
        let request = self.http.delete(self.address.manifest_url(image));
        let request = match (token, self.address.credentials()) {
            (Some(token), _) => request.bearer_auth(token),
            (None, Some(given)) => request.basic_auth(&given.user, Some(given.token.reveal())),
            (None, None) => request,
        };
        let response = request.send().await.map_err(|error| failed("reach the registry", error))?;
        match response.status().as_u16() {
            200..=299 | 404 => Ok(true),
            400 | 405 | 501 => Ok(false),
            status => {
                let why = format!("the registry answered {status}");
                Err(RegistryError {
                    code: if matches!(status, 401 | 403) { "registry_denied" } else { "registry_failed" },
                    message: format!("an image could not be removed from {}: {why}", self.address.host()),
                    permanent: matches!(status, 401 | 403),
                    source: None,
                })
            }
        }
    }

    /// Goes through the images of one repository. The registry's answer is no, when it lets go of none.
    async fn collect_repository(
        &self,
        service: ServiceId,
        keep: &Keep,
        collected: &mut Collected,
    ) -> Result<bool, RegistryError> {
        let mut images: HashMap<Digest, bool> = HashMap::new();
        for tag in self.tags(&self.reference(service, "latest")).await? {
            let began = tag.strip_prefix("build-").and_then(began);
            let is_recipe = tag.starts_with("recipe-");
            let Some(digest) = self.digest(&self.reference(service, &tag)).await? else { continue };
            // What is not ours by its name stays, and keeps its manifest.
            let may_go = is_recipe || began.is_some_and(|at| at <= keep.newer_than);
            let entry = images.entry(digest).or_insert(true);
            *entry &= may_go;
        }
        for (digest, may_go) in images {
            if !may_go || keep.artifacts.contains(&digest) {
                collected.kept += 1;
                continue;
            }
            let image = self.pinned(service, &digest);
            self.forget(&image.to_string());
            if !self.delete(&image).await? {
                return Ok(false);
            }
            collected.removed += 1;
        }
        Ok(true)
    }

    /// The copies in the engine from which images were pushed.
    async fn collect_engine(&self, keep: &Keep) -> Result<(), RegistryError> {
        let docker = self.engine.client().await.map_err(|error| failed("clean up", error))?;
        for image in ours(docker, &self.installation).await? {
            let needed = |digest: &String| {
                let digest = digest.split_once('@').and_then(|(_, digest)| digest.parse().ok());
                digest.is_some_and(|digest: Digest| keep.artifacts.contains(&digest))
            };
            if !image.repo_digests.iter().any(needed) && is_old(&image, keep) {
                remove(docker, &image).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Registry for OciRegistry {
    async fn push(
        &self,
        key: StepKey,
        request: &BuildRequest,
        recipe: &str,
    ) -> Result<Digest, RegistryError> {
        self.fences.enter(key).map_err(|fenced| failed("push an image", fenced))?;
        if let Source::Image { reference } = &request.source {
            return resolve(&self.engine, reference).await;
        }
        let docker = self.engine.client().await.map_err(|error| failed("push an image", error))?;
        let (service, tag) = (request.service, build_tag(request.deployment));
        let reference = self.reference(service, &tag);
        let built = docker::tag(request.deployment);
        let digest = match self.digest(&reference).await? {
            Some(digest) => digest, // Done before we crashed.
            None => {
                id_of(docker, &built).await?.ok_or_else(build_missing)?;
                let repository = format!("{}/{}", self.address.host(), self.address.repository(service));
                name(docker, &built, &repository, &tag).await?;
                self.push_by_engine(&repository, &tag).await?;
                let lost = || failed("push an image", "the registry does not have what it has just taken");
                self.digest(&reference).await?.ok_or_else(lost)?
            }
        };
        // Without it, the next deployment of the same is built again, and nothing else is lost.
        let recipe = self.reference(service, &recipe_tag(service, recipe));
        if let Err(error) = self.tag_remotely(&self.pinned(service, &digest), &recipe).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "an image cannot be found by its recipe"
            );
        }
        unname(docker, &built).await?;
        Ok(digest)
    }

    async fn find(&self, service: ServiceId, recipe: &str) -> Result<Option<Digest>, RegistryError> {
        let found = self.digest(&self.reference(service, &recipe_tag(service, recipe))).await;
        // It can be built all the same; whether the registry works is seen when that is pushed.
        Ok(found.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "the registry does not say what it has");
            None
        }))
    }

    async fn locate(&self, service: ServiceId, build: &Build) -> Result<Files, RegistryError> {
        if let Source::Image { reference } = &build.source {
            return from_elsewhere(&self.engine, reference, &build.artifact).await;
        }
        let reference = self.pinned(service, &build.artifact);
        let image = reference.to_string();
        let docker = self.engine.client().await.map_err(|error| failed("look for an image", error))?;
        let is_here = id_of(docker, &image).await?.is_some();
        if is_here && self.was_seen(&image) {
            return Ok(Files::Image(image));
        }
        match self.digest(&reference).await {
            Ok(Some(_)) => self.remember(&image),
            Ok(None) => return Err(missing(&build.artifact)),
            // What is here can run while the registry is away.
            Err(error) if is_here && !error.permanent => {
                tracing::warn!(error = &error as &dyn std::error::Error, "{image} is taken as it is here");
            }
            Err(error) => return Err(error),
        }
        if !is_here {
            self.ensure_here(&image).await?;
        }
        Ok(Files::Image(image))
    }

    async fn collect(&self, keep: &Keep) -> Result<Collected, RegistryError> {
        let mut collected = Collected::default();
        let mut repositories: HashMap<String, ServiceId> = HashMap::new();
        for service in &keep.services {
            repositories.insert(self.address.repository(*service), *service);
        }
        for service in repositories.into_values() {
            if !self.collect_repository(service, keep, &mut collected).await? {
                tracing::warn!(
                    "{} does not let go of images by the OCI protocol; set how long it keeps them there",
                    self.address.host()
                );
                break;
            }
        }
        self.collect_engine(keep).await?;
        Ok(collected)
    }
}
