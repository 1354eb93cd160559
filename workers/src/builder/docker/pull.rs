//! Images are brought to the engine, and looked at.

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::query_parameters::CreateImageOptionsBuilder;
use eventlog::error::BoxError;
use futures::TryStreamExt;

use crate::builder::docker::engine::Engine;

/// Why an image is not in the engine.
#[derive(Debug)]
pub(crate) struct PullError {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) permanent: bool,
    pub(crate) source: Option<BoxError>,
}

/// Brings an image to the engine, when it is not there already or its tag has moved.
pub(crate) async fn pull(
    engine: &Engine,
    reference: &str,
    credentials: Option<DockerCredentials>,
) -> Result<(), PullError> {
    let docker = engine.client().await.map_err(|error| of_engine(reference, error))?;
    let options = CreateImageOptionsBuilder::default().from_image(reference).build();
    let pulling = docker.create_image(Some(options), None, credentials);
    let pulled = pulling.try_for_each(|_| std::future::ready(Ok(()))).await;
    pulled.map_err(|error| of_engine(reference, error))
}

/// The TCP ports that an image in the engine exposes, in their order.
pub(crate) async fn exposed(engine: &Engine, reference: &str) -> Result<Vec<u16>, PullError> {
    let docker = engine.client().await.map_err(|error| of_engine(reference, error))?;
    let image = docker.inspect_image(reference).await.map_err(|error| of_engine(reference, error))?;
    let ports = image.config.and_then(|config| config.exposed_ports).unwrap_or_default();
    let mut ports: Vec<u16> =
        ports.iter().filter_map(|port| port.strip_suffix("/tcp")?.parse().ok()).collect();
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

fn of_engine(reference: &str, error: Error) -> PullError {
    let words = match &error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        other => other.to_string(),
    };
    let lower = words.to_ascii_lowercase();
    let (code, advice, permanent) = if lower.contains("no space left") {
        ("disk_full", "the disk of the Docker Engine is full; make room on it", false)
    } else if lower.contains("not found")
        || lower.contains("manifest unknown")
        || lower.contains("no such image")
    {
        ("image_missing", "there is no such image; is its name or its tag wrong?", true)
    } else if lower.contains("denied") || lower.contains("unauthorized") || lower.contains("authentication") {
        ("image_denied", "there is no such image, or it is not public", true)
    } else if lower.contains("no matching manifest") {
        ("image_platform", "the image is for other machines than this one", true)
    } else {
        ("image_unavailable", "its registry or the Docker Engine does not answer as it should", false)
    };
    let message = format!("the image `{reference}` could not be brought: {advice}");
    PullError { code, message, permanent, source: Some(Box::new(error)) }
}
