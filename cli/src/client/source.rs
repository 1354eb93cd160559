//! What `deploy` was pointed at: a repository that the server clones, files of this machine that are sent to
//! it, or an image that was built elsewhere.
//!
//! A directory that is in a git repository is sent as it was committed; any other as it is.

pub(crate) mod archive;
pub(crate) mod directory;
pub(crate) mod git;

use std::env;
use std::path::{Path, PathBuf};

use domain::source::image::{ImageReference, InvalidImage};
use domain::source::{InvalidSource, RepositoryUrl};

use crate::client::failure::Failure;

/// Hosts whose addresses people write without a protocol.
const FORGES: [&str; 4] = ["github.com", "gitlab.com", "bitbucket.org", "codeberg.org"];

/// What was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A repository, by its address.
    Repository(RepositoryUrl),
    /// A directory of this machine.
    Directory(PathBuf),
    /// An image, by its name.
    Image(ImageReference),
}

/// Why a source cannot be deployed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidName {
    /// An address with something wrong.
    #[error(transparent)]
    Address(#[from] InvalidSource),
    /// Neither there nor anything else.
    #[error("there is no directory `{0}`")]
    NoDirectory(String),
    /// A file.
    #[error("`{0}` is a file; a directory or a repository can be deployed")]
    File(String),
    /// The name of an image with something wrong.
    #[error(transparent)]
    Image(#[from] InvalidImage),
    /// An address without its protocol.
    #[error("there is no directory `{0}`")]
    WithoutProtocol(String),
}

impl From<InvalidName> for Failure {
    fn from(error: InvalidName) -> Self {
        let failure = Self::usage(error.to_string());
        match error {
            InvalidName::Address(_) => failure.coded("repository_invalid"),
            InvalidName::Image(_) => failure.coded("image_invalid"),
            InvalidName::NoDirectory(_) | InvalidName::File(_) => {
                failure.try_next("name a git URL, a repository on this machine, a directory, or an image")
            }
            InvalidName::WithoutProtocol(address) => {
                failure.try_next(format!("for the repository: switchback deploy https://{address}"))
            }
        }
    }
}

/// What `text` names, seen from `from`. What exists on this machine comes first.
///
/// # Errors
/// [`InvalidName`].
pub(crate) fn classify(text: &str, from: &Path) -> Result<Named, InvalidName> {
    let shown = || text.chars().take(200).collect::<String>();
    if text.contains("://") {
        return Ok(Named::Repository(text.parse()?));
    }
    let path = from.join(with_home(text));
    if !text.is_empty() && path.is_dir() {
        return Ok(Named::Directory(path));
    }
    if path.is_file() {
        return Err(InvalidName::File(shown()));
    }
    let is_path = text.is_empty() || text.starts_with(['.', '/', '~']);
    if is_path {
        return Err(InvalidName::NoDirectory(shown()));
    }
    if is_image(text) {
        return Ok(Named::Image(text.parse()?));
    }
    let first = text.split('/').next().unwrap_or_default();
    if FORGES.contains(&first) {
        return Err(InvalidName::WithoutProtocol(shown()));
    }
    match text.parse() {
        Ok(url) => Ok(Named::Repository(url)),
        Err(error) if text.contains(':') => Err(error.into()),
        Err(_) => Err(InvalidName::NoDirectory(shown())),
    }
}

/// `registry:5000/name`, `host.tld/name`, `name:tag`, `name@sha256:…`: not an address of git's, which has a
/// user or a host with a dot before the colon.
fn is_image(text: &str) -> bool {
    let (name, tag) = match text.rsplit_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (text, None),
    };
    if text.contains("@sha256:") {
        return true;
    }
    let first = name.split('/').next().unwrap_or_default();
    let has_registry = name.contains('/') && (first.contains('.') || first.contains(':'));
    let port_then_path =
        tag.is_some_and(|tag| tag.split_once('/').is_some_and(|(port, _)| port.parse::<u16>().is_ok()));
    let is_host_alone = first == name && (name.contains('.') || name.contains('@'));
    let is_scp = tag.is_some() && is_host_alone && !port_then_path;
    !is_scp && !FORGES.contains(&first) && (has_registry || port_then_path || tag.is_some())
}

/// A shell puts the home directory in the place of `~`; scripts may not have one.
fn with_home(text: &str) -> PathBuf {
    let rest = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    match (rest, env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Result<Named, InvalidName> {
        classify(text, Path::new("/"))
    }

    #[test]
    fn addresses_of_repositories_are_told_by_their_form() {
        for (text, url) in [
            ("https://github.com/a/b.git", "https://github.com/a/b.git"),
            ("ssh://git@host.example/a/b", "ssh://git@host.example/a/b"),
            ("file:///srv/repos/b", "file:///srv/repos/b"),
            ("git@github.com:a/b.git", "ssh://git@github.com/a/b.git"),
            ("github.com:a/b.git", "ssh://github.com/a/b.git"),
        ] {
            assert_eq!(named(text), Ok(Named::Repository(url.parse().expect("valid"))), "{text}");
        }
    }

    #[test]
    fn images_are_told_by_their_form() {
        for text in [
            "nginx:1.27",
            "ghcr.io/a/b",
            "ghcr.io/a/b:v1",
            "registry.example.com:5000/app:v1",
            "registry:5000/app",
            "a/b:v1",
        ] {
            assert_eq!(named(text), Ok(Named::Image(text.parse().expect("valid"))), "{text}");
        }
        for text in ["nginx@sha256:0123", "ghcr.io/A/b:v1"] {
            assert!(matches!(named(text), Err(InvalidName::Image(_))), "{text}: {:?}", named(text));
        }
    }

    #[test]
    fn what_is_nowhere_is_said_to_be_missing() {
        for text in ["", "nosuch", "./nosuch", "../nosuch", "/nosuch/dir", "~/nosuch-dir-of-mine", "a/b"] {
            assert!(matches!(named(text), Err(InvalidName::NoDirectory(_))), "{text}: {:?}", named(text));
        }
    }

    #[test]
    fn an_address_without_its_protocol_is_recognised() {
        assert_eq!(named("github.com/a/b"), Err(InvalidName::WithoutProtocol("github.com/a/b".into())));
    }

    #[test]
    fn a_bad_address_is_refused_by_the_domains_rules() {
        for text in ["ext::sh -c x", "git://host/a", "https://user:word@host/a", "-u"] {
            assert!(!matches!(named(text), Ok(Named::Repository(_))), "{text}");
        }
    }

    #[test]
    fn what_exists_comes_first() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("nginx:1.27")).unwrap();
        std::fs::write(home.path().join("app"), "").unwrap();
        let found = classify("nginx:1.27", home.path());
        assert_eq!(found, Ok(Named::Directory(home.path().join("nginx:1.27"))));
        assert_eq!(classify("app", home.path()), Err(InvalidName::File("app".into())));
        assert!(matches!(classify(".", home.path()), Ok(Named::Directory(_))));
    }
}
