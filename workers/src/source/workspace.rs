//! The directory that files are brought into: it is there whole, or not at all.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::fences::Fences;
use crate::key::StepKey;

/// A directory that is being filled, beside the one that it will be.
#[derive(Clone, Debug)]
pub(super) struct Workspace {
    part: PathBuf,
    into: PathBuf,
}

impl Workspace {
    /// Each worker fills one of its own, named by its fence.
    pub(super) fn new(into: &Path, key: StepKey) -> Self {
        Self { part: into.with_extension(format!("part-{}", key.fence.0)), into: into.to_owned() }
    }

    /// Takes away what earlier workers were filling when they were killed.
    pub(super) async fn clear(&self) -> io::Result<()> {
        let (own, into) = (self.part.clone(), self.into.clone());
        on_a_thread(move || {
            let (Some(parent), Some(name)) = (into.parent(), into.file_name()) else { return Ok(()) };
            let begin = format!("{}.part-", name.to_string_lossy());
            for entry in std::fs::read_dir(parent).into_iter().flatten() {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(&begin) && entry.path() != own {
                    disk::remove(&entry.path())?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Where the files go for now.
    pub(super) fn part(&self) -> &Path {
        &self.part
    }

    /// Puts what is there in place of whatever an earlier attempt left.
    pub(super) async fn place(self) -> io::Result<()> {
        on_a_thread(move || {
            disk::remove(&self.into)?;
            std::fs::rename(&self.part, &self.into)
        })
        .await
    }

    /// Takes away what is there, and what an earlier attempt left; of that, nothing when a later worker has
    /// the step, because then it may be that one's.
    pub(super) async fn discard(self, fences: &Fences, key: StepKey) {
        let is_ours = fences.enter(key).is_ok();
        let removed = on_a_thread(move || {
            disk::remove(&self.part)?;
            if is_ours { disk::remove(&self.into) } else { Ok(()) }
        })
        .await;
        if let Err(error) = removed {
            tracing::warn!(error = &error as &dyn std::error::Error, "a directory that is of no use stays");
        }
    }
}

async fn on_a_thread(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
