//! What a command is about: project, environment and service, from options, the environment,
//! `switchback.toml`, and the name of the directory.

use std::fs;
use std::io;
use std::path::Path;

use domain::manifest::{FILE_NAME, MAX_SIZE, Manifest};
use domain::name::ProjectName;

use crate::args::Global;
use crate::client::failure::{Exit, Failure};

/// The environment that is meant when none is named.
const ENVIRONMENT_DEFAULT: &str = "production";
/// The service that is meant when none is named and there is no single one.
pub(crate) const SERVICE_DEFAULT: &str = "web";

/// What a command is about, as far as somebody has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The project that was named.
    pub(crate) project: Option<String>,
    /// The project that the directory's name stands for.
    pub(crate) guessed_project: Option<String>,
    /// The environment.
    pub(crate) environment: String,
    /// The service that was named.
    pub(crate) service: Option<String>,
}

/// A service, wherever it is in the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) project: String,
    pub(crate) environment: String,
    pub(crate) service: String,
}

impl Place {
    /// The address of something that belongs to the service.
    pub(crate) fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let service =
            ["projects", &self.project, "environments", &self.environment, "services", &self.service];
        [&service[..], rest].concat()
    }

    /// The options that name it in a command to be typed.
    pub(crate) fn options(&self) -> String {
        let mut options = format!("-p {}", self.project);
        if self.environment != ENVIRONMENT_DEFAULT {
            options.push_str(&format!(" -e {}", self.environment));
        }
        format!("{options} -s {}", self.service)
    }
}

impl Target {
    /// Looks for it, in `directory` too when there is one.
    ///
    /// # Errors
    /// When `switchback.toml` cannot be read.
    pub(crate) fn find(global: &Global, directory: Option<&Path>) -> Result<Self, Failure> {
        let given = |option: &Option<String>| option.clone().filter(|name| !name.is_empty());
        let manifest = directory.map(read_manifest).transpose()?.unwrap_or_default();
        let service_of_manifest = manifest.service.name.map(|name| name.to_string());
        Ok(Self {
            project: given(&global.project).or(manifest.project),
            guessed_project: directory.and_then(directory_name).and_then(|name| project_name(&name)),
            environment: given(&global.environment)
                .or(manifest.environment)
                .unwrap_or_else(|| ENVIRONMENT_DEFAULT.to_owned()),
            service: given(&global.service).or(service_of_manifest),
        })
    }

    /// The project: named, or guessed.
    ///
    /// # Errors
    /// When nothing says which.
    pub(crate) fn project(&self) -> Result<&str, Failure> {
        let project = self.project.as_deref().or(self.guessed_project.as_deref());
        project.ok_or_else(|| {
            Failure::usage("which project?").try_next(
                "name it with -p, in SWITCHBACK_PROJECT, or as `project = \"…\"` in switchback.toml; \
                 `switchback projects list` shows what there is",
            )
        })
    }

    /// Tells where a name came from, when it was guessed and is not there.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        match (failure.code(), &self.project, &self.guessed_project) {
            (Some("project_not_found"), None, Some(guessed)) => {
                failure.because(format!("no project was named, so the directory's name was taken: {guessed}"))
            }
            _ => failure,
        }
    }
}

fn read_manifest(directory: &Path) -> Result<Manifest, Failure> {
    let path = directory.join(FILE_NAME);
    let text = match fs::metadata(&path).and_then(|metadata| {
        // Whoever is not read to the end is refused by its size all the same.
        let is_small = metadata.len() <= MAX_SIZE as u64;
        if is_small { fs::read_to_string(&path) } else { Ok(" ".repeat(MAX_SIZE + 1)) }
    }) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Manifest::default()),
        Err(error) => {
            let what = format!("read {}", path.display());
            return Err(Failure::new(Exit::Failed, what).because(error.to_string()));
        }
    };
    Manifest::parse(&text).map_err(|error| {
        Failure::usage(error.to_string())
            .because(format!("it is {}", path.display()))
            .coded("manifest_invalid")
    })
}

/// The name of a directory, however it is written.
fn directory_name(directory: &Path) -> Option<String> {
    let absolute = fs::canonicalize(directory).ok()?;
    Some(absolute.file_name()?.to_string_lossy().into_owned())
}

/// A name for a project, out of that of a directory or a repository.
pub(crate) fn project_name(stem: &str) -> Option<String> {
    let dashed: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let parts: Vec<&str> = dashed.split('-').filter(|part| !part.is_empty()).collect();
    let name: String = parts.join("-").chars().take(50).collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() {
        return None;
    }
    let candidates = [name.clone(), format!("my-{name}"), format!("{name}-app")];
    candidates.into_iter().find(|name| name.parse::<ProjectName>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directorys_name_becomes_one_that_a_project_may_have() {
        for (stem, name) in [
            ("shop", Some("shop")),
            ("My Shop (v2)", Some("My-Shop-v2")),
            ("a", Some("my-a")),
            ("api", Some("my-api")),
            (".config", Some("config")),
            ("---", None),
            ("", None),
            ("grün", Some("gr-n")),
        ] {
            assert_eq!(project_name(stem).as_deref(), name, "{stem}");
        }
        assert_eq!(project_name(&"x".repeat(80)), Some("x".repeat(50)));
    }

    #[test]
    fn options_name_the_environment_only_when_it_is_not_the_usual_one() {
        let place = |environment: &str| Place {
            project: "shop".into(),
            environment: environment.into(),
            service: "web".into(),
        };
        assert_eq!(place("production").options(), "-p shop -s web");
        assert_eq!(place("staging").options(), "-p shop -e staging -s web");
    }
}
