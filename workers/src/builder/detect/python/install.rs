//! How the packages of an application are installed: by what locks them.
//!
//! uv, Poetry and Pipenv are programs of Python themselves. One that is not on this machine is put into the
//! service's cache (`$BUILD_CACHE`), never into the application's own environment, whose packages it would
//! mix with its own.

use toml::Table;

use crate::builder::detect::Look;
use crate::builder::detect::found::quote;
use crate::builder::detect::python::requirements::dependencies;

/// How many requirements one command names.
const REQUIREMENTS_PER_COMMAND: usize = 30;

/// What installs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Installer {
    /// `uv.lock`.
    Uv,
    /// `poetry.lock`, or `[tool.poetry]` without one.
    Poetry { locked: bool },
    /// `Pipfile`, and its lock.
    Pipenv { locked: bool },
    /// `requirements.txt`.
    Pip,
    /// `pyproject.toml` of a package that builds itself.
    Package,
    /// `pyproject.toml` that lists requirements and builds nothing.
    Listed(Vec<String>),
}

impl Installer {
    pub(super) fn choose(look: &Look) -> Option<Self> {
        let tree = look.tree;
        let project: Option<Table> = tree.text("pyproject.toml").and_then(|text| text.parse().ok());
        let tool = |name: &str| {
            project
                .as_ref()
                .and_then(|project| project.get("tool")?.get(name))
                .is_some_and(toml::Value::is_table)
        };
        if project.is_some() && tree.has("uv.lock") {
            return Some(Self::Uv);
        }
        if project.is_some() && tree.has("poetry.lock") {
            return Some(Self::Poetry { locked: true });
        }
        if tree.has("Pipfile") && (tree.has("Pipfile.lock") || !tree.has("requirements.txt")) {
            return Some(Self::Pipenv { locked: tree.has("Pipfile.lock") });
        }
        if tree.has("requirements.txt") {
            return Some(Self::Pip);
        }
        let project = project.as_ref()?;
        if tool("poetry") && !project.contains_key("project") {
            return Some(Self::Poetry { locked: false });
        }
        if !project.contains_key("project") {
            return None; // Settings of tools only.
        }
        Some(if project.contains_key("build-system") {
            Self::Package
        } else {
            Self::Listed(dependencies(project))
        })
    }

    pub(super) fn seen(&self) -> Vec<&'static str> {
        match self {
            Self::Uv => vec!["pyproject.toml", "uv.lock"],
            Self::Poetry { locked: true } => vec!["pyproject.toml", "poetry.lock"],
            Self::Poetry { locked: false } | Self::Package | Self::Listed(_) => vec!["pyproject.toml"],
            Self::Pipenv { locked: true } => vec!["Pipfile", "Pipfile.lock"],
            Self::Pipenv { locked: false } => vec!["Pipfile"],
            Self::Pip => vec!["requirements.txt"],
        }
    }

    pub(super) fn commands(&self, look: &Look) -> Vec<String> {
        let mut commands = vec!["python3 -m venv .venv".to_owned()];
        let pip = ".venv/bin/pip install";
        match self {
            Self::Uv => tool(look, &mut commands, "uv", "sync --frozen --no-dev --inexact"),
            Self::Poetry { .. } => {
                tool(look, &mut commands, "poetry", "install --only main --no-root --no-interaction");
            }
            Self::Pipenv { locked: true } => tool(look, &mut commands, "pipenv", "sync"),
            Self::Pipenv { locked: false } => tool(look, &mut commands, "pipenv", "install --skip-lock"),
            Self::Pip => commands.push(format!("{pip} -r requirements.txt")),
            Self::Package => commands.push(format!("{pip} .")),
            Self::Listed(requirements) => {
                for some in requirements.chunks(REQUIREMENTS_PER_COMMAND) {
                    let some: Vec<_> = some.iter().map(|requirement| quote(requirement)).collect();
                    commands.push(format!("{pip} {}", some.join(" ")));
                }
            }
        }
        commands
    }
}

/// The tool of this machine, or one of the cache.
fn tool(look: &Look, commands: &mut Vec<String>, name: &str, arguments: &str) {
    if look.tools.has(name) {
        commands.push(format!("{name} {arguments}"));
        return;
    }
    let home = format!("$BUILD_CACHE/{name}");
    commands.push(format!("python3 -m venv {home}"));
    commands.push(format!("{home}/bin/pip install {name}"));
    commands.push(format!("{home}/bin/{name} {arguments}"));
}
