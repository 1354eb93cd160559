//! What `schemas/` must hold: the schema of every event type, and a stored sample of it.
//!
//! A schema follows the code as long as it breaks no reader. A sample is written once and never changed: it
//! stands for what is in somebody's log.

use std::collections::BTreeMap;

use serde_json::Value;

use super::samples;
use crate::event::{compatibility, parse_type, schema};

/// Files by their path below `schemas/`.
pub type Files = BTreeMap<String, Value>;

/// The folder of schemas.
pub const SCHEMAS: &str = "events/";
/// The folder of samples.
pub const SAMPLES: &str = "samples/";

/// What the code says the folders hold.
#[must_use]
pub fn files() -> Files {
    let schemas = schema::all().into_iter();
    let schemas = schemas.map(|(name, schema)| (format!("{SCHEMAS}{}", schema::file_name(&name)), schema));
    let samples = samples::all().into_iter().map(|event| event.to_wire());
    let samples =
        samples.map(|wire| (format!("{SAMPLES}{}", schema::file_name(&wire.event_type)), wire.data));
    schemas.chain(samples).collect()
}

/// A file that is not as it must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// It is not there; it can be written.
    Missing,
    /// A schema that says something else than the code, and breaks no reader; it can be written anew.
    Outdated,
    /// A schema that the code would break readers of.
    Breaks(Vec<String>),
    /// A sample that is not the one that was stored.
    SampleChanged,
    /// No event has it.
    Unknown,
}

impl Finding {
    /// What is wrong and what to do, after the path of the file.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Missing => "is missing; `cargo xtask schemas` writes it".into(),
            Self::Outdated => "is not what the code says; `cargo xtask schemas` writes it anew".into(),
            Self::Breaks(what) => {
                let what = what.join("; ");
                format!(
                    "breaks readers: {what}. Make a new version of the event, with an upcaster and \
                     a sample; an event that was never released can be changed by deleting its schema and \
                     its sample"
                )
            }
            Self::SampleChanged => {
                "was changed, or its values in domain/src/testing/samples.rs were; a stored sample stands \
                 for what is in somebody's log, so take the change back"
                    .into()
            }
            Self::Unknown => "belongs to no event; an event that was released stays, with an upcaster".into(),
        }
    }
}

/// Compares what is stored with what the code says, by path.
#[must_use]
pub fn compare(stored: &Files) -> BTreeMap<String, Finding> {
    let files = files();
    let mut findings = BTreeMap::new();
    for (path, value) in &files {
        let finding = match stored.get(path) {
            None => Some(Finding::Missing),
            Some(found) if found == value => None,
            Some(_) if path.starts_with(SAMPLES) => Some(Finding::SampleChanged),
            Some(found) => match compatibility::breaks(found, value) {
                what if what.is_empty() => Some(Finding::Outdated),
                what => Some(Finding::Breaks(what)),
            },
        };
        findings.extend(finding.map(|finding| (path.clone(), finding)));
    }
    let unknown = stored.keys().filter(|path| !files.contains_key(*path) && !is_older(path, &files));
    findings.extend(unknown.map(|path| (path.clone(), Finding::Unknown)));
    findings
}

/// Whether the file is of an earlier version of an event that there is; those stay.
fn is_older(path: &str, files: &Files) -> bool {
    let of = |path: &str| {
        let (folder, name) = path.split_once('/')?;
        let event_type = format!("{}.{}", crate::event::TYPE_PREFIX, name.strip_suffix(".json")?);
        let (kind, name, version) = parse_type(&event_type)?;
        Some((folder.to_owned(), kind, name.to_owned(), version))
    };
    let Some((folder, kind, name, version)) = of(path) else { return false };
    files
        .keys()
        .filter_map(|path| of(path))
        .any(|(f, k, n, v)| (f, k, n) == (folder.clone(), kind, name.clone()) && v > version)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SCALED: &str = "events/service.scaled.v1.json";

    fn after(change: impl FnOnce(&mut Files)) -> Vec<(String, Finding)> {
        let mut stored = files();
        change(&mut stored);
        compare(&stored).into_iter().collect()
    }

    #[test]
    fn what_the_code_says_is_as_it_must_be() {
        assert_eq!(after(|_| {}), []);
    }

    #[test]
    fn a_file_that_is_not_there_is_missing() {
        let found = after(|stored| {
            stored.remove(SCALED);
            stored.remove("samples/service.scaled.v1.json");
        });
        let missing = |path: &str| (path.to_owned(), Finding::Missing);
        assert_eq!(found, [missing(SCALED), missing("samples/service.scaled.v1.json")]);
    }

    #[test]
    fn a_schema_with_other_words_is_outdated() {
        let found = after(|stored| {
            stored.entry(SCALED.into()).and_modify(|schema| schema["description"] = json!("x"));
        });
        assert_eq!(found, [(SCALED.to_owned(), Finding::Outdated)]);
    }

    #[test]
    fn a_schema_that_would_break_readers_says_why() {
        let found = after(|stored| {
            stored.entry(SCALED.into()).and_modify(|schema| {
                schema["properties"]["reason"] = json!({ "type": "string" });
            });
        });
        let what = Finding::Breaks(vec!["field `reason` was removed".into()]);
        assert!(what.advice().starts_with("breaks readers: field `reason` was removed"));
        assert_eq!(found, [(SCALED.to_owned(), what)]);
    }

    #[test]
    fn a_sample_that_was_edited_is_found() {
        let path = "samples/service.scaled.v1.json";
        let found = after(|stored| {
            stored.insert(path.into(), json!({ "replicas": 4 }));
        });
        assert_eq!(found, [(path.to_owned(), Finding::SampleChanged)]);
    }

    #[test]
    fn a_file_of_no_event_is_one_too_many() {
        for path in [
            "events/service.paused.v1.json",
            "events/service.scaled.v2.json",
            "events/x",
            "service.scaled.v1.json",
        ] {
            let found = after(|stored| {
                stored.insert(path.into(), json!({}));
            });
            assert_eq!(found, [(path.to_owned(), Finding::Unknown)]);
        }
    }

    #[test]
    fn an_earlier_version_of_an_event_stays() {
        let newer: Files = [("events/service.scaled.v2.json".to_owned(), json!({}))].into();
        assert!(is_older("events/service.scaled.v1.json", &newer));
        assert!(!is_older("events/service.scaled.v3.json", &newer));
        assert!(!is_older("samples/service.scaled.v1.json", &newer));
    }
}
