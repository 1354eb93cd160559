//! Which of our crates may know which (DESIGN §1). A new arrow needs a decision record, and then a line here.

use std::process::Command;

use serde_json::Value;

use crate::failure::{Doing, Failure};
use crate::program;
use crate::tidy::Finding;

/// Crate, and what it may depend on, in tests as well.
const ARROWS: [(&str, &[&str]); 8] = [
    ("switchback-domain", &[]),
    ("switchback-eventlog", &["switchback-domain"]),
    ("switchback-commands", &["switchback-domain", "switchback-eventlog"]),
    ("switchback-projections", &["switchback-domain", "switchback-eventlog"]),
    ("switchback-workers", &["switchback-domain", "switchback-eventlog", "switchback-commands"]),
    (
        "switchback-gateway",
        // Decision 0003: event subscriptions and build logs are read from the log itself.
        &["switchback-domain", "switchback-commands", "switchback-projections", "switchback-eventlog"],
    ),
    (
        "switchback",
        &[
            "switchback-domain",
            "switchback-eventlog",
            "switchback-commands",
            "switchback-projections",
            "switchback-workers",
            "switchback-gateway",
        ],
    ),
    ("xtask", &[]),
];

/// Asks cargo what the manifests say.
pub(super) fn check() -> Result<Vec<Finding>, Failure> {
    let mut cargo: Command = program::cargo(["metadata", "--no-deps", "--format-version", "1"]);
    let text = program::output(&mut cargo)?;
    let metadata: Value =
        serde_json::from_str(&text).doing(|| "read what cargo metadata printed".to_owned())?;
    Ok(findings(&metadata))
}

fn findings(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in list(metadata, "packages") {
        let name = text(package, "name");
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            findings.push(Finding::refused(
                "Cargo.toml",
                0,
                format!("{name} is not in the table of DESIGN §1"),
            ));
            continue;
        };
        for dependency in list(package, "dependencies").filter(|dependency| !dependency["path"].is_null()) {
            let target = text(dependency, "name");
            // A crate may turn on its own features for its tests.
            if target != name && !allowed.contains(&target) {
                let path =
                    text(package, "manifest_path").trim_start_matches(text(metadata, "workspace_root"));
                let what = format!("{name} may not depend on {target} (DESIGN §1)");
                findings.push(Finding::refused(path.trim_start_matches('/'), 0, what));
            }
        }
    }
    findings
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Value {
        let dependencies: Vec<_> =
            dependencies.iter().map(|name| json!({ "name": name, "path": "/x" })).collect();
        let package =
            json!({ "name": name, "manifest_path": "/x/a/Cargo.toml", "dependencies": dependencies });
        json!({ "workspace_root": "/x", "packages": [package] })
    }

    #[test]
    fn an_arrow_of_the_design_is_allowed_and_any_other_refused() {
        assert_eq!(findings(&package("switchback-workers", &["switchback-commands"])), []);
        let refused = findings(&package("switchback-domain", &["switchback-eventlog"]));
        assert_eq!(refused[0].path, "a/Cargo.toml");
        assert_eq!(findings(&package("switchback-projections", &["switchback-commands"])).len(), 1);
    }

    #[test]
    fn a_crate_that_the_design_does_not_know_is_refused() {
        assert_eq!(findings(&package("switchback-extras", &[])).len(), 1);
    }

    #[test]
    fn others_crates_are_no_arrows() {
        let metadata = json!({ "packages": [
            { "name": "switchback-domain", "dependencies": [{ "name": "serde", "path": null }] }
        ] });
        assert_eq!(findings(&metadata), []);
    }
}
