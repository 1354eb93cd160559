//! Python: `requirements.txt`, `pyproject.toml` (uv, Poetry or pip), `Pipfile`, or `manage.py`.
//!
//! Everything is installed into `.venv` beside the application. Where an application of WSGI or ASGI and a
//! server for it are both there, the server is started; otherwise the script is.

mod application;
mod install;
mod requirements;

use domain::plan::Language;

use crate::builder::detect::Look;
use crate::builder::detect::found::{Begin, Found, Part};
use crate::builder::detect::python::install::Installer;
use crate::builder::detect::python::requirements::Requirements;

/// Files of the standard library's users: a script alone, with nothing to install.
const SCRIPTS: [&str; 3] = ["app.py", "main.py", "server.py"];

pub(super) fn look(look: &Look) -> Option<Found> {
    let installer = Installer::choose(look);
    if installer.is_none() && !look.tree.has("manage.py") {
        return None;
    }
    let requirements = Requirements::read(look.tree);
    let mut seen: Vec<String> = installer.iter().flat_map(Installer::seen).map(str::to_owned).collect();
    if look.tree.has("manage.py") {
        seen.push("manage.py".into());
    }
    let install = installer.as_ref().map(|installer| installer.commands(look)).unwrap_or_default();
    let build = application::static_files(look.tree, &requirements);
    let mut found = Found::new(Language::Python, seen, application::start(look.tree, &requirements))
        .with_install(install)
        .with_build(build.into_iter().collect())
        .with_needs(&[(Part::Install, "python3"), (Part::Start, "python3")]);
    if let Some(version) = version(look) {
        found.notes.push(format!("the repository asks for Python {version}; the one of this server is used"));
    }
    Some(found)
}

/// A lone script, the weakest sign of all.
pub(super) fn look_for_scripts(look: &Look) -> Option<Found> {
    if Installer::choose(look).is_some() || look.tree.has("manage.py") {
        return None; // Found by its own rules.
    }
    let script = look.tree.first(&SCRIPTS)?;
    let start = Ok(Begin::Command(format!("python3 {script}")));
    Some(Found::new(Language::Python, vec![script.into()], start).with_needs(&[(Part::Start, "python3")]))
}

fn version(look: &Look) -> Option<String> {
    let text = look.tree.text(".python-version").or_else(|| look.tree.text("runtime.txt"))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let version = line.trim_start_matches("python-");
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    (version.len() < 30 && version.chars().all(plain)).then(|| version.to_owned())
}
