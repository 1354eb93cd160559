//! The programs of the languages: which of them this machine has, and how to get the others.

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use rustix::fs::Access;

/// Where programs are, when the platform itself was not told.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Where programs are looked for.
#[derive(Clone, Debug)]
pub struct Tools(Place);

#[derive(Clone, Debug)]
enum Place {
    Path(OsString),
    Listed(BTreeSet<String>),
    Images,
}

/// What the images have that builds begin with; the others are fetched as the commands say.
const IN_IMAGES: [&str; 9] = ["node", "npm", "npx", "yarn", "python3", "go", "cargo", "mvn", "java"];

impl Tools {
    /// In the directories of a `PATH`.
    #[must_use]
    pub fn on(path: impl AsRef<OsStr>) -> Self {
        Self(Place::Path(path.as_ref().to_owned()))
    }

    /// Exactly these, for a test that must not depend on the machine.
    #[must_use]
    pub fn listed(names: &[&str]) -> Self {
        Self(Place::Listed(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    /// Those of the images that a builder with Docker begins with.
    #[must_use]
    pub const fn in_images() -> Self {
        Self(Place::Images)
    }

    /// Whether images are built, so that a Dockerfile can be and each instance has ports of its own.
    #[must_use]
    pub const fn builds_images(&self) -> bool {
        matches!(self.0, Place::Images)
    }

    /// Whether there is such a program.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Where it is.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        match &self.0 {
            Place::Images => IN_IMAGES.contains(&name).then(|| PathBuf::from("/usr/bin").join(name)),
            Place::Listed(names) => names.contains(name).then(|| PathBuf::from("/usr/bin").join(name)),
            Place::Path(path) => env::split_paths(path)
                .filter(|directory| directory.is_absolute())
                .map(|directory| directory.join(name))
                .find(|file| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok()),
        }
    }
}

/// How a program is had, for whoever runs this machine.
#[must_use]
pub fn advice(program: &str) -> &'static str {
    match program {
        "python3" => {
            "on Debian and Ubuntu: `apt install python3 python3-venv`; otherwise from https://www.python.org"
        }
        "node" | "npm" | "npx" => {
            "on Debian and Ubuntu: `apt install nodejs npm`; otherwise from https://nodejs.org"
        }
        "go" => "from https://go.dev/dl",
        "cargo" => "from https://rustup.rs",
        "mvn" => {
            "on Debian and Ubuntu: `apt install maven`; or add the Maven wrapper (`mvnw`) to the repository"
        }
        "java" => {
            "on Debian and Ubuntu: `apt install default-jdk-headless`; otherwise from https://adoptium.net"
        }
        "git" => "on Debian and Ubuntu: `apt install git`",
        _ => "with the package manager of this machine",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_is_an_executable_file_in_an_absolute_directory_of_the_path() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, mode| {
            let path = directory.path().join(name);
            fs::write(&path, "").expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        };
        file("tool", 0o755);
        file("text", 0o644);
        fs::create_dir(directory.path().join("folder")).expect("made");
        let path = env::join_paths([".".as_ref(), "/nowhere".as_ref(), directory.path()]).expect("joined");
        let tools = Tools::on(path);
        assert_eq!(tools.find("tool"), Some(directory.path().join("tool")));
        assert!(!tools.has("text") && !tools.has("folder") && !tools.has("absent"));
        assert!(!Tools::on("").has("tool"));
    }
}
