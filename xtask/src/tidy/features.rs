//! A feature has one file name in every crate (STYLE §1): an aggregate of the domain has its commands, its
//! projection and its handlers under the same name, or an entry here that says why not.
//!
//! It warns and does not refuse: a feature is built from the inside out, and its outer files come later.

use std::path::Path;

use crate::tidy::Finding;
use crate::tidy::tree::Tree;

/// Where the file of a feature is looked for.
const CRATES: [&str; 3] = ["commands", "projections", "gateway"];

/// Aggregate, crate that has no file for it, and why.
const EXCEPTIONS: [(&str, &str, &str); 6] = [
    ("claim", "commands", "other features claim; src/claim.rs there is how"),
    ("claim", "projections", "nobody looks at claims: what is claimed is seen at its owner"),
    ("claim", "gateway", "nobody asks for a claim by itself"),
    (
        "organization",
        "commands",
        "one for each installation until accounts come; made by user.rs at the first start",
    ),
    ("organization", "gateway", "one for each installation until accounts come; auth/me shows it"),
    ("user", "gateway", "auth.rs: who asks and with which tokens"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let aggregates = tree.sources.iter().filter(|source| source.code.contains("impl Aggregate for "));
    let names = aggregates.filter_map(|source| aggregate_of(&source.path));
    names.flat_map(|name| missing(name, &|path| tree.root.join(path).exists())).collect()
}

/// `domain/src/deployment.rs` is `deployment`. Other files that implement the trait are tests of it.
fn aggregate_of(path: &str) -> Option<&str> {
    path.strip_prefix("domain/src/")?.strip_suffix(".rs").filter(|name| !name.contains('/'))
}

fn missing(aggregate: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in CRATES {
        let is_excepted = EXCEPTIONS.iter().any(|(name, except, _)| *name == aggregate && *except == folder);
        let path = format!("{folder}/src/{aggregate}.rs");
        if !is_excepted && !exists(Path::new(&path)) {
            findings.push(Finding::warned(
                &path,
                0,
                "is not there, nor an entry in tidy/features.rs that says why",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_without_its_file_in_a_crate_is_warned_of() {
        let there = |path: &Path| !path.starts_with("gateway");
        let paths: Vec<_> = missing("service", &there).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["gateway/src/service.rs"]);
        assert_eq!(missing("claim", &there), []);
    }

    #[test]
    fn an_aggregate_is_a_file_of_the_domain_itself() {
        assert_eq!(aggregate_of("domain/src/service.rs"), Some("service"));
        assert_eq!(aggregate_of("domain/src/testing/counter.rs"), None);
        assert_eq!(aggregate_of("commands/src/service.rs"), None);
    }
}
