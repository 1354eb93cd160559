//! Rust: `Cargo.toml` with a program in it, or a workspace in which exactly one member is one.

use domain::plan::Language;
use toml::{Table, Value};

use crate::builder::detect::Look;
use crate::builder::detect::found::{Begin, Found, Part, quote};
use crate::builder::tree::Tree;

pub(super) fn look(look: &Look) -> Option<Found> {
    let manifest: Table = look.tree.text("Cargo.toml")?.parse().ok()?;
    let mut programs = programs(look.tree, "", &manifest);
    if programs.is_empty() {
        programs =
            members(look.tree, &manifest).iter().flat_map(|member| of_member(look.tree, member)).collect();
    }
    let default = text(&manifest, &["package", "default-run"]);
    let start = match (default, programs.as_slice()) {
        (Some(name), _) => Ok(name.to_owned()),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err("Cargo.toml has no program: no src/main.rs, [[bin]] or src/bin".to_owned()),
        (None, several) => Err(format!(
            "there are several programs ({}): name one by `default-run` under [package] in Cargo.toml",
            several.join(", ")
        )),
    };
    let locked = look.tree.has("Cargo.lock");
    let mut seen = vec!["Cargo.toml".to_owned()];
    let build = if locked {
        seen.push("Cargo.lock".into());
        "cargo build --release --locked"
    } else {
        "cargo build --release"
    };
    let start = start.map(|name| Begin::Command(quote(&format!("target/release/{name}"))));
    Some(
        Found::new(Language::Rust, seen, start)
            .with_build(vec![build.to_owned()])
            .with_needs(&[(Part::Build, "cargo")]),
    )
}

fn text<'a>(table: &'a Table, path: &[&str]) -> Option<&'a str> {
    let (last, tables) = path.split_last()?;
    let mut table = table;
    for name in tables {
        table = table.get(*name)?.as_table()?;
    }
    table.get(*last)?.as_str()
}

/// The programs of a package, as cargo finds them.
fn programs(tree: &Tree, directory: &str, manifest: &Table) -> Vec<String> {
    let Some(package) = text(manifest, &["package", "name"]) else { return vec![] };
    let at = |path: &str| if directory.is_empty() { path.to_owned() } else { format!("{directory}/{path}") };
    let mut names: Vec<String> = manifest
        .get("bin")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned))
        .collect();
    let main_is_named = manifest.get("bin").and_then(Value::as_array).is_some_and(|bins| {
        bins.iter().any(|bin| bin.get("path").and_then(Value::as_str) == Some("src/main.rs"))
    });
    if tree.has(&at("src/main.rs")) && !main_is_named {
        names.push(package.to_owned());
    }
    for entry in tree.names(&at("src/bin")) {
        match entry.name.strip_suffix(".rs") {
            Some(name) => names.push(name.to_owned()),
            None if entry.directory => names.push(entry.name),
            None => {}
        }
    }
    names.sort();
    names.dedup();
    names
}

fn of_member(tree: &Tree, member: &str) -> Vec<String> {
    let manifest = tree.text(&format!("{member}/Cargo.toml")).and_then(|text| text.parse::<Table>().ok());
    manifest.map(|manifest| programs(tree, member, &manifest)).unwrap_or_default()
}

/// The directories of a workspace's members; of patterns, only `directory/*` is known.
fn members(tree: &Tree, manifest: &Table) -> Vec<String> {
    let listed = manifest.get("workspace").and_then(|workspace| workspace.get("members")?.as_array());
    let mut members = vec![];
    for member in listed.into_iter().flatten().filter_map(Value::as_str) {
        match member.strip_suffix("/*") {
            Some(parent) => {
                let inside = tree.names(parent).into_iter().filter(|entry| entry.directory);
                members.extend(inside.map(|entry| format!("{parent}/{}", entry.name)));
            }
            None => members.push(member.to_owned()),
        }
    }
    members
}
