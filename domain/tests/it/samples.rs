//! What was stored stays readable: every sample in `schemas/samples/` decodes, fits its schema, and nothing
//! is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use domain::aggregate::Aggregate;
use domain::event::{Event, TYPE_PREFIX, all_types, schema};
use domain::saga::deployment::wakes;
use domain::testing::{catalogue, samples};
use serde_json::Value;

use crate::schema::misfits;

/// Where `schemas/` is.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas");

fn stored() -> catalogue::Files {
    let mut files = catalogue::Files::new();
    for below in [catalogue::SCHEMAS, catalogue::SAMPLES] {
        for entry in fs::read_dir(Path::new(FOLDER).join(below)).expect("the folder is checked in") {
            let entry = entry.expect("an entry");
            let text = fs::read_to_string(entry.path()).expect("a file of text");
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            files.insert(name, serde_json::from_str(&text).expect("JSON"));
        }
    }
    files
}

/// Stored samples by event type.
fn stored_samples() -> BTreeMap<String, Value> {
    let files = stored().into_iter();
    let samples = files.filter_map(|(path, value)| {
        let name = path.strip_prefix(catalogue::SAMPLES)?.strip_suffix(".json")?;
        Some((format!("{TYPE_PREFIX}.{name}"), value))
    });
    samples.collect()
}

#[test]
fn every_event_type_has_one_sample() {
    let types: Vec<String> = samples::all().iter().map(Event::type_name).collect();
    let names: BTreeSet<String> = types.iter().cloned().collect();
    let expected: BTreeSet<String> = all_types().into_iter().collect();
    let missing: Vec<_> = expected.difference(&names).collect();
    assert!(missing.is_empty(), "add a sample to domain/src/testing/samples.rs for {missing:?}");
    assert_eq!((names, types.len()), (expected.clone(), expected.len()));
}

#[test]
fn what_is_checked_in_is_what_the_code_says() {
    let found = catalogue::compare(&stored());
    let said: Vec<_> = found.iter().map(|(path, finding)| format!("{path} {}", finding.advice())).collect();
    assert!(said.is_empty(), "{}", said.join("\n"));
}

#[test]
fn every_stored_sample_is_read_and_written_again_as_it_was() {
    for (event_type, data) in stored_samples() {
        let event = Event::from_wire(&event_type, data.clone());
        let wire = event.unwrap_or_else(|error| panic!("{event_type}: {error:?}")).to_wire();
        assert_eq!((wire.event_type, wire.data), (event_type, data));
    }
}

#[test]
fn every_stored_sample_fits_its_schema() {
    let schemas = schema::all();
    for (event_type, data) in stored_samples() {
        assert_eq!(misfits(&schemas[&event_type], &data), Vec::<String>::new(), "{event_type}");
    }
}

/// A new field in the log of a newer version must not stop an older one.
#[test]
fn every_sample_is_read_with_fields_that_a_newer_version_added() {
    for (event_type, mut data) in stored_samples() {
        let before = Event::from_wire(&event_type, data.clone()).expect("it is read");
        data["added_later"] = serde_json::json!({ "any": ["thing"] });
        assert_eq!(Event::from_wire(&event_type, data).expect("it is read"), before);
    }
}

/// A sample without a field that must be given is not read as something else.
#[test]
fn no_sample_is_read_without_what_must_be_given() {
    let schemas = schema::all();
    for (event_type, data) in stored_samples() {
        for name in schemas[&event_type]["required"].as_array().into_iter().flatten() {
            let mut less = data.clone();
            less.as_object_mut().and_then(|fields| fields.remove(name.as_str().unwrap_or_default()));
            assert!(Event::from_wire(&event_type, less).is_err(), "{event_type} without {name}");
        }
    }
}

/// No sample, taken as the only event of a stream or after all the others, makes a state panic.
#[test]
fn a_state_takes_any_event() {
    fn fold<A: Aggregate>() {
        let events: Vec<A::Event> =
            samples::all().into_iter().filter_map(|event| A::Event::try_from(event).ok()).collect();
        assert!(!events.is_empty());
        for first in &events {
            for second in &events {
                let _ = A::default().evolve(first).evolve(second);
            }
        }
        let _ = events.iter().chain(events.iter().rev()).fold(A::default(), A::evolve);
    }
    fold::<domain::user::User>();
    fold::<domain::organization::Organization>();
    fold::<domain::project::Project>();
    fold::<domain::service::Service>();
    fold::<domain::deployment::Deployment>();
    fold::<domain::claim::Claim>();
}

#[test]
fn the_saga_of_a_deployment_looks_when_these_happen() {
    let awake: Vec<String> =
        samples::all().iter().filter(|event| wakes(event)).map(Event::type_name).collect();
    let mut names: Vec<&str> = awake.iter().filter_map(|name| name.strip_prefix("dev.switchback.")).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "deployment.begun.v1",
            "deployment.cancel_requested.v1",
            "deployment.cancelled.v1",
            "deployment.failed.v1",
            "deployment.step_failed.v1",
            "deployment.step_succeeded.v1",
            "deployment.undo_failed.v1",
            "deployment.undo_succeeded.v1",
            "deployment.went_live.v1",
            "service.deleted.v1",
            "service.deployment_admitted.v1",
        ]
    );
}
