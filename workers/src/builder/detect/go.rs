//! Go: `go.mod`. Programs are the packages named `main`, at the root and in `cmd/`; they are built into
//! `bin/`.
//!
//! Nothing is installed first: `go build` fetches what it needs, and `go mod download` would fetch what it
//! does not.

use domain::plan::Language;

use crate::builder::detect::Look;
use crate::builder::detect::found::{Begin, Found, Part, quote};
use crate::builder::tree::Tree;

/// Of several programs in `cmd/`, the one that serves.
const SERVERS: [&str; 6] = ["server", "web", "api", "app", "serve", "http"];
/// How many files of a package are read to see whether it is a program.
const FILES_READ: usize = 50;

pub(super) fn look(look: &Look) -> Option<Found> {
    let module = look.tree.text("go.mod")?;
    let name = module.lines().find_map(|line| line.trim().strip_prefix("module ")).map_or("app", last_part);
    let at_root = is_program(look.tree, "");
    let commands: Vec<String> = look
        .tree
        .names("cmd")
        .into_iter()
        .filter(|entry| entry.directory && is_program(look.tree, &format!("cmd/{}", entry.name)))
        .map(|entry| entry.name)
        .collect();
    let mut build = vec![];
    if at_root {
        build.push(format!("go build -trimpath -buildvcs=false -o bin/{} .", quote(name)));
    }
    if !commands.is_empty() {
        let packages: Vec<_> = commands.iter().map(|command| quote(&format!("./cmd/{command}"))).collect();
        build.push(format!("go build -trimpath -buildvcs=false -o bin/ {}", packages.join(" ")));
    }
    let start = match (at_root, chosen(&commands, name)) {
        (true, _) => Ok(name.to_owned()),
        (false, Some(command)) => Ok(command.to_owned()),
        (false, None) if commands.is_empty() => {
            Err("there is no `package main` at the root or in cmd/".into())
        }
        (false, None) => Err(format!("there are several programs in cmd/: {}", commands.join(", "))),
    };
    let start = start.map(|program| Begin::Command(quote(&format!("bin/{program}"))));
    Some(
        Found::new(Language::Go, vec!["go.mod".into()], start)
            .with_build(build)
            .with_needs(&[(Part::Build, "go")]),
    )
}

/// The name that `go build` gives the program at the root of a module: the last part of its path that is no
/// version.
fn last_part(path: &str) -> &str {
    let path = path.split("//").next().unwrap_or(path).trim().trim_matches('"');
    let version = |part: &str| {
        part.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    path.rsplit('/').find(|part| !part.is_empty() && !version(part)).unwrap_or("app")
}

/// The only program, the one named like the module, or the one named like a server.
fn chosen<'a>(commands: &'a [String], module: &str) -> Option<&'a str> {
    if let [only] = commands {
        return Some(only);
    }
    let named = |name: &str| commands.iter().find(|command| *command == name).map(String::as_str);
    named(module).or_else(|| SERVERS.into_iter().find_map(named))
}

fn is_program(tree: &Tree, directory: &str) -> bool {
    let sources = tree
        .names(directory)
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| name.ends_with(".go") && !name.ends_with("_test.go"))
        .take(FILES_READ);
    sources
        .map(|name| if directory.is_empty() { name } else { format!("{directory}/{name}") })
        .filter_map(|path| tree.text(&path))
        .any(|text| is_main(&text))
}

/// `package main`, and not a file that is only for `go run`.
fn is_main(text: &str) -> bool {
    let ignored = text.lines().take_while(|line| !line.starts_with("package ")).any(|line| {
        matches!(
            line.trim(),
            "//go:build ignore" | "// +build ignore" | "//go:build tools" | "// +build tools"
        )
    });
    !ignored
        && text.lines().any(|line| line.split("//").next().is_some_and(|code| code.trim() == "package main"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_the_last_part_that_is_no_version() {
        for (path, name) in [
            ("github.com/heroku/go-getting-started", "go-getting-started"),
            ("example.com/x/v2", "x"),
            ("\"x\" // comment", "x"),
            ("v2", "app"),
        ] {
            assert_eq!(last_part(path), name);
        }
    }

    #[test]
    fn a_file_for_go_run_is_no_program() {
        assert!(is_main("// A server.\npackage main // here\n"));
        assert!(!is_main("//go:build ignore\n\npackage main\n"));
        assert!(!is_main("package mainly\n"));
    }
}
