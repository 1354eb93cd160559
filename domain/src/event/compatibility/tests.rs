//! What breaks readers, and what does not.

use serde_json::{Value, json};

use super::breaks;
use crate::event::schema;

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

fn release() -> Value {
    object(
        &json!({
            "release": { "type": "integer", "format": "uint32" },
            "note": { "type": ["string", "null"] },
            "kind": { "oneOf": [{ "const": "blue" }, { "const": "green" }] },
            "names": { "type": "array", "items": { "$ref": "#/$defs/Name" } },
            "values": { "type": "object", "additionalProperties": { "$ref": "#/$defs/Name" } },
        }),
        &["release"],
    )
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut schema = release();
    schema["$defs"] = json!({ "Name": { "type": "string" } });
    change(&mut schema);
    schema
}

#[track_caller]
fn breaks_with(change: impl FnOnce(&mut Value), expected: &[&str]) {
    assert_eq!(breaks(&with(|_| {}), &with(change)), expected);
}

#[test]
fn the_same_schema_breaks_nobody() {
    breaks_with(|_| {}, &[]);
    for (event_type, schema) in schema::all() {
        assert_eq!(breaks(&schema, &schema), Vec::<String>::new(), "{event_type}");
    }
}

#[test]
fn other_words_about_it_break_nobody() {
    breaks_with(|schema| schema["description"] = json!("other words"), &[]);
    breaks_with(|schema| schema["properties"]["note"]["description"] = json!("other words"), &[]);
}

#[test]
fn a_field_more_that_nobody_must_give_breaks_nobody() {
    breaks_with(|schema| schema["properties"]["more"] = json!({ "type": "string" }), &[]);
}

#[test]
fn a_field_more_that_must_be_given_breaks_readers_of_old_data() {
    breaks_with(
        |schema| {
            schema["properties"]["more"] = json!({ "type": "string" });
            schema["required"] = json!(["release", "more"]);
        },
        &["field `more` was added and must be given"],
    );
    breaks_with(
        |schema| schema["required"] = json!(["release", "note"]),
        &["field `note` must be given now"],
    );
}

#[test]
fn a_field_that_is_removed_or_may_be_missing_breaks_old_readers() {
    breaks_with(
        |schema| {
            schema["properties"].as_object_mut().map(|properties| properties.remove("note"));
        },
        &["field `note` was removed"],
    );
    breaks_with(|schema| schema["required"] = json!([]), &["field `release` may be missing now"]);
}

#[test]
fn another_type_breaks_readers() {
    breaks_with(
        |schema| schema["properties"]["release"] = json!({ "type": "string" }),
        &["`release` is not integer (uint32) any more", "`release` can be string now"],
    );
    breaks_with(
        |schema| schema["properties"]["release"]["format"] = json!("uint64"),
        &["`release` is not integer (uint32) any more", "`release` can be integer (uint64) now"],
    );
    breaks_with(
        |schema| schema["properties"]["note"]["type"] = json!("string"),
        &["`note` is not null any more"],
    );
    breaks_with(
        |schema| schema["properties"]["release"]["type"] = json!(["integer", "null"]),
        &["`release` can be null now"],
    );
}

#[test]
fn a_word_more_breaks_nobody_and_a_word_less_does() {
    breaks_with(|schema| schema["properties"]["kind"] = json!({ "enum": ["blue", "green", "red"] }), &[]);
    breaks_with(
        |schema| schema["properties"]["kind"] = json!({ "enum": ["blue"] }),
        &["`kind` is not the word \"green\" any more"],
    );
}

#[test]
fn what_changes_behind_a_reference_is_found() {
    breaks_with(
        |schema| schema["$defs"]["Name"] = json!({ "type": "integer" }),
        &[
            "`names[]` is not string any more",
            "`names[]` can be integer now",
            "`values.*` is not string any more",
            "`values.*` can be integer now",
        ],
    );
}

#[test]
fn what_changes_in_one_of_several_forms_is_found() {
    let forms = |field: &Value| {
        json!({ "oneOf": [
            object(&json!({ "kind": { "type": "string", "const": "a" }, "x": field }), &["kind", "x"]),
            object(&json!({ "kind": { "type": "string", "const": "b" } }), &["kind"]),
        ] })
    };
    let (text, number) = (forms(&json!({ "type": "string" })), forms(&json!({ "type": "integer" })));
    assert_eq!(breaks(&text, &number), ["`x` is not string any more", "`x` can be integer now"]);
    let one = json!({ "oneOf": [text["oneOf"][0]] });
    assert_eq!(breaks(&text, &one), ["`the data` is not the form with kind \"b\" any more"]);
    assert_eq!(breaks(&one, &text), Vec::<String>::new());
}

/// What serde makes of an enum without a tag: an object whose only field is the form's name.
#[test]
fn a_form_that_is_named_by_its_only_field_is_told_from_the_others() {
    let form = |name: &str, field: &str| {
        json!({
            "type": "object",
            "properties": { name: { "type": field } },
            "required": [name],
            "additionalProperties": false,
        })
    };
    let old = json!({ "oneOf": [form("command", "string"), form("static", "object")] });
    let new = json!({ "oneOf": [form("command", "integer")] });
    assert_eq!(
        breaks(&old, &new),
        [
            "`command` is not string any more",
            "`command` can be integer now",
            "`the data` is not the form `static` any more",
        ]
    );
}
