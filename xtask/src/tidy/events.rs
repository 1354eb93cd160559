//! Each event type has its JSON Schema and a stored sample (STYLE R18), under one name in two folders.
//!
//! Here the two folders are compared with each other. That they hold every event that the code has, and that
//! each sample is still read, are tests of the domain crate.

use crate::failure::Failure;
use crate::tidy::Finding;
use crate::tidy::tree::Tree;

const SCHEMAS: &str = "schemas/events";
const SAMPLES: &str = "schemas/samples";

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>, Failure> {
    Ok(compare(&tree.list(SCHEMAS, "")?, &tree.list(SAMPLES, "")?))
}

fn compare(schemas: &[String], samples: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (folder, names, other, others) in
        [(SCHEMAS, schemas, "sample", samples), (SAMPLES, samples, "schema", schemas)]
    {
        for name in names {
            let path = format!("{folder}/{name}");
            if !is_event_file(name) {
                findings.push(Finding::refused(&path, 0, "is not named <aggregate>.<event>.v<n>.json"));
            } else if !others.contains(name) {
                findings.push(Finding::refused(&path, 0, format!("has no {other} of the same name")));
            }
        }
    }
    findings
}

fn is_event_file(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".json") else { return false };
    let parts: Vec<&str> = stem.split('.').collect();
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || "-_".contains(c));
    match parts[..] {
        [aggregate, event, version] => {
            let number = version.strip_prefix('v').and_then(|number| number.parse::<u32>().ok());
            is_word(aggregate) && is_word(event) && number.is_some_and(|number| number > 0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn an_event_with_schema_and_sample_is_fine() {
        let both = names(&["deployment.went_live.v1.json", "deployment.went_live.v2.json"]);
        assert_eq!(compare(&both, &both), []);
    }

    #[test]
    fn an_event_with_only_one_of_them_is_refused() {
        let one = names(&["deployment.went_live.v1.json"]);
        assert_eq!(compare(&one, &[])[0].what, "has no sample of the same name");
        assert_eq!(compare(&[], &one)[0].what, "has no schema of the same name");
    }

    #[test]
    fn a_file_that_names_no_event_is_refused() {
        for name in ["readme.md", "deployment.json", "deployment.started.v0.json", "a/b.c.v1.json"] {
            let odd = names(&[name]);
            assert_eq!(compare(&odd, &odd).len(), 2, "{name}");
        }
    }
}
