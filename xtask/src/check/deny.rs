//! cargo-deny: licences, sources, and versions to keep away from (`deny.toml`).
//!
//! Advisories are a call of their own: their database comes from GitHub, which not every machine reaches. The
//! workflow in `.github/` makes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::{program, workspace};

const VERSION: &str = "0.20.2";

/// Built for a program that runs for one second: 80 s on two cores, where its own settings (one unit, fat
/// LTO) take 145 s.
const QUICK_BUILD: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// What can be judged by what is on this machine.
pub(super) fn bans_licenses_sources() -> Result<(), Failure> {
    // A skip that skips nothing any more hides the next duplicate.
    ask(&["-D", "unmatched-skip", "-D", "unnecessary-skip", "bans", "licenses", "sources"])
}

/// Known holes in what we depend on.
pub(super) fn advisories() -> Result<(), Failure> {
    ask(&["advisories"])
}

/// Asks cargo-deny, after installing it where it is not there.
fn ask(arguments: &[&str]) -> Result<(), Failure> {
    let tools = workspace::cache("tools")?;
    let deny = tools.join("bin/cargo-deny");
    install(&tools, &deny)?;
    program::run(Command::new(&deny).current_dir(workspace::root()).arg("check").args(arguments))
}

fn install(tools: &Path, deny: &PathBuf) -> Result<(), Failure> {
    if is_installed(deny) {
        return Ok(());
    }
    let _lock = workspace::lock_cache()?;
    if is_installed(deny) {
        return Ok(()); // Another task was quicker.
    }
    println!("check: installing cargo-deny {VERSION} in {} (once; about 80 s on two cores)", tools.display());
    let mut cargo =
        program::cargo(["install", "cargo-deny", "--locked", "--force", "--version", VERSION, "--root"]);
    // Not into our target/: other flags would build our own crates again.
    cargo.arg(tools).env_remove("CARGO_TARGET_DIR").envs(QUICK_BUILD);
    program::run(&mut cargo)
}

fn is_installed(deny: &PathBuf) -> bool {
    program::output(Command::new(deny).arg("--version"))
        .is_ok_and(|version| version.trim().ends_with(VERSION))
}
