//! The mirror of a repository on this machine: what was fetched once is not fetched again.
//!
//! It is a bare repository that git made without any template, in a directory named by the hash of the
//! address. Every revision that is there whole has a name in it (`refs/switchback/<revision>`), given after
//! git has seen that all of it is there. It can be removed at any time when nobody holds its lock.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::source::{MAX_SUBJECT_LENGTH, RepositoryUrl, RevisionId};
use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};

use crate::disk::{self, Usage};
use crate::source::SourceError;
use crate::source::git::command::{Git, Ran, Run};
use crate::source::git::reference::{Target, missing, with_ending};
use crate::source::git::settings::Settings;
use crate::source::git::{failure, full};

/// How often a lock that somebody else holds is tried.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// A mirror, for as long as it is held.
#[derive(Debug)]
pub(super) struct Mirror {
    url: RepositoryUrl,
    directory: PathBuf,
    _lock: File,
}

impl Mirror {
    /// Waits for the mirror of an address, and makes it when there is none.
    pub(super) async fn lock(
        git: &Git<'_>,
        settings: &Settings,
        url: &RepositoryUrl,
    ) -> Result<Self, SourceError> {
        let cannot = |error: io::Error| failure::failed("lock the mirror", Some(Box::new(error)));
        let cache = Git::cache(settings);
        fs::create_dir_all(&cache).map_err(cannot)?;
        let name = hex::encode(&Sha256::digest(url.as_str())[..16]);
        let path = cache.join(format!("{name}.lock"));
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(cannot)?;
        loop {
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {
                    tokio::time::sleep(TRY_EVERY).await;
                }
                Err(error) => return Err(cannot(error.into())),
            }
        }
        let mirror = Self { url: url.clone(), directory: cache.join(name), _lock: lock };
        if !mirror.directory.join("HEAD").exists() {
            mirror.make(git).await?;
        }
        Ok(mirror)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn url(&self) -> &RepositoryUrl {
        &self.url
    }

    async fn make(&self, git: &Git<'_>) -> Result<(), SourceError> {
        let path = self.directory.to_string_lossy();
        self.remove().await?; // What a kill may have left half made.
        git.succeed(Run {
            arguments: vec!["init", "--quiet", "--bare", "--template=", &path],
            ..Run::default()
        })
        .await?;
        Ok(())
    }

    async fn remove(&self) -> Result<(), SourceError> {
        let directory = self.directory.clone();
        let removed = tokio::task::spawn_blocking(move || disk::remove(&directory)).await;
        let removed = removed.unwrap_or_else(|error| Err(io::Error::other(error)));
        removed.map_err(|error| failure::failed("remove an old mirror", Some(Box::new(error))))
    }

    /// Sees to it that a revision is here whole, and answers with its full name. A mirror that turns out to
    /// be broken is made anew, once.
    pub(super) async fn fetch(&self, git: &Git<'_>, target: &Target) -> Result<RevisionId, SourceError> {
        if let Target::Revision(id) = target
            && self.has(id)
        {
            return Ok(id.clone());
        }
        if disk::usage(&self.directory, self.limit(git)).bytes > git.settings().bytes_max / 2 {
            self.make(git).await?; // Too much of the past: only what is wanted now is fetched again.
        }
        match self.fetch_target(git, target).await {
            Err(error) if error.code == "source_failed" && !error.permanent => {
                self.make(git).await?;
                self.fetch_target(git, target).await
            }
            result => result,
        }
    }

    fn has(&self, id: &RevisionId) -> bool {
        self.directory.join("refs/switchback").join(id.as_str()).exists()
    }

    const fn limit(&self, git: &Git<'_>) -> Usage {
        let _ = self;
        Usage { bytes: git.settings().bytes_max, entries: u64::MAX }
    }

    async fn fetch_target(&self, git: &Git<'_>, target: &Target) -> Result<RevisionId, SourceError> {
        if let Target::Revision(id) = target {
            let name = format!("+{id}:refs/switchback/{id}");
            let ran = self.run_fetch(git, &["--depth=1", "--no-tags"], &[&name]).await?;
            if ran.succeeded {
                return Ok(id.clone());
            }
            if !failure::is_refused_revision(&ran.messages) {
                return Err(failure::of_git(Some(&self.url), &ran.messages));
            }
        }
        self.fetch_history(git, target).await
    }

    /// All branches and tags, for a server that does not hand out a revision by its name.
    async fn fetch_history(&self, git: &Git<'_>, target: &Target) -> Result<RevisionId, SourceError> {
        let all = ["+refs/heads/*:refs/history/heads/*", "+refs/tags/*:refs/history/tags/*"];
        let is_shallow = self.directory.join("shallow").exists();
        let options: &[&str] = if is_shallow { &["--unshallow", "--prune"] } else { &["--prune"] };
        let ran = self.run_fetch(git, options, &all).await?;
        if !ran.succeeded {
            return Err(failure::of_git(Some(&self.url), &ran.messages));
        }
        let name = match target {
            Target::Revision(id) => id.as_str(),
            Target::Shortened(name) => name,
        };
        let revision = format!("{name}^{{commit}}");
        let arguments = vec!["rev-parse", "--verify", "--quiet", "--end-of-options", &revision];
        let found = git.run(Run { arguments, directory: Some(&self.directory), ..Run::default() }).await?;
        let Some(id) = full(String::from_utf8_lossy(&found.answer).trim()).filter(|_| found.succeeded) else {
            return Err(missing(&self.url, name, &self.branches()));
        };
        let reference = format!("refs/switchback/{id}");
        let arguments = vec!["update-ref", &reference, id.as_str()];
        git.succeed(Run { arguments, directory: Some(&self.directory), ..Run::default() }).await?;
        Ok(id)
    }

    /// The branches of a fetched history, as far as they are files of their own.
    fn branches(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.join("refs/history/heads")).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// Fetches, and ends that when the mirror grows over the limit or the disk gets full.
    async fn run_fetch(&self, git: &Git<'_>, options: &[&str], names: &[&str]) -> Result<Ran, SourceError> {
        let ran = self.run_fetch_from(git, options, self.url.as_str(), names).await?;
        if !ran.succeeded && failure::is_redirect(&ran.messages) && !self.url.as_str().ends_with(".git") {
            return self.run_fetch_from(git, options, &with_ending(&self.url), names).await;
        }
        Ok(ran)
    }

    async fn run_fetch_from(
        &self,
        git: &Git<'_>,
        options: &[&str],
        address: &str,
        names: &[&str],
    ) -> Result<Ran, SourceError> {
        let mut arguments =
            vec!["fetch", "--quiet", "--force", "--no-write-fetch-head", "--no-recurse-submodules"];
        arguments.extend_from_slice(options);
        arguments.extend_from_slice(&["--", address]);
        arguments.extend_from_slice(names);
        let run = Run { arguments, directory: Some(&self.directory), url: Some(&self.url), ..Run::default() };
        let settings = git.settings();
        let watch = disk::watch(vec![self.directory.clone()], self.limit(git), settings.reserve);
        let exceeded = tokio::select! {
            ran = git.run(run) => {
                let used = disk::usage(&self.directory, self.limit(git));
                if used.bytes <= settings.bytes_max {
                    return ran;
                }
                disk::Exceeded::Size(used)
            }
            exceeded = watch => exceeded,
        };
        self.remove().await?;
        Err(failure::exceeded(&self.url, exceeded, settings.bytes_max))
    }

    /// The first line of a revision's message.
    pub(super) async fn subject(&self, git: &Git<'_>, id: &RevisionId) -> Result<String, SourceError> {
        let arguments = vec!["log", "-1", "--format=%s", "--no-show-signature", id.as_str(), "--"];
        let answer =
            git.succeed(Run { arguments, directory: Some(&self.directory), ..Run::default() }).await?;
        let text = String::from_utf8_lossy(&answer);
        let line = text.lines().next().unwrap_or_default();
        Ok(line.chars().filter(|c| !c.is_control()).take(MAX_SUBJECT_LENGTH).collect())
    }
}
