//! The environment of an instance: what it is meant to have, and nothing of the platform's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::registry::Files;
use crate::runtime::process::directories::Own;
use crate::runtime::{Environment, RuntimeError};

/// Where an application brings programs of its own, within its files.
const BROUGHT: [&str; 3] = [".switchback/bin", ".venv/bin", "node_modules/.bin"];

/// The directory that something runs in.
pub(super) fn directory(given: &Environment) -> Result<&Path, RuntimeError> {
    match &given.files {
        Files::Directory(directory) => Ok(directory),
        Files::Image(_) => Err(needs_an_engine()),
    }
}

/// What a process cannot run.
pub(super) fn needs_an_engine() -> RuntimeError {
    RuntimeError {
        code: "docker_needed",
        message: "an image is run by the Docker Engine, and this server runs processes; start it with \
                  --runtime docker:"
            .into(),
        permanent: true,
        source: None,
    }
}

/// Variables win over what the platform would set, save `PORT` (and the mark of the process, which is added
/// later).
pub(super) fn build(
    path: &str,
    given: &Environment,
    own: &Own,
    port: Option<u16>,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([
        ("HOME".to_owned(), own.home.display().to_string()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("PATH".to_owned(), path.to_owned()),
        ("TMPDIR".to_owned(), own.temporary.display().to_string()),
    ]);
    environment.extend(given.variables.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())));
    if let Some(path) = environment.get_mut("PATH") {
        let brought = directory(given).map(|files| brought(files, &given.root)).unwrap_or_default();
        *path = brought.into_iter().chain([std::mem::take(path)]).collect::<Vec<_>>().join(":");
    }
    environment.extend(port.map(|port| ("PORT".to_owned(), port.to_string())));
    environment
}

/// The directories of programs that the application brought, those of the service before those of the
/// repository.
fn brought(files: &Path, root: &str) -> Vec<String> {
    let files = std::path::absolute(files).unwrap_or_else(|_| files.to_owned());
    let mut places: Vec<PathBuf> = vec![files.join(root), files];
    places.dedup();
    let directories = places.iter().flat_map(|place| BROUGHT.map(|name| place.join(name)));
    directories
        .filter(|directory| directory.is_dir())
        .map(|directory| directory.display().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use domain::id::{OrganizationId, ServiceId};
    use domain::secret::Secret;

    use super::*;

    fn given(directory: &std::path::Path, root: &str, variables: &[(&str, &str)]) -> Environment {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
        Environment {
            organization: OrganizationId(uuid::Uuid::nil()),
            service: ServiceId(uuid::Uuid::nil()),
            files: Files::Directory(directory.to_owned()),
            root: root.to_owned(),
            port: None,
            read_only: false,
            variables: variables.collect(),
            memory_bytes: None,
            cpu_millis: None,
        }
    }

    fn own() -> Own {
        Own { home: "/i/home".into(), temporary: "/i/tmp".into() }
    }

    #[test]
    fn it_holds_what_it_is_meant_to_and_no_more() {
        let files = tempfile::tempdir().unwrap();
        let given = given(files.path(), "", &[("A", "1"), ("PORT", "80"), ("LANG", "de_DE.UTF-8")]);
        let environment = build("/bin", &given, &own(), Some(4000));
        let expected = [
            ("A", "1"),
            ("HOME", "/i/home"),
            ("LANG", "de_DE.UTF-8"),
            ("PATH", "/bin"),
            ("PORT", "4000"),
            ("TMPDIR", "/i/tmp"),
        ];
        assert_eq!(environment, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn programs_that_were_brought_come_first_even_before_a_path_of_the_users() {
        let files = tempfile::tempdir().unwrap();
        for directory in ["api/node_modules/.bin", ".venv/bin"] {
            std::fs::create_dir_all(files.path().join(directory)).unwrap();
        }
        let environment = build("/bin", &given(files.path(), "api", &[("PATH", "/opt/x")]), &own(), None);
        let at = files.path().display();
        assert_eq!(environment["PATH"], format!("{at}/api/node_modules/.bin:{at}/.venv/bin:/opt/x"));
        assert_eq!(environment.get("PORT"), None);
    }
}
