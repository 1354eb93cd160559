//! A static site: files that are served as they are.

use domain::plan::Language;

use crate::builder::detect::Look;
use crate::builder::detect::found::{Begin, Found};

/// Directories that a site is looked for in.
pub(super) const DIRECTORIES: [&str; 4] = [".", "public", "dist", "www"];

pub(super) fn look(look: &Look) -> Option<Found> {
    let directory = directory(look)?;
    let seen = if directory == "." { "index.html".into() } else { format!("{directory}/index.html") };
    Some(Found::new(Language::Static, vec![seen], Ok(Begin::Static(directory.into()))))
}

/// The first directory with a page to begin at.
pub(super) fn directory(look: &Look) -> Option<&'static str> {
    DIRECTORIES.into_iter().find(|directory| look.tree.has(&format!("{directory}/index.html")))
}
