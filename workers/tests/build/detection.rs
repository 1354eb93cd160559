//! What is detected of many small trees, as the person who deploys reads it.

mod commands;
mod compiled;
mod docker;
mod node;
mod python;
mod refusals;

use workers::builder::BuildError;
use workers::builder::detect::{Detected, detect};
use workers::builder::tools::Tools;

use crate::files;

/// A machine with the languages, and without the tools that are had through them.
const TOOLS: [&str; 8] = ["python3", "node", "npm", "npx", "go", "cargo", "mvn", "java"];

fn detected(files: Files<'_>) -> Result<Detected, BuildError> {
    detected_with(&TOOLS, files)
}

fn detected_with(tools: &[&str], files: Files<'_>) -> Result<Detected, BuildError> {
    detect(files::tree(files).path(), &Tools::listed(tools))
}

/// The plan in a few lines.
fn said(detected: &Detected) -> String {
    let plan = &detected.plan;
    let mut lines = vec![format!("{} by {}", plan.language, plan.detected_by)];
    if !plan.root.is_empty() {
        lines.push(format!("in {}", plan.root));
    }
    lines.extend(plan.install.iter().map(|command| format!("install {command}")));
    lines.extend(plan.build.iter().map(|command| format!("build {command}")));
    lines.push(format!("start {}", plan.run.start));
    lines.extend(plan.run.release.iter().map(|command| format!("release {command}")));
    lines.extend(detected.notes.iter().map(|note| format!("note {note}")));
    lines.join("\n")
}

/// Paths and texts.
type Files<'a> = &'a [(&'a str, &'a str)];

/// Each tree, and the plan that is expected of it.
fn check(cases: &[(Files<'_>, &[&str])]) {
    for (files, expected) in cases {
        let names: Vec<_> = files.iter().map(|(path, _)| *path).collect();
        match detected(files) {
            Ok(found) => assert_eq!(said(&found), expected.join("\n"), "{names:?}"),
            Err(error) => panic!("{names:?}: {}: {error}", error.code),
        }
    }
}
