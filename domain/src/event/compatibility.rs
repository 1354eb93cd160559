//! Whether readers of an event's data go on working when its schema is another: those that have the old
//! schema and meet new data, and those that have the new one and meet old data, which stays in the log for
//! ever.
//!
//! A field more that nobody must give, and a word more where one of several stands, are taken. Anything else
//! is a new version of the event, with an upcaster ([`crate::upcast`]).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What in `new` breaks readers, each in words; nothing, when `new` can take the place of `old`.
#[must_use]
pub fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut found = vec![];
    let (old, new) = (Schema { root: old, node: old }, Schema { root: new, node: new });
    compare("", old, new, &mut found);
    found
}

/// A part of a schema, and the whole that its references lead into.
#[derive(Clone, Copy)]
struct Schema<'a> {
    root: &'a Value,
    node: &'a Value,
}

impl<'a> Schema<'a> {
    fn at(self, node: &'a Value) -> Self {
        Self { root: self.root, node }
    }

    /// What a reference leads to.
    fn resolved(self) -> Self {
        let mut schema = self;
        while let Some(name) = schema.node["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
            schema = schema.at(&schema.root["$defs"][name]);
        }
        schema
    }

    fn fields(self) -> Option<&'a Map<String, Value>> {
        self.node["properties"].as_object()
    }

    fn requires(self, name: &str) -> bool {
        self.node["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
    }

    /// The forms that a value may have, each under a word that tells it from the others.
    fn forms(self) -> BTreeMap<String, Self> {
        let schema = self.resolved();
        let several = ["oneOf", "anyOf"].into_iter().find_map(|word| schema.node[word].as_array());
        if let Some(several) = several {
            return several.iter().flat_map(|form| schema.at(form).forms()).collect();
        }
        if let Some(words) = schema.node["enum"].as_array() {
            return words.iter().map(|word| (format!("the word {word}"), schema)).collect();
        }
        if let Some(word) = schema.node.get("const") {
            return BTreeMap::from([(format!("the word {word}"), schema)]);
        }
        if let Value::Array(types) = &schema.node["type"] {
            return types.iter().map(|name| (schema.named(name), schema)).collect();
        }
        BTreeMap::from([(schema.form(), schema)])
    }

    fn form(self) -> String {
        let fields = || self.fields().into_iter().flatten();
        if let Some((name, tag)) = fields().find_map(|(name, field)| Some((name, field.get("const")?))) {
            return format!("the form with {name} {tag}");
        }
        match fields().next() {
            Some((name, _)) if self.node["additionalProperties"] == false => format!("the form `{name}`"),
            Some(_) | None => self.named(&self.node["type"]),
        }
    }

    /// A type and its format: `integer (uint16)`.
    fn named(self, name: &Value) -> String {
        let name = name.as_str().unwrap_or("anything");
        match self.node["format"].as_str() {
            Some(format) if name != "null" => format!("{name} ({format})"),
            Some(_) | None => name.to_owned(),
        }
    }
}

/// Whether readers expect to meet forms of this kind that they do not know.
fn may_be_new(form: &str) -> bool {
    form.starts_with("the ")
}

fn compare(path: &str, old: Schema<'_>, new: Schema<'_>, found: &mut Vec<String>) {
    let (before, after) = (old.forms(), new.forms());
    let place = if path.is_empty() { "the data" } else { path };
    for (form, old) in &before {
        match after.get(form) {
            Some(new) => compare_form(path, *old, *new, found),
            None => found.push(format!("`{place}` is not {form} any more")),
        }
    }
    let more = after.keys().filter(|form| !before.contains_key(*form) && !may_be_new(form));
    found.extend(more.map(|form| format!("`{place}` can be {form} now")));
}

fn compare_form(path: &str, old: Schema<'_>, new: Schema<'_>, found: &mut Vec<String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let nothing = Map::new();
    let (before, after) = (old.fields().unwrap_or(&nothing), new.fields().unwrap_or(&nothing));
    for (name, field) in before {
        let Some(other) = after.get(name) else {
            found.push(format!("field `{}` was removed", below(name)));
            continue;
        };
        if old.requires(name) && !new.requires(name) {
            found.push(format!("field `{}` may be missing now", below(name)));
        }
        if !old.requires(name) && new.requires(name) {
            found.push(format!("field `{}` must be given now", below(name)));
        }
        compare(&below(name), old.at(field), new.at(other), found);
    }
    for name in after.keys().filter(|name| !before.contains_key(*name) && new.requires(name)) {
        found.push(format!("field `{}` was added and must be given", below(name)));
    }
    for (word, below) in [("items", format!("{path}[]")), ("additionalProperties", format!("{path}.*"))] {
        let (before, after) = (&old.node[word], &new.node[word]);
        if before.is_object() || after.is_object() {
            compare(&below, old.at(before), new.at(after), found);
        }
    }
}

#[cfg(test)]
mod tests;
