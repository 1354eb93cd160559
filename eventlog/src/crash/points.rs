//! The crash points there are, read from the sources: so a test tries those that were added since.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use domain::deployment::step::Step;

/// The names of the crash points in the crates of a checkout. Those that a step is the detail of stand once
/// for each step.
#[must_use]
pub fn of_crates(root: &Path, crates: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    crates.iter().for_each(|name| collect(&root.join(name).join("src"), &mut names));
    names
}

fn collect(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, names);
            continue;
        }
        let source = fs::read_to_string(&path).unwrap_or_default();
        for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let Some((_, rest)) = line.split_once("crash_point!(\"") else { continue };
            let name = rest.split('"').next().unwrap();
            if rest.contains("step") && name.starts_with("step.") {
                names.extend(Step::ALL.iter().map(|step| format!("{name}/{step}")));
            } else {
                names.insert(name.to_owned());
            }
        }
    }
}
