//! Registries, with a real one that speaks the OCI protocol, named by `SWITCHBACK_TEST_REGISTRY`.

mod bad_days;
mod engine;
mod oci;

use std::collections::HashSet;

use chrono::{TimeDelta, Utc};
use domain::deployment::step::Step;
use domain::digest::Digest;
use domain::plan::Plan;
use domain::service::release::Build;
use workers::builder::docker::Engine;
use workers::registry::oci::{Credentials, OciRegistry, RegistryAddress};
use workers::registry::{Collected, Files, Keep, Registry, RegistryError};

use crate::builder::Workshop;

/// What is built in these tests: each time something else.
fn files(word: &str) -> String {
    format!("FROM switchback-test/busybox\nRUN echo {word} {} > /word\n", uuid::Uuid::now_v7())
}

/// Where the registry for tests listens.
fn host() -> String {
    std::env::var("SWITCHBACK_TEST_REGISTRY")
        .expect("SWITCHBACK_TEST_REGISTRY is the host and port of a registry; `cargo xtask test` starts one")
}

/// A registry at this host, in a place that only this test uses.
fn registry_at(workshop: &Workshop, host: &str, credentials: Option<Credentials>) -> OciRegistry {
    let place = format!("oci://{host}/test-{}", workshop.engine.installation.simple());
    let address = RegistryAddress::parse(&place, credentials).unwrap();
    let engine = Engine::at(&workshop.engine.url).unwrap();
    OciRegistry::new(address, engine, workshop.engine.installation.to_string()).unwrap()
}

/// Builds and pushes.
async fn pushed(workshop: &Workshop, registry: &dyn Registry, recipe: &str) -> (Digest, Plan) {
    let plan = workshop.built().await;
    let digest = push(workshop, registry, recipe).await;
    (digest.unwrap_or_else(|error| panic!("{error} {error:?}")), plan)
}

async fn push(workshop: &Workshop, registry: &dyn Registry, recipe: &str) -> Result<Digest, RegistryError> {
    registry.push(workshop.key(Step::Push, 1), &workshop.request, recipe).await
}

fn build(workshop: &Workshop, artifact: &Digest, plan: &Plan) -> Build {
    Build {
        artifact: artifact.clone(),
        source: workshop.request.source.clone(),
        revision: None,
        plan: plan.clone(),
    }
}

async fn located(
    registry: &dyn Registry,
    workshop: &Workshop,
    build: &Build,
) -> Result<String, RegistryError> {
    match registry.locate(workshop.request.service, build).await? {
        Files::Image(image) => Ok(image),
        Files::Directory(directory) => panic!("a directory: {}", directory.display()),
    }
}

/// Removes everything but these.
async fn collect(registry: &dyn Registry, workshop: &Workshop, needed: &[&Digest]) -> Collected {
    let keep = Keep {
        services: [workshop.request.service].into(),
        artifacts: needed.iter().map(|digest| (*digest).clone()).collect::<HashSet<_>>(),
        // Everything was built before this.
        newer_than: Utc::now() + TimeDelta::seconds(60),
    };
    registry.collect(&keep).await.unwrap()
}

/// Takes an image out of the engine, with all its names.
async fn remove_here(workshop: &Workshop, image: &str) {
    let options = bollard::query_parameters::RemoveImageOptionsBuilder::default().force(true).build();
    let id = workshop.engine.client.inspect_image(image).await.unwrap().id.unwrap();
    workshop.engine.client.remove_image(&id, Some(options), None).await.unwrap();
}
