//! Whether a value fits a JSON Schema: as much of 2020-12 as our schemas use. A word that is not known fails.

use serde_json::{Map, Value};

/// What does not fit, with where; nothing, when all does.
pub(crate) fn misfits(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = vec![];
    Check { root: schema }.node("$", schema, value, &mut found);
    found
}

struct Check<'a> {
    root: &'a Value,
}

impl Check<'_> {
    fn node(&self, at: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
        let Some(schema) = schema.as_object() else {
            return found.push(format!("{at}: the schema is no object: {schema}"));
        };
        for (word, rule) in schema {
            self.word(at, (word, rule), schema, value, found);
        }
    }

    fn word(
        &self,
        at: &str,
        (word, rule): (&str, &Value),
        schema: &Map<String, Value>,
        value: &Value,
        found: &mut Vec<String>,
    ) {
        let fits = |form: &&Value| {
            let mut inner = vec![];
            self.node(at, form, value, &mut inner);
            inner.is_empty()
        };
        let forms = || rule.as_array().into_iter().flatten();
        let good = match word {
            "$schema" | "$id" | "$defs" | "title" | "description" | "default" => true,
            "$ref" => {
                let name = rule.as_str().and_then(|name| name.strip_prefix("#/$defs/")).unwrap_or_default();
                return self.node(at, &self.root["$defs"][name], value, found);
            }
            "type" => rule
                .as_array()
                .map_or_else(|| is_a(value, rule), |names| names.iter().any(|name| is_a(value, name))),
            "const" => value == rule,
            "enum" => forms().any(|word| word == value),
            "oneOf" => forms().filter(fits).count() == 1,
            "anyOf" => forms().any(|form| fits(&form)),
            "required" => forms().all(|name| value.get(name.as_str().unwrap_or_default()).is_some()),
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= rule.as_f64()),
            "maximum" => value.as_f64().is_none_or(|number| Some(number) <= rule.as_f64()),
            "uniqueItems" => value
                .as_array()
                .is_none_or(|items| items.iter().enumerate().all(|(n, item)| !items[..n].contains(item))),
            "format" => has_format(value, rule),
            "properties" => {
                for (name, field) in rule.as_object().into_iter().flatten() {
                    if let Some(inner) = value.get(name) {
                        self.node(&format!("{at}.{name}"), field, inner, found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    if *rule == Value::Bool(false) {
                        found.push(format!("{at}: {name} is one too many"));
                    } else {
                        self.node(&format!("{at}.{name}"), rule, inner, found);
                    }
                }
                true
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.node(&format!("{at}[{n}]"), rule, item, found);
                }
                true
            }
            _ => return found.push(format!("{at}: this check does not know `{word}`")),
        };
        if !good {
            found.push(format!("{at}: {value} against {word} {rule}"));
        }
    }
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("null") => value.is_null(),
        _ => false,
    }
}

fn has_format(value: &Value, format: &Value) -> bool {
    let text = value.as_str();
    match format.as_str() {
        Some("uuid") => text.is_none_or(|text| text.parse::<uuid::Uuid>().is_ok()),
        Some("date-time") => text.is_none_or(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok()),
        Some("uint16") => value.as_u64().is_none_or(|number| u16::try_from(number).is_ok()),
        Some("uint32") => value.as_u64().is_none_or(|number| u32::try_from(number).is_ok()),
        Some("uint64") => !value.is_number() || value.is_u64(),
        _ => false,
    }
}

#[test]
fn what_does_not_fit_is_found() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "n": { "type": "integer", "format": "uint16", "minimum": 1 },
            "kind": { "oneOf": [{ "const": "a" }, { "const": "b" }] },
        },
        "required": ["n"],
    });
    let fits = |value| misfits(&schema, &value).is_empty();
    assert!(fits(serde_json::json!({ "n": 1, "kind": "a", "more": true })));
    assert!(!fits(serde_json::json!({ "kind": "a" })));
    assert!(!fits(serde_json::json!({ "n": 0 })));
    assert!(!fits(serde_json::json!({ "n": 70_000 })));
    assert!(!fits(serde_json::json!({ "n": 1, "kind": "c" })));
    assert!(!fits(serde_json::json!("n")));
}
