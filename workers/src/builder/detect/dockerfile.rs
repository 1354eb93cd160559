//! A Dockerfile of the repository's own: it says everything, and so wins over what the files are.

use domain::manifest::{self, Manifest};
use domain::plan::{Dockerfile, Language, Plan, Start};

use crate::builder::BuildError;
use crate::builder::detect::procfile::Procfile;
use crate::builder::detect::{Detected, refused, run};
use crate::builder::tree::Tree;

/// What it is called when nobody says so.
pub(super) const NAMES: [&str; 3] = ["Dockerfile", "Containerfile", "dockerfile"];

/// The plan by the Dockerfile that the manifest names, or by the one that is there, unless the manifest says
/// how to build without one.
pub(super) fn look(
    tree: &Tree,
    root: &str,
    manifest: &Manifest,
    procfile: &Procfile,
) -> Result<Option<Detected>, BuildError> {
    let build = &manifest.build;
    let has_commands = build.install.is_some() || build.build.is_some();
    let path = match (&build.dockerfile, tree.first(&NAMES)) {
        (Some(_), _) if has_commands => {
            let message = format!(
                "{} says both `dockerfile` and `install` or `build`; a Dockerfile has its commands in it, so \
                 remove one or the other",
                manifest::FILE_NAME
            );
            return Err(refused("manifest_invalid", message));
        }
        (Some(path), _) if !tree.has(path) => {
            let message = format!("{}: there is no file `{path}` in the repository", manifest::FILE_NAME);
            return Err(refused("dockerfile_missing", message));
        }
        (Some(path), _) => path.clone(),
        (None, Some(name)) if !has_commands => name.to_owned(),
        (None, _) => return of_nothing(manifest),
    };
    let release = match (&manifest.run.release, &procfile.release) {
        (Some(command), _) => Some(command.clone()),
        (None, Some(line)) => Some(line.command()?),
        (None, None) => None,
    };
    let mut notes = vec![];
    if build.dockerfile.is_none() {
        notes.push(format!("building by {path}, whatever else the files are"));
    }
    if procfile.web.is_some() && manifest.run.command.is_none() {
        notes.push("the image says what is started, not the Procfile".to_owned());
    }
    let start = manifest.run.command.clone().map_or(Start::Image {}, Start::Command);
    let plan = Plan {
        language: Language::Dockerfile,
        detected_by: path.clone(),
        root: root.to_owned(),
        dockerfile: Some(Dockerfile {
            path,
            target: build.target.clone(),
            arguments: build.arguments.clone(),
            secrets: build.secrets.clone(),
        }),
        install: vec![],
        build: vec![],
        run: run(manifest.run.clone(), start, release),
    };
    Ok(Some(Detected { plan, notes }))
}

/// What is only for a Dockerfile would be lost without anybody noticing.
fn of_nothing(manifest: &Manifest) -> Result<Option<Detected>, BuildError> {
    let build = &manifest.build;
    if build.target.is_none() && build.arguments.is_empty() && build.secrets.is_empty() {
        return Ok(None);
    }
    let message = format!(
        "{}: `target`, `arguments` and `secrets` are for a Dockerfile, and none is used; name it by \
         `dockerfile`",
        manifest::FILE_NAME
    );
    Err(refused("manifest_invalid", message))
}
