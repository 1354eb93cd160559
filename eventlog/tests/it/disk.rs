//! Disks for tests: small ones, full ones, ones that cannot be written, ones whose power is cut.
//!
//! They need root and loop devices. Where these are not there, a test fails and says so, unless
//! `SWITCHBACK_TEST_POWER_CUT=off` is set: then it says so and passes.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Whether disks can be made here.
///
/// # Panics
/// When they cannot, and nobody has said that they need not be.
pub(crate) fn can_be_made() -> bool {
    let is_off = std::env::var("SWITCHBACK_TEST_POWER_CUT").is_ok_and(|value| value == "off");
    let is_root = rustix::process::geteuid().is_root();
    assert!(
        is_off || is_root,
        "this test mounts file systems and needs root; run it as root, or set SWITCHBACK_TEST_POWER_CUT=off"
    );
    !is_off
}

/// A file system that is mounted until it is dropped.
pub(crate) struct Mount {
    dir: TempDir,
}

impl Mount {
    pub(crate) fn tmpfs(options: &str) -> Self {
        Self::new(&["-t", "tmpfs", "-o", options, "tmpfs"])
    }

    fn image(image: &Path) -> Self {
        // The journal is written when something is synced, and otherwise not while a test runs.
        Self::new(&["-t", "ext4", "-o", "loop,commit=300", image.to_str().unwrap()])
    }

    fn new(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(Command::new("mount").args(arguments).arg(dir.path()));
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Gives a tmpfs another size.
    pub(crate) fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        run(Command::new("mount").args(["-o", &options]).arg(self.dir.path()));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process of a test that failed may still be on it.
        let _ = Command::new("umount").arg("--lazy").arg(self.dir.path()).status();
    }
}

/// A disk whose power can be cut: ext4 on a loop device over a file.
pub(crate) struct Disk {
    mount: Mount,
    image: PathBuf,
    place: TempDir,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let image = place.path().join("disk");
        std::fs::File::create(&image).unwrap().set_len(128 * 1024 * 1024).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        Self { mount: Mount::image(&image), image, place }
    }

    pub(crate) fn path(&self) -> &Path {
        self.mount.path()
    }

    /// The disk as it would be found if the power went now: what was not forced to it is not there.
    pub(crate) fn cut(&self, number: u32) -> Mount {
        let copy = self.place.path().join(format!("cut-{number}"));
        run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&copy));
        Mount::image(&copy)
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|err| panic!("{command:?}: {err}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
