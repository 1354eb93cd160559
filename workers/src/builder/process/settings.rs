//! What an operator can choose about builds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::builder::tools;
use crate::disk::{Reserve, Usage};
use crate::process::Limits;

/// The settings of a [`ProcessBuilder`](crate::builder::process::ProcessBuilder).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory: builds are in `builds/<deployment>`, caches in `cache/builds/<service>`.
    pub data: PathBuf,
    /// How long a build may take.
    pub limit: Duration,
    /// How much a build may hold: its files, its home and its temporary files together.
    pub tree: Usage,
    /// How much the caches of a service may hold; above that they are emptied before the next build.
    pub cache_bytes_max: u64,
    /// What is kept free on the disk.
    pub reserve: Reserve,
    /// What a command may use up.
    pub limits: Limits,
    /// Where programs are looked for.
    pub path: String,
    /// What builds are given of the platform's own environment: proxies, indexes, authorities.
    pub environment: BTreeMap<String, String>,
    /// The home out of which the configuration of the tools is taken (`.npmrc`, `pip.conf`,
    /// `.cargo/config.toml`, …, without credentials, as far as those can be told). None when builds get none
    /// of it.
    pub home: Option<PathBuf>,
}

/// Variables that builds are given when the platform has them; a name that ends in `*` stands for all that
/// begin so. What sounds like a credential is never passed.
const PASSED: [&str; 44] = [
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
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_TRUSTED_HOST",
    "PIP_CERT",
    "PIP_DEFAULT_TIMEOUT",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_FIND_LINKS",
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
    "npm_config_cafile",
    "NPM_CONFIG_CAFILE",
    "YARN_REGISTRY",
    "YARN_NPM_REGISTRY_SERVER",
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOFLAGS",
    "GOTOOLCHAIN",
    "GOROOT",
    "CARGO_HTTP_*",
    "CARGO_NET_*",
    "CARGO_SOURCE_*",
    "CARGO_REGISTRIES_*",
    "RUSTUP_*",
    "JAVA_HOME",
    "MAVEN_OPTS",
    "PYENV_ROOT",
];

impl Settings {
    /// With everything but the place at its default. `environment` is the platform's own.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, environment: &BTreeMap<String, String>) -> Self {
        let home = environment.get("HOME").map(PathBuf::from);
        let mut passed = passed(environment, &PASSED);
        // rustup finds its toolchains by the home, and a build has another one.
        if let Some(rustup) = home.as_ref().map(|home| home.join(".rustup")).filter(|rustup| rustup.is_dir())
        {
            passed.entry("RUSTUP_HOME".into()).or_insert_with(|| rustup.display().to_string());
        }
        Self {
            data: data.into(),
            limit: Duration::from_mins(15),
            tree: Usage { bytes: 2 << 30, entries: 1_000_000 },
            cache_bytes_max: 4 << 30,
            reserve: Reserve::default(),
            limits: Limits { processes_max: Some(4096), ..Limits::default() },
            path: environment.get("PATH").cloned().unwrap_or_else(|| tools::PATH.to_owned()),
            environment: passed,
            home,
        }
    }

    pub(super) fn builds(&self) -> PathBuf {
        self.data.join("builds")
    }

    /// The caches of all services.
    pub(super) fn caches(&self) -> PathBuf {
        self.data.join("cache/builds")
    }

    /// The directory of Python's version manager, when that is there.
    pub(super) fn pyenv(&self) -> Option<PathBuf> {
        let root = self.environment.get("PYENV_ROOT").map(PathBuf::from);
        let root = root.or_else(|| self.home.as_deref().map(|home: &Path| home.join(".pyenv")))?;
        root.is_dir().then_some(root)
    }
}

/// The variables with these names.
fn passed(environment: &BTreeMap<String, String>, names: &[&str]) -> BTreeMap<String, String> {
    let secret =
        |name: &str| ["TOKEN", "PASSWORD", "SECRET", "CREDENTIAL"].iter().any(|word| name.contains(word));
    let wanted = |name: &str| {
        names.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == *wanted,
        })
    };
    let chosen = environment.iter().filter(|(name, _)| wanted(name) && !secret(&name.to_ascii_uppercase()));
    chosen.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_and_no_credential_is_passed() {
        let environment = [
            ("HTTPS_PROXY", "p"),
            ("CARGO_NET_OFFLINE", "true"),
            ("CARGO_REGISTRIES_X_INDEX", "i"),
            ("CARGO_REGISTRIES_X_TOKEN", "t"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("DATABASE_URL", "d"),
            ("SWITCHBACK_TOKEN", "t"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let names: Vec<_> = passed(&environment, &PASSED).into_keys().collect();
        assert_eq!(names, ["CARGO_NET_OFFLINE", "CARGO_REGISTRIES_X_INDEX", "HTTPS_PROXY"]);
    }
}
