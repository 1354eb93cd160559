//! Repositories, brought by the git program: to exactly one revision, and without trusting anything in them.
//!
//! What is asked for is resolved to a full revision first; that is fetched into a mirror on this machine (the
//! second time, only what is new), and its files are written into the deployment's directory, without `.git`.
//! No hook, filter, helper or configuration of a repository is ever used, git speaks the protocol of the
//! address and no other, links that leave the tree are removed, and submodules are fetched by the same way
//! and rules, never by git itself.
//!
//! `Resolved → Fetched → Written aside → In place`: the directory is there whole, or not at all.

mod checkout;
mod command;
mod failure;
mod mirror;
mod reference;
mod settings;
mod submodule;

use std::path::{Path, PathBuf};

use domain::source::{GitRef, RepositoryUrl, Revision, RevisionId};
use tokio_util::sync::CancellationToken;

use crate::fences::{Fenced, Fences};
use crate::key::StepKey;
use crate::output::Output;
use crate::process::Supervisor;
use crate::source::SourceError;
use crate::source::git::checkout::{Counts, Submodule};
use crate::source::git::command::Git;
use crate::source::git::mirror::Mirror;
use crate::source::git::reference::Wanted;
use crate::source::workspace::Workspace;
use crate::turns::Turns;

pub use crate::source::git::settings::Settings;

/// Brings the files of repositories.
#[derive(Debug)]
pub struct GitSource {
    settings: Settings,
    supervisor: Supervisor,
    fences: Fences,
    turns: Turns,
}

/// A tree that is to be written: the repository itself, or one of its submodules.
#[derive(Clone, Debug)]
struct Part {
    url: RepositoryUrl,
    wanted: Wanted,
    into: PathBuf,
    /// Its path within the repository; empty for the repository itself.
    path: String,
    depth: usize,
}

impl GitSource {
    /// Runs git below `supervisor`.
    #[must_use]
    pub fn new(settings: Settings, supervisor: Supervisor) -> Self {
        Self { settings, supervisor, fences: Fences::default(), turns: Turns::default() }
    }

    /// Puts the files of a repository into `into`, see [`Source::fetch`](crate::source::Source::fetch).
    ///
    /// # Errors
    /// [`SourceError`].
    #[expect(clippy::too_many_arguments, reason = "the port's, with the repository taken apart")]
    pub async fn fetch(
        &self,
        key: StepKey,
        url: &RepositoryUrl,
        reference: Option<&GitRef>,
        pinned: Option<&Revision>,
        into: &Path,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Revision, SourceError> {
        let superseded = |fenced| failure::failed("fetch", Some(Box::new(fenced)));
        self.fences.enter(key).map_err(superseded)?;
        let turn = self.turns.take(key.deployment).await;
        let name = format!("fetch/{}", key.deployment);
        self.end(&name).await;
        let workspace = Workspace::new(into, key);
        let wanted = Wanted::of(reference, pinned);
        let cleared = workspace.clear().await;
        cleared.map_err(|error| failure::failed("take away what is left", Some(Box::new(error))))?;
        let bringing = self.bring(&name, url, wanted, workspace.part(), output);
        let result = tokio::select! {
            result = bringing => result,
            () = cancel.cancelled() => Err(failure::cancelled()),
            () = turn.superseded.cancelled() => Err(superseded(Fenced { step: key.step })),
            () = tokio::time::sleep(self.settings.limit) => Err(failure::timed_out(url, self.settings.limit)),
        };
        match result.and_then(|revision| self.fences.enter(key).map(|()| revision).map_err(superseded)) {
            Ok(revision) => {
                let cannot = |error| failure::failed("put the files in place", Some(Box::new(error)));
                workspace.place().await.map_err(cannot)?;
                Ok(revision)
            }
            Err(error) => {
                // What was given up is ended by now or in a moment; nothing of it may write any more.
                self.end(&name).await;
                workspace.discard(&self.fences, key).await;
                Err(error)
            }
        }
    }

    /// Ends what runs under a name.
    async fn end(&self, name: &str) {
        let (supervisor, name) = (self.supervisor.clone(), name.to_owned());
        let swept = tokio::task::spawn_blocking(move || supervisor.sweep(|other| other != name)).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(error = &error as &dyn std::error::Error, "a fetch may still run");
        }
    }

    /// Writes a repository and its submodules, one after the other.
    async fn bring(
        &self,
        name: &str,
        url: &RepositoryUrl,
        wanted: Wanted,
        into: &Path,
        output: &Output,
    ) -> Result<Revision, SourceError> {
        let git = Git::new(&self.settings, self.supervisor.clone(), name);
        let mut waiting =
            vec![Part { url: url.clone(), wanted, into: into.to_owned(), path: String::new(), depth: 0 }];
        let (mut counts, mut submodules, mut first) = (Counts::default(), 0, None);
        while let Some(part) = waiting.pop() {
            let within = |error: SourceError| submodule::within(&part.path, error);
            let (revision, found) =
                Box::pin(self.bring_part(&git, &part, &mut counts, output)).await.map_err(within)?;
            first.get_or_insert(revision);
            submodules += found.len();
            submodule::check(&self.settings, submodules, part.depth, &found)?;
            for submodule in found {
                waiting.push(part.submodule(submodule)?);
            }
        }
        first.ok_or_else(|| failure::failed("fetch", None))
    }

    async fn bring_part(
        &self,
        git: &Git<'_>,
        part: &Part,
        counts: &mut Counts,
        output: &Output,
    ) -> Result<(Revision, Vec<Submodule>), SourceError> {
        self.settings.allow(&part.url)?;
        self.settings.reserve.check(&self.settings.data).map_err(failure::disk_full)?;
        let what = if part.path.is_empty() { String::new() } else { format!(" (submodule {})", part.path) };
        output.say(format!("fetching {}{what}", part.url)).await;
        let target = reference::resolve(git, &part.url, &part.wanted).await?;
        let mirror = Mirror::lock(git, &self.settings, &part.url).await?;
        let id = mirror.fetch(git, &target).await?;
        let written = checkout::checkout(git, &mirror, &id, &part.into, counts);
        let (found, subject) = tokio::try_join!(written, mirror.subject(git, &id))?;
        for note in found.notes {
            output.say(note).await;
        }
        Ok((Revision { id, subject }, found.submodules))
    }
}

impl Part {
    /// The part that one of its submodules is.
    fn submodule(&self, found: Submodule) -> Result<Self, SourceError> {
        let path =
            if self.path.is_empty() { found.path.clone() } else { format!("{}/{}", self.path, found.path) };
        let url = submodule::address(&self.url, &path, found.url.as_deref())?;
        let wanted = Wanted::Revision(found.id);
        Ok(Self { url, wanted, into: self.into.join(&found.path), path, depth: self.depth + 1 })
    }
}

/// The revision that a text names in full.
fn full(text: &str) -> Option<RevisionId> {
    text.parse().ok()
}
