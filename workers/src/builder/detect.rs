//! Finds out how files are built and run, by looking at them; nothing of theirs is executed.
//!
//! Each part of the plan is taken from the first that says it: `switchback.toml`, then a Procfile, then what
//! the files are. A language is known by files that only its own tools read; `docs/guide/languages.md` lists
//! them all.

mod dockerfile;
mod found;
mod go;
mod java;
mod node;
mod pom;
mod procfile;
mod python;
mod rust;
mod site;
mod strangers;

use std::path::Path;

use domain::command_line::CommandLine;
use domain::manifest::{self, InvalidManifest, Manifest};
use domain::plan::{Health, Language, Plan, Run, Start};

use crate::builder::BuildError;
use crate::builder::detect::found::{Begin, Found, Part};
use crate::builder::detect::procfile::Procfile;
use crate::builder::tools::{self, Tools};
use crate::builder::tree::Tree;

/// How many names of the top level an error repeats.
const NAMES_SHOWN: usize = 20;

/// What was found, and what the person who deploys should know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Detected {
    /// What will be done.
    pub plan: Plan,
    /// One line each.
    pub notes: Vec<String>,
}

/// Everything that the rules of a language look at.
struct Look<'a> {
    tree: &'a Tree,
    tools: &'a Tools,
}

/// Finds out how the files of `directory` are built and run, with the tools of this machine, or with Docker
/// when the tools are those of images.
///
/// # Errors
/// [`BuildError`] with code `manifest_invalid`, `fixed_port`, `docker_needed`, `language_not_detected`,
/// `start_not_found` or `tool_missing`.
pub fn detect(directory: &Path, tools: &Tools) -> Result<Detected, BuildError> {
    let top = Tree::open(directory).map_err(|source| BuildError {
        code: "build_failed",
        message: "the files of the deployment cannot be read; deploy again to have them fetched anew".into(),
        permanent: false,
        source: Some(source.into()),
    })?;
    let manifest = read_manifest(&top)?;
    let root = manifest.service.root.clone().filter(|root| root != ".").unwrap_or_default();
    let Some(tree) = top.within(&root) else {
        let message = format!("{}: the root `{root}` is no directory of the repository", manifest::FILE_NAME);
        return Err(refused("manifest_invalid", message));
    };
    let procfile = Procfile::read(&tree);
    if !tools.builds_images() {
        refuse_what_needs_docker(&manifest)?;
    } else if let Some(detected) = dockerfile::look(&tree, &root, &manifest, &procfile)? {
        return Ok(detected);
    }
    let found = find(&Look { tree: &tree, tools }, &manifest, &procfile)?;
    check_tools(&found, &manifest, tools)?;
    let notes = notes(&tree, &manifest, &procfile, &found, tools);
    let plan = plan(root, manifest, &procfile, found)?;
    Ok(Detected { plan, notes })
}

fn refused(code: &'static str, message: impl Into<String>) -> BuildError {
    BuildError { code, message: message.into(), permanent: true, source: None }
}

fn read_manifest(top: &Tree) -> Result<Manifest, BuildError> {
    let name = manifest::FILE_NAME;
    let there = top.names("").iter().any(|entry| entry.name == name);
    let text = match top.text(name) {
        Some(text) => text,
        None if !there => return Ok(Manifest::default()),
        None => {
            let message = format!("{name} is no plain file within the repository, or far too large");
            return Err(refused("manifest_invalid", message));
        }
    };
    Manifest::parse(&text).map_err(|error: InvalidManifest| refused("manifest_invalid", error.to_string()))
}

fn refuse_what_needs_docker(manifest: &Manifest) -> Result<(), BuildError> {
    if let Some(port) = manifest.run.port {
        return Err(refused(
            "fixed_port",
            format!(
                "{} fixes the port {port}, which needs Docker: without it, all services share the ports of \
                 one machine, and two releases of a service run side by side while one takes over; remove \
                 `port` and listen on the port that is given in the variable PORT",
                manifest::FILE_NAME
            ),
        ));
    }
    if manifest.run.read_only == Some(true) {
        let message = format!(
            "{} asks for files that cannot be written, which needs Docker, and this server runs without it; \
             remove `read_only`",
            manifest::FILE_NAME
        );
        return Err(refused("docker_needed", message));
    }
    if let Some(dockerfile) = &manifest.build.dockerfile {
        let message = format!(
            "{} asks to build `{dockerfile}`, which needs Docker, and this server builds without it; remove \
             `dockerfile` to have the language detected, or say `install`, `build` and `command`",
            manifest::FILE_NAME
        );
        return Err(refused("docker_needed", message));
    }
    Ok(())
}

/// The rules of all languages, in the order in which they are asked. What compiles comes first, because the
/// web parts of such a project often have a `package.json` of their own; a lone `app.py` is the weakest sign
/// of all.
const RULES: [fn(&Look) -> Option<Found>; 7] =
    [go::look, java::look, rust::look, python::look, node::look, python::look_for_scripts, site::look];

/// The language. Of several that are found, the one that the Procfile starts with, then the first one that
/// can be started; a page beside a program that cannot is not taken for a static site, unless it is one with
/// npm's tools.
fn find(look: &Look, manifest: &Manifest, procfile: &Procfile) -> Result<Found, BuildError> {
    let mut all: Vec<Found> = RULES.iter().filter_map(|rule| rule(look)).collect();
    let hint = procfile.language();
    let only_pages = all.iter().all(|found| matches!(found.language, Language::Node | Language::Static));
    let startable = |found: &Found| found.start.is_ok() && (found.language != Language::Static || only_pages);
    let chosen = all
        .iter()
        .position(|found| hint == Some(found.language))
        .or_else(|| all.iter().position(startable))
        .or(if all.is_empty() { None } else { Some(0) });
    let started = manifest.run.command.is_some() || procfile.web.is_some();
    let Some(chosen) = chosen else {
        if started {
            return Ok(Found::by_commands());
        }
        return Err(not_detected(look.tree));
    };
    let mut found = all.remove(chosen);
    if let (false, Err(missing)) = (started, &found.start) {
        let message = format!(
            "{} was found by {}, but not how it is started: {missing}; or say it with `web: …` in a \
             Procfile, or with `command` under [run] in {}",
            found.language,
            found.seen.join(", "),
            manifest::FILE_NAME
        );
        return Err(refused("start_not_found", message));
    }
    let others = all.iter().filter(|other| other.language != found.language);
    let others: Vec<_> =
        others.map(|other| format!("{} ({})", other.language, other.seen.join(", "))).collect();
    if !others.is_empty() {
        let note = format!("also found, and not built: {}", others.join("; "));
        found.notes.push(note);
    }
    Ok(found)
}

fn not_detected(tree: &Tree) -> BuildError {
    if let Some(dockerfile) = tree.first(&["Dockerfile", "Containerfile", "dockerfile"]) {
        let message = format!(
            "only a {dockerfile} says how this is built, which needs Docker, and this server builds without \
             it; add a Procfile, or {} with `command` under [run]",
            manifest::FILE_NAME
        );
        return refused("docker_needed", message);
    }
    let names = tree.names("");
    let shown: Vec<_> = names
        .iter()
        .take(NAMES_SHOWN)
        .map(|entry| if entry.directory { format!("{}/", entry.name) } else { entry.name.clone() })
        .collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    let there = match (names.is_empty(), strangers::name(&names)) {
        (true, _) => "the directory is empty".to_owned(),
        (false, Some(stranger)) => {
            format!("found: {}{more} ({stranger}, which is not known)", shown.join(", "))
        }
        (false, None) => format!("found: {}{more}", shown.join(", ")),
    };
    let message = format!(
        "the language was not detected; looked for Procfile, go.mod, pom.xml, Cargo.toml, requirements.txt, \
         pyproject.toml, Pipfile, manage.py, package.json, app.py, main.py, server.py, index.html, \
         public/index.html; {there}; if it is in a directory of its own, name that by `root` under [service] \
         in {0}; anything else is run by `install` and `build` under [build] and `command` under [run] there",
        manifest::FILE_NAME
    );
    refused("language_not_detected", message)
}

fn check_tools(found: &Found, manifest: &Manifest, tools: &Tools) -> Result<(), BuildError> {
    for (part, program) in &found.needs {
        let replaced = match part {
            Part::Install => manifest.build.install.is_some(),
            Part::Build => manifest.build.build.is_some(),
            Part::Start => manifest.run.command.is_some(),
        };
        if !replaced && !tools.has(program) {
            let message = format!(
                "{} needs `{program}`, which is not installed on this server; {}",
                found.language,
                tools::advice(program)
            );
            return Err(refused("tool_missing", message));
        }
    }
    Ok(())
}

fn notes(tree: &Tree, manifest: &Manifest, procfile: &Procfile, found: &Found, tools: &Tools) -> Vec<String> {
    let mut notes = vec![];
    if let Some(dockerfile) = tree.first(&dockerfile::NAMES) {
        let by = if found.language == Language::Other { "its commands" } else { "language" };
        notes.push(if tools.builds_images() {
            let file = manifest::FILE_NAME;
            format!("{file} says how this is built, so its {dockerfile} is not used")
        } else {
            format!("a {dockerfile} needs Docker; building by {by} instead")
        });
    }
    notes.extend(found.notes.iter().cloned());
    if !procfile.others.is_empty() && manifest.run.command.is_none() {
        let others = procfile.others.join(", ");
        notes.push(format!("of the Procfile, web and release are run; left out: {others}"));
    }
    notes
}

fn plan(root: String, manifest: Manifest, procfile: &Procfile, found: Found) -> Result<Plan, BuildError> {
    let mut seen = found.seen;
    if procfile.web.is_some() && manifest.run.command.is_none() {
        seen.push("Procfile".into());
    }
    if manifest != Manifest::default() {
        seen.push(manifest::FILE_NAME.into());
    }
    let start = match (manifest.run.command.clone(), &procfile.web, found.start) {
        (Some(command), _, _) => Start::Command(command),
        (None, Some(web), _) => Start::Command(web.command()?),
        (None, None, Ok(Begin::Static(directory))) => Start::Static { directory },
        (None, None, Ok(Begin::Command(text))) => Start::Command(sound(&text)?),
        (None, None, Err(missing)) => return Err(refused("start_not_found", missing)),
    };
    let release = match (manifest.run.release.clone(), &procfile.release) {
        (Some(command), _) => Some(command),
        (None, Some(line)) => Some(line.command()?),
        (None, None) => None,
    };
    Ok(Plan {
        language: found.language,
        detected_by: seen.join(", "),
        root,
        dockerfile: None,
        install: commands(manifest.build.install, &found.install)?,
        build: commands(manifest.build.build, &found.build)?,
        run: run(manifest.run, start, release),
    })
}

fn run(said: manifest::Run, start: Start, release: Option<CommandLine>) -> Run {
    let default = Health::default();
    let health = said.health.unwrap_or_default();
    let run = Run::new(start);
    Run {
        release,
        port: said.port,
        health: Health { path: health.path, timeout_ms: health.timeout.unwrap_or(default.timeout_ms) },
        replicas: said.replicas.unwrap_or(run.replicas),
        memory_bytes: said.memory,
        cpu_millis: said.cpu,
        read_only: said.read_only.unwrap_or(run.read_only),
        drain_ms: said.drain.unwrap_or(run.drain_ms),
        ..run
    }
}

fn commands(said: Option<CommandLine>, found: &[String]) -> Result<Vec<CommandLine>, BuildError> {
    match said {
        Some(command) => Ok(vec![command]),
        None => found.iter().map(|text| sound(text)).collect(),
    }
}

/// A command that the rules put together; names out of the repository are quoted in it, and only their length
/// or a control character can make it unsound.
fn sound(text: &str) -> Result<CommandLine, BuildError> {
    text.parse().map_err(|error| {
        let message =
            format!("the command that was found cannot be run: {error}; say it in {}", manifest::FILE_NAME);
        refused("start_not_found", message)
    })
}
