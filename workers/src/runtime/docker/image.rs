//! Images: found in the engine, or fetched from the registry that their reference names.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptions;
use futures::TryStreamExt;
use tracing::info;

use crate::registry::Files;
use crate::runtime::docker::Shared;
use crate::runtime::docker::engine::{Trouble, within};
use crate::runtime::{Environment, RuntimeError};

/// Where the engine looks for programs when an image does not say it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long fetching an image may take.
const FETCH_LIMIT: Duration = Duration::from_mins(10);

/// What an image says of itself.
#[derive(Debug, Default)]
pub(super) struct Image {
    /// Its environment.
    pub(super) variables: BTreeMap<String, String>,
    /// Where it works.
    pub(super) directory: String,
    /// The lowest TCP port that it says it listens on.
    pub(super) port: Option<u16>,
}

/// The reference of the image that something runs from.
pub(super) fn reference(given: &Environment) -> Result<&str, RuntimeError> {
    match &given.files {
        Files::Image(reference) => Ok(reference),
        Files::Directory(_) => Err(RuntimeError {
            code: "image_missing",
            message:
                "what was built is a directory of another runtime's, and the Docker Engine runs images; \
                      deploy again"
                    .into(),
            permanent: true,
            source: None,
        }),
    }
}

impl Shared {
    /// What an image says; it is fetched when it is not here.
    pub(super) async fn image(&self, reference: &str) -> Result<Image, RuntimeError> {
        if let Some(image) = self.local_image(reference).await? {
            return Ok(image);
        }
        self.fetch(reference).await?;
        self.local_image(reference).await?.ok_or_else(|| missing(reference, "it was removed again", false))
    }

    async fn local_image(&self, reference: &str) -> Result<Option<Image>, RuntimeError> {
        let doing = "look at an image";
        let found =
            self.engine.call(doing, |client| async move { client.inspect_image(reference).await }).await;
        match found {
            Ok(found) => Ok(Some(image(found.config.unwrap_or_default()))),
            Err(trouble) if trouble.is_absent() => Ok(None),
            Err(trouble) => Err(trouble.into()),
        }
    }

    async fn fetch(&self, reference: &str) -> Result<(), RuntimeError> {
        info!("fetching the image {reference}");
        let client = self.engine.client().await.map_err(RuntimeError::from)?;
        let login = self.settings.logins.get(host(reference)).map(|login| DockerCredentials {
            username: Some(login.user.clone()),
            password: Some(login.password.reveal().to_owned()),
            serveraddress: Some(host(reference).to_owned()),
            ..DockerCredentials::default()
        });
        let options =
            CreateImageOptions { from_image: Some(reference.to_owned()), ..CreateImageOptions::default() };
        let fetching = client.create_image(Some(options), None, login).try_for_each(async |_| Ok(()));
        let fetched = within(FETCH_LIMIT, "fetch an image", fetching).await;
        fetched.map_err(|trouble| refused(reference, trouble))
    }
}

/// The host of the registry that a reference names.
fn host(reference: &str) -> &str {
    let first = reference.split('/').next().unwrap_or_default();
    let is_host = reference.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    if is_host { first } else { "docker.io" }
}

fn refused(reference: &str, trouble: Trouble) -> RuntimeError {
    // What a registry says no to differs from what it cannot be asked.
    let words = ["not found", "manifest unknown", "unauthorized", "denied", "does not exist"];
    let permanent = words.iter().any(|word| trouble.said.contains(word));
    missing(reference, &trouble.said, permanent)
}

/// An image that is neither here nor there.
pub(super) fn missing(reference: &str, why: &str, permanent: bool) -> RuntimeError {
    let message = format!(
        "the image {reference} is not in the Docker Engine and could not be fetched: {why}. Deploy again to \
         build it anew"
    );
    RuntimeError { code: "image_missing", message, permanent, source: None }
}

fn image(config: bollard::models::ImageConfig) -> Image {
    let variables = config.env.unwrap_or_default();
    let variables = variables.iter().filter_map(|variable| variable.split_once('='));
    let ports = config.exposed_ports.unwrap_or_default();
    let tcp = ports.iter().filter_map(|port| port.strip_suffix("/tcp").unwrap_or(port).parse().ok());
    let mut all = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    all.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Image { variables: all, directory: config.working_dir.unwrap_or_default(), port: tcp.min() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_registry_is_what_stands_first_unless_it_is_a_name() {
        for (reference, expected) in [
            ("registry.example/team/app@sha256:00", "registry.example"),
            ("127.0.0.1:5000/app:1", "127.0.0.1:5000"),
            ("localhost/app", "localhost"),
            ("team/app", "docker.io"),
            ("nginx:1.27", "docker.io"),
        ] {
            assert_eq!(host(reference), expected);
        }
    }

    #[test]
    fn an_image_says_its_lowest_port() {
        let exposed = ["9000/tcp", "53/udp", "8080/tcp"].map(str::to_owned);
        let config = bollard::models::ImageConfig {
            exposed_ports: Some(exposed.into()),
            env: Some(vec!["PATH=/bin".into(), "EMPTY=".into(), "WORSE".into()]),
            ..Default::default()
        };
        let image = image(config);
        assert_eq!(image.port, Some(8080));
        assert_eq!(image.variables.len(), 2);
    }
}
