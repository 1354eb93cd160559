//! What an operator can choose about repositories.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use domain::source::RepositoryUrl;

use crate::builder::tools;
use crate::disk::{Reserve, Usage};
use crate::source::SourceError;
use crate::source::git::failure;

/// The settings of a [`GitSource`](crate::source::git::GitSource).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory; mirrors are in `cache/git` below it.
    pub data: PathBuf,
    /// How long bringing one repository may take, with its submodules.
    pub limit: Duration,
    /// How large a repository may be while it is fetched, in bytes.
    pub bytes_max: u64,
    /// How large and how many its files may be, in bytes.
    pub files: Usage,
    /// How many submodules it may have, those of submodules included.
    pub submodules_max: usize,
    /// How deep submodules may have submodules.
    pub depth_max: usize,
    /// Whether repositories on this machine may be deployed (`file://`).
    pub allow_file: bool,
    /// Whether ssh may be spoken, with the keys of the user that the platform runs as.
    pub allow_ssh: bool,
    /// The command of ssh. Never a string of a user's: git gives it to a shell.
    pub ssh_command: String,
    /// What is kept free on the disk.
    pub reserve: Reserve,
    /// Where git and ssh are looked for.
    pub path: String,
    /// What git is given besides: proxies, authorities, the agent of ssh.
    pub environment: BTreeMap<String, String>,
}

/// Variables of the platform's own environment that git is given, because it cannot reach repositories
/// without them.
const PASSED: [&str; 14] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "SSH_AUTH_SOCK",
];

impl Settings {
    /// With everything but the place at its default. `environment` is the platform's own, of which git is
    /// given what it needs.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, environment: &BTreeMap<String, String>) -> Self {
        let passed = environment.iter().filter(|(name, _)| PASSED.contains(&name.as_str()));
        Self {
            data: data.into(),
            limit: Duration::from_secs(290),
            bytes_max: 500 << 20,
            files: Usage { bytes: 2 << 30, entries: 100_000 },
            submodules_max: 20,
            depth_max: 3,
            allow_file: true,
            allow_ssh: true,
            ssh_command: "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=15"
                .into(),
            reserve: Reserve::default(),
            path: environment.get("PATH").cloned().unwrap_or_else(|| tools::PATH.to_owned()),
            environment: passed.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    /// Refuses addresses of protocols that are not spoken here.
    pub(super) fn allow(&self, url: &RepositoryUrl) -> Result<(), SourceError> {
        let allowed = match url.protocol() {
            "file" => self.allow_file,
            "ssh" => self.allow_ssh,
            "https" | "http" => true, // The latter only to this machine, see RepositoryUrl.
            _ => false,
        };
        if allowed { Ok(()) } else { Err(failure::forbidden_protocol(url)) }
    }
}
