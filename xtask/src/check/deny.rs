//! cargo-deny: licences, sources, and versions to keep away from (`deny.toml`).
//!
//! Advisories are a call of their own: their database comes from GitHub, which not every machine reaches. The
//! workflow in `.github/` makes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::{Doing, Failure};
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
    let graph = graph_file()?;
    let mut command = Command::new(&deny);
    command.current_dir(workspace::root()).arg("--metadata-path").arg(&graph).arg("check").args(arguments);
    let answer = program::run(&mut command);
    fs::remove_file(&graph).doing(|| format!("remove {}", graph.display()))?;
    answer
}

/// The graph as cargo sees it, in a file, but for crates that turn on features of their own for their tests:
/// cargo-deny 0.20.2 (krates 0.21.2) panics on such a loop when the crate is renamed, as ours are.
fn graph_file() -> Result<PathBuf, Failure> {
    let text = program::output(&mut program::cargo(["metadata", "--format-version", "1", "--all-features"]))?;
    let mut metadata: Value = serde_json::from_str(&text).doing(|| "read cargo's metadata".to_owned())?;
    drop_loops(&mut metadata);
    let folder = metadata["target_directory"].as_str().unwrap_or_default();
    let path = Path::new(folder).join(format!("metadata-{}.json", std::process::id()));
    fs::write(&path, metadata.to_string()).doing(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn drop_loops(metadata: &mut Value) {
    for package in metadata["packages"].as_array_mut().into_iter().flatten() {
        let name = package["name"].clone();
        retain(&mut package["dependencies"], |dependency| dependency["name"] != name);
    }
    for node in metadata["resolve"]["nodes"].as_array_mut().into_iter().flatten() {
        let id = node["id"].clone();
        retain(&mut node["deps"], |dependency| dependency["pkg"] != id);
        retain(&mut node["dependencies"], |dependency| *dependency != id);
    }
}

fn retain(list: &mut Value, keep: impl FnMut(&Value) -> bool) {
    if let Some(list) = list.as_array_mut() {
        list.retain(keep);
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_dependency_on_itself_is_dropped() {
        let mut metadata = json!({
            "packages": [{ "name": "a", "dependencies": [{ "name": "a" }, { "name": "b" }] }],
            "resolve": { "nodes": [
                { "id": "a#1", "deps": [{ "pkg": "a#1" }, { "pkg": "b#1" }], "dependencies": ["a#1", "b#1"] }
            ] }
        });
        drop_loops(&mut metadata);
        let expected = json!({
            "packages": [{ "name": "a", "dependencies": [{ "name": "b" }] }],
            "resolve": { "nodes": [{ "id": "a#1", "deps": [{ "pkg": "b#1" }], "dependencies": ["b#1"] }] }
        });
        assert_eq!(metadata, expected);
    }
}
