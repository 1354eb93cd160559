//! Where a registry is, and who is let in: the conventions of those that people use.

use std::fmt;
use std::path::Path;

use bollard::auth::DockerCredentials;
use domain::id::ServiceId;
use domain::secret::Secret;
use domain::source::image::ImageReference;
use oci_client::Reference;
use oci_client::client::ClientProtocol;
use oci_client::secrets::RegistryAuth;

/// Docker Hub, by the name that images have.
const HUB: &str = "docker.io";
/// Docker Hub, by the name that the engine keeps its credentials under.
const HUB_SERVER: &str = "https://index.docker.io/v1/";

/// A user and what lets it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user: a person, a robot, `AWS` for ECR.
    pub user: String,
    /// The password or token.
    pub token: Secret,
}

impl Credentials {
    /// Out of a file with the token alone in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn from_file(user: impl Into<String>, file: &Path) -> std::io::Result<Self> {
        let token = std::fs::read_to_string(file)?;
        Ok(Self { user: user.into(), token: Secret::new(token.trim()) })
    }
}

/// A registry, and where in it our images go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryAddress {
    host: String,
    prefix: String,
    credentials: Option<Credentials>,
}

/// A text that is no registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRegistry {
    /// Not an address.
    #[error("`{0}` is not a registry; write oci://host/place, such as oci://ghcr.io/team/services")]
    Address(String),
    /// Docker Hub knows names of two parts only, and the second one is the service's.
    #[error("Docker Hub needs a namespace of one word: oci://docker.io/NAMESPACE")]
    Namespace,
}

impl fmt::Display for RegistryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}/{}", self.host, self.prefix)
    }
}

impl RegistryAddress {
    /// Reads `oci://host[:port]/place`.
    ///
    /// # Errors
    /// [`InvalidRegistry`].
    pub fn parse(text: &str, credentials: Option<Credentials>) -> Result<Self, InvalidRegistry> {
        let invalid = || InvalidRegistry::Address(text.chars().take(200).collect());
        let rest = text.strip_prefix("oci://").ok_or_else(invalid)?.trim_end_matches('/');
        let (host, prefix) = rest.split_once('/').ok_or_else(invalid)?;
        // The rules are those of images' names; a host alone would be taken for a part of one.
        let named = host.contains(['.', ':']) || host == "localhost";
        let reference: ImageReference = rest.parse().map_err(|_| invalid())?;
        let is_plain = reference.tag() == Some("latest") && !rest.ends_with(":latest");
        if !named || !is_plain || reference.digest().is_some() {
            return Err(invalid());
        }
        if reference.registry() == HUB && prefix.contains('/') {
            return Err(InvalidRegistry::Namespace);
        }
        Ok(Self { host: reference.registry().to_owned(), prefix: prefix.to_owned(), credentials })
    }

    /// The host, maybe with a port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What the names of our images in it begin with: no build may use them, and nobody may deploy them.
    #[must_use]
    pub fn guarded(&self) -> String {
        format!("{}/{}/", self.host, self.prefix)
    }

    /// Where the images of a service go. ECR makes no repository by itself, so there all share one.
    pub(super) fn repository(&self, service: ServiceId) -> String {
        if self.is_ecr() { self.prefix.clone() } else { format!("{}/{}", self.prefix, service.0.simple()) }
    }

    pub(super) fn is_ecr(&self) -> bool {
        self.host.contains(".dkr.ecr.") && self.host.ends_with(".amazonaws.com")
    }

    pub(super) const fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Without TLS only on this machine.
    fn is_insecure(&self) -> bool {
        let host = self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host);
        host == "localhost"
            || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }

    pub(super) fn protocol(&self) -> ClientProtocol {
        if self.is_insecure() {
            ClientProtocol::HttpsExcept(vec![self.host.clone()])
        } else {
            ClientProtocol::Https
        }
    }

    pub(super) fn auth(&self) -> RegistryAuth {
        match &self.credentials {
            Some(given) => RegistryAuth::Basic(given.user.clone(), given.token.reveal().to_owned()),
            None => RegistryAuth::Anonymous,
        }
    }

    /// What the engine pushes and pulls with.
    pub(super) fn for_engine(&self) -> Option<DockerCredentials> {
        let server = if self.host == HUB { HUB_SERVER } else { self.host.as_str() };
        self.credentials.as_ref().map(|given| DockerCredentials {
            username: Some(given.user.clone()),
            password: Some(given.token.reveal().to_owned()),
            serveraddress: Some(server.to_owned()),
            ..DockerCredentials::default()
        })
    }

    pub(super) fn manifest_url(&self, image: &Reference) -> String {
        let scheme = if self.is_insecure() { "http" } else { "https" };
        let host = image.resolve_registry();
        let digest = image.digest().unwrap_or_default();
        format!("{scheme}://{host}/v2/{}/manifests/{digest}", image.repository())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_written_as_their_users_know_them() {
        let service = ServiceId(uuid::Uuid::from_u128(7));
        let id = "00000000000000000000000000000007";
        for (text, repository, insecure) in [
            ("oci://ghcr.io/team/services", format!("team/services/{id}"), false),
            ("oci://docker.io/team", format!("team/{id}"), false),
            ("oci://1.dkr.ecr.eu-west-1.amazonaws.com/apps", "apps".to_owned(), false),
            ("oci://127.0.0.1:5001/a", format!("a/{id}"), true),
            ("oci://localhost:5000/a/", format!("a/{id}"), true),
        ] {
            let address = RegistryAddress::parse(text, None).expect(text);
            assert_eq!(
                (address.repository(service), address.is_insecure()),
                (repository, insecure),
                "{text}"
            );
            assert!(address.guarded().starts_with(address.host()) && address.guarded().ends_with('/'));
        }
        for text in [
            "",
            "oci://",
            "oci://ghcr.io",
            "ghcr.io/team",
            "oci://team/services",
            "oci://ghcr.io/Team",
            "oci://ghcr.io/team:tag",
            "oci://ghcr.io/team:latest",
            "oci://docker.io/team/more",
            "oci://user:secret@ghcr.io/team",
        ] {
            assert!(RegistryAddress::parse(text, None).is_err(), "{text}");
        }
    }
}
