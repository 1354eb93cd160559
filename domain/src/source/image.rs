//! The name of an image, by the rules of the OCI distribution specification and of `docker pull`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::rejection::{Kind, Rejection};

/// The longest name, in bytes, without tag and digest.
pub const MAX_NAME_LENGTH: usize = 255;
/// The longest tag, in bytes.
pub const MAX_TAG_LENGTH: usize = 128;

/// The registry of names that name none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where that registry keeps images of one word.
const DEFAULT_NAMESPACE: &str = "library";
/// The tag of names that have none.
const DEFAULT_TAG: &str = "latest";

/// The name of an image, in full: `nginx` is `docker.io/library/nginx:latest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// What is wrong with the name of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImage {
    /// Its registry.
    #[error("`{0}` is not a registry; it is written host or host:port")]
    Registry(String),
    /// Its name.
    #[error(
        "`{0}` is not the name of an image; its parts have small letters and digits, with `.`, `_` or `-` \
         between them, such as ghcr.io/team/app:v1"
    )]
    Name(String),
    /// Its tag.
    #[error("`{0}` is not a tag; it has letters, digits, `_`, `.` and `-`, at most {MAX_TAG_LENGTH} of them")]
    Tag(String),
    /// Its digest.
    #[error("`{0}` is not a digest; it is written sha256: and 64 hexadecimal digits")]
    Digest(String),
    /// Too long.
    #[error("the name of the image has more than {MAX_NAME_LENGTH} characters")]
    TooLong,
}

impl Rejection for InvalidImage {
    fn code(&self) -> &'static str {
        "image_invalid"
    }

    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn field(&self) -> Option<&'static str> {
        Some("source.reference")
    }
}

impl ImageReference {
    /// The registry: a host, maybe with a port.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Its place in the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Its tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Its digest, when it is pinned.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and place, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Exactly that content of it.
    #[must_use]
    pub fn pinned(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.name())
    }

    /// The last part of its name: what a project made for it is called.
    #[must_use]
    pub fn stem(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }
}

fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

/// `host`, `host:port` or `[address]:port`, and nothing that could be taken for part of a path or an option.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    is_host && port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// `[a-z0-9]+` with `.`, `_`, `__` or dashes between.
fn is_component(text: &str) -> bool {
    let mut rest = text;
    loop {
        let word = rest.trim_start_matches(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if word.len() == rest.len() {
            return false;
        }
        if word.is_empty() {
            return true;
        }
        let between = word.len() - word.trim_start_matches(['.', '_', '-']).len();
        let separator = &word[..between];
        let dashes = !separator.is_empty() && separator.bytes().all(|b| b == b'-');
        if !dashes && !matches!(separator, "." | "_" | "__") {
            return false;
        }
        rest = &word[between..];
    }
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= MAX_TAG_LENGTH
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || c == '.' || c == '-')
}

impl FromStr for ImageReference {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|_| InvalidImage::Digest(shown(digest)))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        // A colon after the last slash begins a tag; one before it a port.
        let path_at = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[path_at..].split_once(':') {
            Some((_, tag)) if !is_tag(tag) => return Err(InvalidImage::Tag(shown(tag))),
            Some((last, tag)) => (&rest[..path_at + last.len()], Some(tag.to_owned())),
            None => (rest, None),
        };
        let is_host = |first: &str| {
            first == "localhost"
                || first.contains(['.', ':'])
                || first.chars().any(|c| c.is_ascii_uppercase())
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_host(first) => (first, path),
            _ => (DEFAULT_REGISTRY, name),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        if !is_registry(registry) {
            return Err(InvalidImage::Registry(shown(registry)));
        }
        if !path.split('/').all(is_component) {
            return Err(InvalidImage::Name(shown(text)));
        }
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("{DEFAULT_NAMESPACE}/{path}")
        } else {
            path.to_owned()
        };
        if registry.len() + 1 + repository.len() > MAX_NAME_LENGTH {
            return Err(InvalidImage::TooLong);
        }
        let tag = tag.or_else(|| digest.is_none().then(|| DEFAULT_TAG.to_owned()));
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

impl TryFrom<String> for ImageReference {
    type Error = InvalidImage;

    fn try_from(text: String) -> Result<Self, InvalidImage> {
        text.parse()
    }
}

impl From<ImageReference> for String {
    fn from(reference: ImageReference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        f.pad(&format!("{}/{}{tag}{digest}", self.registry, self.repository))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_name_is_completed_as_docker_does() {
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("team/app", "docker.io/team/app:latest"),
            ("index.docker.io/team/app", "docker.io/team/app:latest"),
            ("ghcr.io/team/app:v1", "ghcr.io/team/app:v1"),
            ("localhost/app", "localhost/app:latest"),
            ("127.0.0.1:5000/a/b__c/d--e:x_.-1", "127.0.0.1:5000/a/b__c/d--e:x_.-1"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("registry:5000/app", "registry:5000/app:latest"),
        ] {
            let reference: ImageReference = text.parse().expect(text);
            assert_eq!(reference.to_string(), full);
            assert_eq!(full.parse::<ImageReference>(), Ok(reference), "{full}");
        }
    }

    #[test]
    fn a_digest_pins_with_or_without_a_tag() {
        let reference: ImageReference = format!("nginx:1.27@{DIGEST}").parse().expect("sound");
        assert_eq!(reference.tag(), Some("1.27"));
        assert_eq!(
            reference.pinned(reference.digest().expect("there")),
            format!("docker.io/library/nginx@{DIGEST}")
        );
        let reference: ImageReference = format!("nginx@{DIGEST}").parse().expect("sound");
        assert_eq!((reference.tag(), reference.stem()), (None, "nginx"));
    }

    #[test]
    fn whatever_is_no_name_is_refused() {
        let long = "a".repeat(MAX_NAME_LENGTH);
        let tag = format!("a:{}", "t".repeat(MAX_TAG_LENGTH + 1));
        for text in [
            "",
            "-u",
            "--privileged",
            "Nginx",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "a___b",
            "a:",
            "a:-x",
            "a:b:c",
            "a b",
            "a\nb",
            "a@",
            "a@sha256:0123",
            "a@sha512:0123",
            "host.example:99999/a",
            "-x.example/a",
            "user@host.example/a",
            "https://host.example/a",
            "$(touch x)",
            "../a",
            "./a",
            &long,
            &tag,
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
        let most = "t".repeat(MAX_TAG_LENGTH);
        assert!(format!("a:{most}").parse::<ImageReference>().is_ok());
    }
}
