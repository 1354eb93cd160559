//! Where a deployment's files come from: a repository, an upload, or an image that was built elsewhere.

pub mod image;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::digest::Digest;
use crate::rejection::{Kind, Rejection};
use crate::source::image::ImageReference;

/// The longest address of a repository, in bytes.
pub const MAX_URL_LENGTH: usize = 2048;
/// The longest name of a branch or tag, in bytes.
pub const MAX_REFERENCE_LENGTH: usize = 250;
/// How much of a revision's message is kept, in characters.
pub const MAX_SUBJECT_LENGTH: usize = 200;

/// Where a deployment's files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Source {
    /// A git repository that the platform clones.
    Repository {
        /// Where it is.
        url: RepositoryUrl,
        /// Branch, tag or revision; the repository's default branch when it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<GitRef>,
    },
    /// An archive that was uploaded before.
    Upload {
        /// Its digest, as the upload's answer gave it.
        digest: Digest,
        /// The revision it was made from, when it came out of a repository.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<Revision>,
    },
    /// An image that was built elsewhere.
    Image {
        /// Which; what runs is pinned to the digest that it has when it is deployed.
        reference: ImageReference,
    },
}

/// What was wrong with the description of a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSource {
    /// Not an address.
    #[error(
        "`{0}` is not the address of a repository; write https://host/path, ssh://user@host/path, user@host:path or file:///path"
    )]
    Address(String),
    /// A protocol that is not spoken.
    #[error(
        "`{0}` is not a protocol for repositories; https, ssh and file are, and http to this machine only"
    )]
    Protocol(String),
    /// A password in an address would end up in the log.
    #[error(
        "the repository's address contains a password or token; leave it out, since addresses are \
         recorded for ever"
    )]
    Password,
    /// Too long.
    #[error("the repository's address has more than {MAX_URL_LENGTH} characters")]
    TooLong,
    /// Not a name of a branch, tag or revision.
    #[error(
        "`{0}` is not the name of a branch, a tag or a revision (the rules are those of git check-ref-format)"
    )]
    Reference(String),
    /// Not a revision.
    #[error("`{0}` is not a revision; it has 40 or 64 hexadecimal digits")]
    Revision(String),
}

impl Rejection for InvalidSource {
    fn code(&self) -> &'static str {
        match self {
            Self::Address(_) | Self::Protocol(_) | Self::Password | Self::TooLong => "repository_invalid",
            Self::Reference(_) => "reference_invalid",
            Self::Revision(_) => "revision_invalid",
        }
    }

    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn field(&self) -> Option<&'static str> {
        Some(match self {
            Self::Address(_) | Self::Protocol(_) | Self::Password | Self::TooLong => "source.url",
            Self::Reference(_) => "source.reference",
            Self::Revision(_) => "source.revision",
        })
    }
}

/// The address of a repository: parsed and put together anew, so nothing of the text reaches git as it was
/// written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RepositoryUrl(Url);

impl RepositoryUrl {
    /// The protocol: `https`, `ssh`, `file`, or `http` to this machine.
    #[must_use]
    pub fn protocol(&self) -> &str {
        self.0.scheme()
    }

    /// As git is given it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The last part of its path without `.git`: what a project made for it is called.
    #[must_use]
    pub fn stem(&self) -> &str {
        let path = self.0.path().trim_end_matches('/');
        path.rsplit('/').next().unwrap_or(path).trim_end_matches(".git")
    }
}

/// `user@host:path`, as git and people write it, in the form of a URL.
fn scp_form(text: &str) -> Option<String> {
    if text.contains("://") {
        return None;
    }
    let (host, path) = text.split_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "@._-".contains(c);
    let valid = !host.is_empty() && !host.starts_with('-') && host.contains('.') || host.contains('@');
    (valid && host.chars().all(plain) && !path.is_empty() && !path.starts_with('-'))
        .then(|| format!("ssh://{host}/{}", path.trim_start_matches('/')))
}

impl FromStr for RepositoryUrl {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let shown = || text.chars().take(200).collect::<String>();
        if text.len() > MAX_URL_LENGTH {
            return Err(InvalidSource::TooLong);
        }
        // `ext::…` would have git run a program. An address of IPv6 has colons too, but after its protocol.
        let helper = text.split("://").next().is_some_and(|before| before.contains("::"));
        if text.starts_with('-') || helper || text.chars().any(char::is_control) {
            return Err(InvalidSource::Address(shown()));
        }
        let expanded = scp_form(text).unwrap_or_else(|| text.to_owned());
        let url = Url::parse(&expanded).map_err(|_| InvalidSource::Address(shown()))?;
        let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "https" | "ssh" | "file" => {}
            "http" if here => {}
            other => return Err(InvalidSource::Protocol(other.to_owned())),
        }
        if url.password().is_some() || (url.scheme() != "ssh" && !url.username().is_empty()) {
            return Err(InvalidSource::Password);
        }
        let host_is_option = url.host_str().is_some_and(|host| host.starts_with('-'));
        let named = url.path().trim_matches('/');
        let local = url.scheme() == "file";
        if named.is_empty()
            || host_is_option
            || url.username().starts_with('-')
            || local == here_or_there(&url)
        {
            return Err(InvalidSource::Address(shown()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidSource::Address(shown()));
        }
        // Put together anew it can be longer, and has to be read back from an event.
        if url.as_str().len() > MAX_URL_LENGTH {
            return Err(InvalidSource::TooLong);
        }
        Ok(Self(url))
    }
}

/// Whether the address names a host.
fn here_or_there(url: &Url) -> bool {
    url.host_str().is_some_and(|host| !host.is_empty())
}

impl TryFrom<String> for RepositoryUrl {
    type Error = InvalidSource;

    fn try_from(text: String) -> Result<Self, InvalidSource> {
        text.parse()
    }
}

impl From<RepositoryUrl> for String {
    fn from(url: RepositoryUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_str())
    }
}

/// The name of a branch, a tag, or a revision in full or shortened; the rules are those of `git
/// check-ref-format`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct GitRef(String);

impl GitRef {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GitRef {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let bad_character = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
        let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
        let bad = text.len() > MAX_REFERENCE_LENGTH
            || text.starts_with('-')
            || text.ends_with('.')
            || text == "@"
            || text.contains("..")
            || text.contains("@{")
            || text.chars().any(bad_character)
            || text.split('/').any(bad_part);
        if bad {
            return Err(InvalidSource::Reference(text.chars().take(200).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for GitRef {
    type Error = InvalidSource;

    fn try_from(text: String) -> Result<Self, InvalidSource> {
        text.parse()
    }
}

impl From<GitRef> for String {
    fn from(reference: GitRef) -> Self {
        reference.0
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The full name of a git commit. (In this project *commit* means an append to the log.)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RevisionId(String);

impl RevisionId {
    /// All digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, as people quote it.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl FromStr for RevisionId {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digits && (text.len() == 40 || text.len() == 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSource::Revision(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for RevisionId {
    type Error = InvalidSource;

    fn try_from(text: String) -> Result<Self, InvalidSource> {
        text.parse()
    }
}

impl From<RevisionId> for String {
    fn from(revision: RevisionId) -> Self {
        revision.0
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A git commit: its name and the first line of its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// Its full name.
    pub id: RevisionId,
    /// The first line of its message, cut to [`MAX_SUBJECT_LENGTH`] characters.
    pub subject: String,
}

#[cfg(test)]
mod tests;
