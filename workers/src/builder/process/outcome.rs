//! What a build came to: that there is something to start, where the plan says it is.
//!
//! The plan was made before anything was built, so it names what a tool makes by the tool's own rules. Where
//! a build called it otherwise and there is no doubt which it is, it is put where the plan says.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use domain::command_line::CommandLine;
use domain::plan::{Language, Plan, Start};

use crate::builder::BuildError;
use crate::builder::process::{Build, caches, failed, refused};
use crate::builder::tools::Tools;
use crate::disk;
use crate::process::{Buffer, Program, Sink, Supervisor};

/// Where programs are that the service brings itself; it is the first place that is looked at when it runs.
const PROGRAMS: &str = ".switchback/bin";
/// Directories in which builds leave pages.
const PAGES: [&str; 7] =
    ["dist", "build", "out", ".output/public", "_site", "docs/.vitepress/dist", "public"];

/// Sees to it that what the plan starts is there.
pub(super) async fn settle(
    build: &Build<'_>,
    plan: &Plan,
    interpreter: Option<PathBuf>,
) -> Result<Vec<String>, BuildError> {
    let (root, cache, plan) = (build.places.root.clone(), build.places.cache.clone(), plan.clone());
    let settling = tokio::task::spawn_blocking(move || {
        if let Some(interpreter) = interpreter.filter(|_| !root.join(".venv").exists()) {
            link_interpreter(&interpreter, &root).map_err(|error| failed("link the interpreter", error))?;
        }
        settle_files(&root, &cache, &plan)
    });
    settling.await.unwrap_or_else(|error| Err(failed("look at what was built", error)))
}

fn settle_files(root: &Path, cache: &Path, plan: &Plan) -> Result<Vec<String>, BuildError> {
    let cannot = |error: io::Error| failed("put what was built in its place", error);
    match plan.language {
        Language::Rust => {
            bring_programs(&cache.join(caches::CARGO_TARGET).join("release"), root).map_err(cannot)?
        }
        Language::Go => link_programs(root).map_err(cannot)?,
        Language::Node
        | Language::Python
        | Language::Java
        | Language::Static
        | Language::Dockerfile
        | Language::Image
        | Language::Other => {}
    }
    match &plan.run.start {
        Start::Static { directory } => pages(root, directory),
        Start::Command(command) if plan.language == Language::Java => archive(root, command),
        Start::Command(_) | Start::Image {} => Ok(vec![]),
    }
}

/// Cargo builds in the cache, so that the next build need not begin anew; the programs belong to the service.
fn bring_programs(built: &Path, root: &Path) -> io::Result<()> {
    let release = root.join("target/release");
    fs::create_dir_all(&release)?;
    for program in programs(built) {
        let Some(name) = program.file_name() else { continue };
        let target = release.join(name);
        disk::remove_file(&target)?;
        fs::copy(&program, &target)?;
        // The next build of another revision must not find this one.
        disk::remove_file(&program)?;
    }
    Ok(())
}

/// A Procfile names a program of Go by its name alone.
fn link_programs(root: &Path) -> io::Result<()> {
    let links = root.join(PROGRAMS);
    fs::create_dir_all(&links)?;
    for program in programs(&root.join("bin")) {
        let Some(name) = program.file_name() else { continue };
        disk::remove_file(&links.join(name))?;
        symlink(Path::new("../../bin").join(name), links.join(name))?;
    }
    Ok(())
}

/// The executable files in a directory.
fn programs(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let executable = |path: &PathBuf| {
        fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
            && path.extension().is_none_or(|ending| ending != "so")
    };
    entries.map(|entry| entry.path()).filter(executable).collect()
}

/// Where the interpreter of Python really is: a service without an environment of its own runs with the one
/// that it was built with, not with what a version manager chooses later.
pub(super) async fn interpreter(
    supervisor: &Supervisor,
    build: &Build<'_>,
    language: Language,
) -> Result<Option<PathBuf>, BuildError> {
    let path = build.environment.get("PATH").map_or("", String::as_str);
    if language != Language::Python || !Tools::on(path).has("python3") {
        return Ok(None);
    }
    let question = "import os, sys; print(os.path.realpath(sys.executable))";
    let program = Program::new(build.name.clone(), ["python3", "-I", "-c", question]);
    let program = program.directory(&build.places.root).environment(build.environment.clone());
    let answer = Buffer::new(4096);
    let child = supervisor.spawn_into(program, Sink::Bytes(answer.clone()), Sink::Nothing).await;
    let succeeded =
        child.map_err(|error| failed("ask for the interpreter", error))?.wait().await.is_success();
    let real = PathBuf::from(String::from_utf8_lossy(&answer.take()).trim());
    // Otherwise what is on the PATH is run as it is.
    Ok(Some(real).filter(|real| succeeded && real.is_absolute() && real.is_file()))
}

fn link_interpreter(interpreter: &Path, root: &Path) -> io::Result<()> {
    let links = root.join(PROGRAMS);
    fs::create_dir_all(&links)?;
    for name in ["python3", "python"] {
        disk::remove_file(&links.join(name))?;
        symlink(interpreter, links.join(name))?;
    }
    Ok(())
}

/// Pages are where the plan says, or in the one place where builds leave them.
fn pages(root: &Path, directory: &str) -> Result<Vec<String>, BuildError> {
    let target = root.join(directory);
    if target.join("index.html").is_file() {
        return Ok(vec![]);
    }
    let mut places: Vec<PathBuf> = PAGES.iter().map(|place| root.join(place)).collect();
    // Angular: dist/<project>/browser.
    for within in fs::read_dir(root.join("dist")).into_iter().flatten().filter_map(Result::ok) {
        places.push(within.path().join("browser"));
        places.push(within.path());
    }
    let Some(found) = places.into_iter().find(|place| *place != target && place.join("index.html").is_file())
    else {
        let looked: Vec<_> =
            [directory].into_iter().chain(PAGES.into_iter().filter(|place| *place != directory)).collect();
        let message = format!(
            "the build made no page: there is no index.html in {}; if this is no static site, say how it is \
             started, by `command` under [run] in switchback.toml",
            looked.join(", ")
        );
        return Err(refused("build_failed", message));
    };
    let aside = root.join(".switchback/pages");
    let moved = disk::remove(&aside)
        .and_then(|()| fs::create_dir_all(root.join(".switchback")))
        .and_then(|()| fs::rename(&found, &aside))
        .and_then(|()| disk::remove(&target))
        .and_then(|()| fs::rename(&aside, &target));
    moved.map_err(|error| failed("put the pages in their place", error))?;
    let from = found.strip_prefix(root).unwrap_or(&found).display().to_string();
    Ok(vec![format!("the pages are in {from}; they are served from {directory}")])
}

/// The archive is called as the plan says, or is the only one that can be run.
fn archive(root: &Path, command: &CommandLine) -> Result<Vec<String>, BuildError> {
    let invocations = command.invocations(&BTreeMap::new());
    let words = invocations.iter().flat_map(|invocation| invocation.arguments.windows(2));
    let named = words.filter(|words| words[0] == "-jar").map(|words| words[1].clone()).next();
    let Some(named) = named.filter(|name| name.starts_with("target/")) else { return Ok(vec![]) };
    if root.join(&named).exists() {
        return Ok(vec![]);
    }
    let ending = if named.ends_with(".war") { ".war" } else { ".jar" };
    let others = ["-sources.jar", "-javadoc.jar", "-tests.jar", "-plain.jar"];
    let runnable = |name: &String| {
        name.ends_with(ending)
            && !name.starts_with("original-")
            && !others.iter().any(|other| name.ends_with(other))
    };
    let entries = fs::read_dir(root.join("target")).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    found.retain(runnable);
    found.sort();
    match found.as_slice() {
        [only] => {
            let linked = fs::hard_link(root.join("target").join(only), root.join(&named));
            linked.map_err(|error| failed("name the archive", error))?;
            Ok(vec![format!("target/{only} was built; it is started as {named}")])
        }
        several => {
            let there = if several.is_empty() { "nothing".to_owned() } else { several.join(", ") };
            let message = format!(
                "`{command}` starts {named}, which the build did not make (it made {there} in target/); name \
                 the archive by `web: …` in a Procfile"
            );
            Err(refused("build_failed", message))
        }
    }
}
