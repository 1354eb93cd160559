//! Images to build on, which no registry has to be asked for: BusyBox for most tests, Debian with Python for
//! builds.
//!
//! Made once, from Debian's packages, and kept as archives in the user's cache: safe to delete.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::engines::install;
use crate::failure::{Doing, Failure};
use crate::{program, workspace};

/// Raise it when what is in the images changes.
const VERSION: u32 = 2;
/// What this machine trusts; some networks have a proxy with an authority of its own.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUPS: &str = "root:x:0:\nnogroup:x:65534:\n";

/// An image to be imported.
pub(super) struct Image {
    pub(super) name: &'static str,
    pub(super) archive: PathBuf,
}

/// Makes those that are not there.
pub(super) fn make() -> Result<[Image; 2], Failure> {
    Ok([
        Image { name: "switchback-test/busybox:latest", archive: made("busybox", busybox)? },
        Image { name: "switchback-test/debian:latest", archive: made("debian-bookworm", debian)? },
    ])
}

/// The archive of an image: found, or filled into a folder and packed.
fn made(name: &str, fill: impl Fn(&Path) -> Result<(), Failure>) -> Result<PathBuf, Failure> {
    let cache = workspace::cache("engines")?;
    let archive = cache.join(format!("{name}-{VERSION}.tar"));
    if archive.exists() {
        return Ok(archive);
    }
    // Before the lock, which installing takes too.
    install::program_of("busybox-static", "/usr/bin/busybox")?;
    install::program_of("debootstrap", "/usr/sbin/debootstrap")?;
    let _lock = workspace::lock_cache()?;
    if archive.exists() {
        return Ok(archive); // Another task was quicker.
    }
    eprintln!("engines: making the image {name}");
    let root = cache.join(format!("making-{name}"));
    if root.exists() {
        // One that was interrupted.
        fs::remove_dir_all(&root).doing(|| format!("remove {}", root.display()))?;
    }
    fs::create_dir_all(&root).doing(|| format!("make {}", root.display()))?;
    fill(&root)?;
    add_authorities(&root)?;
    let packed = cache.join(format!("{name}.packing"));
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--one-file-system", "-C"]).arg(&root).arg("-cf").arg(&packed).arg(".");
    program::output(&mut tar)?;
    // The name is only taken when all of it is there.
    fs::rename(&packed, &archive).doing(|| format!("put {} in place", archive.display()))?;
    fs::remove_dir_all(&root).doing(|| format!("remove {}", root.display()))?;
    Ok(archive)
}

/// One program under all its names.
fn busybox(root: &Path) -> Result<(), Failure> {
    for folder in ["bin", "sbin", "usr/bin", "usr/sbin", "etc", "tmp", "root", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(folder)).doing(|| format!("make /{folder} of an image"))?;
    }
    program::output(Command::new("chmod").arg("1777").arg(root.join("tmp")))?;
    fs::copy("/usr/bin/busybox", root.join("bin/busybox")).doing(|| "copy busybox".to_owned())?;
    for name in program::output(Command::new("/usr/bin/busybox").arg("--list-full"))?.lines() {
        let link = root.join(name);
        if !link.exists() {
            symlink("/bin/busybox", &link).doing(|| format!("make /{name} of an image"))?;
        }
    }
    fs::write(root.join("etc/passwd"), USERS).doing(|| "write the users of an image".to_owned())?;
    fs::write(root.join("etc/group"), GROUPS).doing(|| "write the groups of an image".to_owned())
}

/// Debian with what every Debian has, about 200 MB.
fn debian(root: &Path) -> Result<(), Failure> {
    let mut debootstrap = Command::new("/usr/sbin/debootstrap");
    program::output(
        debootstrap.args(["--variant=minbase", "--include=python3-minimal,python3", "bookworm"]).arg(root),
    )?;
    let downloaded = root.join("var/cache/apt/archives");
    for package in fs::read_dir(&downloaded).into_iter().flatten().flatten() {
        if package.path().extension().is_some_and(|extension| extension == "deb") {
            fs::remove_file(package.path()).doing(|| "remove a downloaded package".to_owned())?;
        }
    }
    Ok(())
}

fn add_authorities(root: &Path) -> Result<(), Failure> {
    let Ok(authorities) = fs::read(AUTHORITIES) else { return Ok(()) }; // A machine may have none.
    let file = root.join(AUTHORITIES.trim_start_matches('/'));
    let folder = file.parent().ok_or_else(|| Failure::new("the authorities have no folder"))?;
    fs::create_dir_all(folder).doing(|| format!("make {}", folder.display()))?;
    fs::write(&file, authorities).doing(|| format!("write {}", file.display()))
}
