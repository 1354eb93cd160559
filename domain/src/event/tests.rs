//! Events on the wire: what is read, and what is said of what is not.

use serde_json::json;

use super::{DecodeError, Event, parse_type};
use crate::service;
use crate::stream::AggregateKind;
use crate::testing::history::{created, requested};

#[test]
fn an_event_is_named_by_its_aggregate_itself_and_its_version() {
    assert_eq!(Event::from(created()).type_name(), "dev.switchback.service.created.v1");
    assert_eq!(parse_type("dev.switchback.service.created.v1"), Some((AggregateKind::Service, "created", 1)));
}

#[test]
fn an_event_reads_back_from_the_wire() {
    let event = Event::from(requested(1));
    let wire = event.to_wire();
    assert!(wire.data.is_object());
    assert_eq!(Event::from_wire(&wire.event_type, wire.data).expect("known"), event);
}

#[test]
fn an_event_without_content_is_an_empty_object() {
    assert_eq!(Event::from(service::Event::Deleted {}).to_wire().data, json!({}));
}

#[test]
fn fields_that_a_newer_version_added_are_ignored() {
    let data = json!({ "replicas": 3, "reason": "from the future" });
    let event = Event::from_wire("dev.switchback.service.scaled.v1", data).expect("known");
    assert_eq!(event, Event::Service(service::Event::Scaled { replicas: 3 }));
}

#[test]
fn a_type_that_is_not_known_is_said_to_be_newer() {
    for event_type in [
        "",
        "dev.switchback.service.created",
        "dev.switchback.service.created.v0",
        "dev.switchback.service.created.v2",
        "dev.switchback.service.created.v1.x",
        "dev.switchback.service.created.1",
        "dev.switchback.service.paused.v1",
        "dev.switchback.volume.created.v1",
        "com.example.service.created.v1",
    ] {
        let error = Event::from_wire(event_type, json!({})).expect_err(event_type);
        assert!(matches!(error, DecodeError::UnknownType(_)), "{event_type}: {error:?}");
    }
}

#[test]
fn data_that_does_not_fit_a_known_type_is_said_to_be_wrong() {
    let subject = json!({ "kind": "sorcery" });
    let request = json!({ "deployment": crate::testing::values::deployment(1), "subject": subject });
    for (event_type, data) in [
        ("dev.switchback.service.scaled.v1", json!({})),
        ("dev.switchback.service.scaled.v1", json!({ "replicas": "many" })),
        ("dev.switchback.service.scaled.v1", json!(3)),
        ("dev.switchback.service.deployment_requested.v1", request),
    ] {
        let error = Event::from_wire(event_type, data).expect_err(event_type);
        assert!(matches!(error, DecodeError::Data { .. }), "{event_type}: {error:?}");
    }
}
