//! The JSON Schema of every event's data, made from the types themselves, so that none can be forgotten.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{CURRENT_VERSION, TYPE_PREFIX};
use crate::stream::AggregateKind;
use crate::{claim, deployment, organization, project, service, user};

/// Where an event's schema stands for the world: this and [`file_name`].
pub const LOCATION: &str = "https://switchback.dev/schemas/events/";

/// The name of the file that holds an event type's schema, or its sample: `service.created.v1.json`.
#[must_use]
pub fn file_name(event_type: &str) -> String {
    let name = event_type.strip_prefix(TYPE_PREFIX).unwrap_or(event_type).trim_start_matches('.');
    format!("{name}.json")
}

/// The schema (2020-12) of each event type's data. Each stands for itself: what it refers to is in its
/// `$defs`.
#[must_use]
pub fn all() -> BTreeMap<String, Value> {
    AggregateKind::ALL.into_iter().flat_map(of_aggregate).collect()
}

fn of_aggregate(kind: AggregateKind) -> Vec<(String, Value)> {
    let root = match kind {
        AggregateKind::User => root::<user::Event>(),
        AggregateKind::Organization => root::<organization::Event>(),
        AggregateKind::Project => root::<project::Event>(),
        AggregateKind::Service => root::<service::Event>(),
        AggregateKind::Deployment => root::<deployment::Event>(),
        AggregateKind::Claim => root::<claim::Event>(),
    };
    let definitions = root["$defs"].as_object().cloned().unwrap_or_default();
    let variants = root["oneOf"].as_array().cloned().unwrap_or_default();
    variants.iter().filter_map(|variant| of_variant(kind, variant, &definitions)).collect()
}

fn root<E: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<E>().to_value()
}

/// A variant is an object of one property: the event's name, and in it the data.
fn of_variant(
    kind: AggregateKind,
    variant: &Value,
    definitions: &Map<String, Value>,
) -> Option<(String, Value)> {
    let (name, data) = variant["properties"].as_object()?.iter().next()?;
    let event_type = format!("{TYPE_PREFIX}.{kind}.{name}.v{CURRENT_VERSION}");
    let mut schema = data.as_object()?.clone();
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("$id".into(), json!(format!("{LOCATION}{}", file_name(&event_type))));
    schema.insert("title".into(), json!(event_type));
    schema.insert("description".into(), variant["description"].clone());
    let used = used(data, definitions);
    if !used.is_empty() {
        let kept = definitions.iter().filter(|(name, _)| used.contains(*name));
        schema.insert("$defs".into(), kept.map(|(name, value)| (name.clone(), value.clone())).collect());
    }
    Some((event_type, in_words(Value::Object(schema))))
}

/// The names of all definitions that `schema` refers to, directly or through others.
fn used(schema: &Value, definitions: &Map<String, Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut to_look_at = vec![schema];
    while let Some(value) = to_look_at.pop() {
        match value {
            Value::Object(object) => {
                let name =
                    object.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/"));
                if let Some(name) = name
                    && found.insert(name.to_owned())
                {
                    to_look_at.extend(definitions.get(name));
                }
                to_look_at.extend(object.values());
            }
            Value::Array(items) => to_look_at.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}

/// With descriptions as they read outside of rustdoc, and with names in order whatever the map is made of.
fn in_words(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<String, Value> = object.into_iter().collect();
            let plain = |(name, value): (String, Value)| match (name.as_str(), value) {
                ("description", Value::String(text)) => {
                    let text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
                    (name, Value::String(text))
                }
                (_, value) => (name, in_words(value)),
            };
            Value::Object(sorted.into_iter().map(plain).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(in_words).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_aggregate_has_events_and_every_event_a_schema_that_explains_itself() {
        let all = all();
        for kind in AggregateKind::ALL {
            let prefix = format!("{TYPE_PREFIX}.{kind}.");
            assert!(all.keys().any(|name| name.starts_with(&prefix)), "{kind}");
        }
        for (event_type, schema) in &all {
            assert_eq!(schema["title"], **event_type);
            assert_eq!(schema["type"], "object", "{event_type}");
            assert!(schema["description"].as_str().is_some_and(|text| text.len() > 10), "{event_type}");
            assert!(schema["$id"].as_str().is_some_and(|id| id.starts_with(LOCATION)), "{event_type}");
        }
    }

    #[test]
    fn a_schema_stands_for_itself() {
        for (event_type, schema) in all() {
            let definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
            let names: BTreeSet<String> = definitions.keys().cloned().collect();
            assert_eq!(used(&schema, &definitions), names, "{event_type}");
        }
    }
}
