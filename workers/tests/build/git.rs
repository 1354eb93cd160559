//! Repositories: what is brought, and what is said about those that cannot be.

mod bring;
mod failures;
mod hostile;
mod submodules;

use std::fs;

use domain::deployment::step::Step;
use domain::source::{GitRef, Revision};
use tokio_util::sync::CancellationToken;
use workers::disk::Reserve;
use workers::source::SourceError;
use workers::source::git::{GitSource, Settings};

use crate::files;
use crate::platform::{LIMIT, Platform, environment};

/// A platform that fetches.
struct Fetcher {
    platform: Platform,
    git: GitSource,
}

impl Fetcher {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let platform = Platform::new();
        let mut settings = Settings::new(platform.data.path(), &environment());
        settings.reserve = Reserve { bytes: 0, percent: 0 };
        change(&mut settings);
        Self { git: GitSource::new(settings, platform.supervisor.clone()), platform }
    }

    async fn fetch(&self, url: &str, reference: Option<&str>) -> Result<Revision, SourceError> {
        self.fetch_pinned(url, reference, None, 1).await
    }

    async fn fetch_pinned(
        &self,
        url: &str,
        reference: Option<&str>,
        pinned: Option<&str>,
        fence: u32,
    ) -> Result<Revision, SourceError> {
        let url = url.parse().expect("an address");
        let reference: Option<GitRef> = reference.map(|reference| reference.parse().expect("a reference"));
        let pinned =
            pinned.map(|id| Revision { id: id.parse().expect("a revision"), subject: String::new() });
        let output = self.platform.output();
        let cancel = CancellationToken::new();
        let key = self.platform.key(Step::Fetch, fence);
        let into = self.platform.workspace();
        let fetching =
            self.git.fetch(key, &url, reference.as_ref(), pinned.as_ref(), &into, &output, &cancel);
        tokio::time::timeout(LIMIT, fetching).await.expect("within the limit")
    }

    /// The files that were brought, as `path=text`, links as `path->target`.
    fn files(&self) -> Vec<String> {
        files::listing(&self.platform.workspace())
    }

    /// What is in the directory of the deployment: the files, and nothing half made beside them.
    fn beside(&self) -> Vec<String> {
        let parent = self.platform.workspace();
        let entries = fs::read_dir(parent.parent().expect("below")).into_iter().flatten();
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
    }
}
