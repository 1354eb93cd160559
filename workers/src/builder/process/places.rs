//! The directories of one build.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use domain::plan::Plan;

use crate::builder::BuildRequest;
use crate::builder::process::settings::Settings;
use crate::builder::process::{caches, configuration};
use crate::disk;

const HOME: &str = "home";
const TEMPORARY: &str = "tmp";

/// Where everything of a build is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// The deployment's own directory, which holds the others but the cache.
    pub(super) deployment: PathBuf,
    /// The root of the service within its files: where commands run.
    pub(super) root: PathBuf,
    /// The home of the build.
    pub(super) home: PathBuf,
    /// Its temporary files.
    pub(super) temporary: PathBuf,
    /// The caches of its service.
    pub(super) cache: PathBuf,
}

impl Places {
    pub(super) fn new(settings: &Settings, request: &BuildRequest, plan: &Plan) -> Self {
        let deployment = settings.builds().join(request.deployment.to_string());
        Self {
            root: if plan.root.is_empty() {
                request.directory.clone()
            } else {
                request.directory.join(&plan.root)
            },
            home: deployment.join(HOME),
            temporary: deployment.join(TEMPORARY),
            cache: settings.caches().join(request.service.to_string()),
            deployment,
        }
    }

    /// Makes those that are not there, and hands the configuration of the tools in.
    pub(super) fn make(self, settings: Settings) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        move || {
            caches::prune(&self.cache, settings.cache_bytes_max)?;
            for directory in [&self.home, &self.temporary] {
                disk::remove(directory)?; // Of an earlier attempt.
                private(directory)?;
            }
            private(&self.cache)?;
            settings.home.map_or(Ok(()), |home| configuration::hand_in(&home, &self.home, &self.cache))
        }
    }

    /// Removes what nobody needs any more.
    pub(super) fn clear(&self) -> io::Result<()> {
        clear(&self.deployment)
    }
}

/// Removes what a deployment has besides its files.
pub(super) fn clear(deployment: &Path) -> io::Result<()> {
    disk::remove(&deployment.join(HOME))?;
    disk::remove(&deployment.join(TEMPORARY))
}

/// A directory that only the platform's user may look into.
fn private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}
