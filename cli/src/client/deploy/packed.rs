//! Files of this machine on their way to the server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::source::{GitRef, Revision};
use serde_json::{Value, json};

use crate::client::failure::Failure;
use crate::client::http::Sent;
use crate::client::session::Session;
use crate::client::source::archive::Archive;
use crate::client::source::directory;
use crate::client::source::git::Checkout;
use crate::client::target::Place;
use crate::ui::Ui;
use crate::ui::progress::Progress;

/// How many names are told of those that were left out.
const NAMES_MAX: usize = 5;

/// A packed source and where it is from.
pub(super) struct Packed {
    archive: Archive,
    revision: Option<Revision>,
    warnings: Vec<String>,
    /// What it is, in words.
    pub(super) what: String,
}

impl Packed {
    /// Packs a directory: as it was committed, when it is in a repository; as it is otherwise. Takes its
    /// time.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or too large.
    pub(super) fn pack(directory: &Path, reference: Option<&GitRef>) -> Result<Self, Failure> {
        let shown = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        let Some(checkout) = Checkout::open(directory, reference)? else {
            if let Some(reference) = reference {
                let what = format!("--ref {reference} needs a repository, and {} is none", shown.display());
                return Err(Failure::usage(what));
            }
            let (archive, left_out) = Archive::pack(|to| directory::archive(directory, to))?;
            let what = format!("{} as it is", shown.display());
            return Ok(Self { archive, revision: None, warnings: left_out_words(&left_out), what });
        };
        let (archive, ()) = Archive::pack(|to| checkout.archive(to))?;
        let Revision { id, subject } = &checkout.revision;
        let what = format!("{} {subject}", id.short());
        Ok(Self { archive, warnings: warnings(&checkout), what, revision: Some(checkout.revision) })
    }

    /// Says what is not in it although somebody may think so.
    pub(super) fn warn(&self, ui: &Ui) {
        for warning in &self.warnings {
            ui.warn(warning);
        }
    }

    /// Sends it. Answers with the source that names it.
    ///
    /// # Errors
    /// When the server does not take it.
    pub(super) async fn send(&self, session: &Session, place: &Place) -> Result<Value, Failure> {
        let bytes = self.archive.bytes;
        session.ui.note(&format!("Sending {} ({}).", self.what, size(bytes)));
        let progress = Arc::new(Progress::of_bytes(&session.ui, bytes));
        progress.message("sending".to_owned());
        let shown = Arc::clone(&progress);
        let on_progress = move |sent| match sent {
            Sent::Nothing => shown.restart(),
            Sent::More(bytes) => shown.advance(bytes),
        };
        let path = place.path(&["sources"]);
        let answer = session.api.upload(&path, &self.archive.file, bytes, on_progress).await?;
        let digest = &answer.data["digest"];
        Ok(json!({"kind": "upload", "digest": digest, "revision": self.revision}))
    }
}

fn warnings(checkout: &Checkout) -> Vec<String> {
    let uncommitted = match checkout.uncommitted {
        0 => None,
        1 => Some("1 uncommitted change is not part of this deployment".to_owned()),
        count => Some(format!("{count} uncommitted changes are not part of this deployment")),
    };
    let submodules = match checkout.submodules {
        0 => None,
        count => Some(format!(
            "submodules ({count}) are not part of this deployment; a repository's URL brings them"
        )),
    };
    uncommitted.into_iter().chain(submodules).collect()
}

fn left_out_words(left_out: &[PathBuf]) -> Vec<String> {
    if left_out.is_empty() {
        return vec![];
    }
    let names: Vec<_> = left_out.iter().take(NAMES_MAX).map(|name| name.display().to_string()).collect();
    let more = if left_out.len() > NAMES_MAX { ", …" } else { "" };
    let names = names.join(", ");
    vec![format!("sockets, pipes and devices are not part of this deployment: {names}{more}")]
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}
