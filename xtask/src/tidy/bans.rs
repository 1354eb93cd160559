//! What clippy refuses everywhere, it refuses in the domain too.
//!
//! Clippy reads the nearest `clippy.toml` only. The domain has one of its own, so each ban of the root has to
//! stand there again.

use std::fs;

use crate::failure::{Doing, Failure};
use crate::tidy::Finding;
use crate::tidy::tree::Tree;

const ROOT: &str = "clippy.toml";
const DOMAIN: &str = "domain/clippy.toml";

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>, Failure> {
    let read = |path: &str| fs::read_to_string(tree.root.join(path)).doing(|| format!("read {path}"));
    Ok(missing(&read(ROOT)?, &read(DOMAIN)?))
}

fn missing(root: &str, domain: &str) -> Vec<Finding> {
    let settings = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
    };
    let there = settings(domain);
    let absent = settings(root).into_iter().filter(|line| !there.contains(line));
    absent.map(|line| Finding::refused(DOMAIN, 0, format!("does not repeat the root's `{line}`"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_the_root_that_the_domain_does_not_repeat_is_refused() {
        let root = "# Why.\nallow-x = true\nbans = [\n    { path = \"a\" },\n]\n";
        assert_eq!(
            missing(root, "allow-x = true\nbans = [\n  { path = \"a\" },\n  { path = \"b\" },\n]\n"),
            []
        );
        assert_eq!(missing(root, "allow-x = true\nbans = [\n]\n").len(), 1);
    }
}
