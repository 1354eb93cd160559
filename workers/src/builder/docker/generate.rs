//! A plan as a Dockerfile of ours.
//!
//! Nothing out of a repository stands in it but as a word of JSON, in which everything that a parser could
//! take for more is escaped; no word is seen by a shell as more than data. The values of variables are never
//! in it: `RUN` lines mount them, and words that hold one, as secrets.

mod dependencies;
mod text;

use std::collections::BTreeMap;

use domain::command_line::{CommandLine, Invocation};
use domain::plan::{Language, Plan, Start};
use domain::secret::Secret;

use crate::builder::BuildError;
use crate::builder::docker::bases::{Base, BaseImages};
use crate::builder::docker::generate::text::{RunLine, Writer, script};
use crate::builder::docker::refused;
use crate::builder::process::BEHAVIOUR;
use crate::builder::tree::Tree;

/// Where the files of a service are in its image.
pub(super) const APP: &str = "/app";
/// Where the archive holds files that change seldom.
pub(super) const FIRST: &str = "first/";
/// Where it holds all files.
pub(super) const FILES: &str = "files/";
/// Where caches are while a build runs.
const CACHE: &str = "/cache";
/// Where pages are served from.
const SITE: &str = "/site";
/// Whoever the programs of a service run as.
const USER: &str = "10001:10001";
/// What a build must not change.
const RESERVED: [&str; 4] = ["PATH", "HOME", "TMPDIR", "BUILD_CACHE"];

/// Names of caches by the variables of the tools; the same as where builds run without Docker.
const CACHES: [(&str, &str); 17] = [
    ("npm_config_cache", "npm"),
    ("npm_config_store_dir", "pnpm"),
    ("YARN_CACHE_FOLDER", "yarn"),
    ("YARN_GLOBAL_FOLDER", "yarn-berry"),
    ("PIP_CACHE_DIR", "pip"),
    ("UV_CACHE_DIR", "uv-cache"),
    ("POETRY_CACHE_DIR", "poetry-cache"),
    ("PIPENV_CACHE_DIR", "pipenv-cache"),
    ("GOCACHE", "go-build"),
    ("GOMODCACHE", "go-mod"),
    ("CARGO_HOME", "cargo"),
    ("CARGO_TARGET_DIR", "cargo-target"),
    ("MAVEN_USER_HOME", "m2"),
    ("GRADLE_USER_HOME", "gradle"),
    ("XDG_CACHE_HOME", "xdg"),
    ("COREPACK_HOME", "corepack"),
    ("CYPRESS_CACHE_FOLDER", "cypress"),
];

/// A Dockerfile, and what its build is given.
pub(super) struct Generated {
    /// The file.
    pub(super) text: String,
    /// Texts by which its steps are known, and what they are called.
    pub(super) names: Vec<(String, String)>,
    /// What its `RUN` lines may mount.
    pub(super) secrets: BTreeMap<String, Secret>,
    /// Files that dependencies are installed by, which go in before the others.
    pub(super) first: Vec<String>,
}

/// Writes the Dockerfile of a plan whose files are in `tree`.
pub(super) fn generate(
    plan: &Plan,
    bases: &BaseImages,
    variables: &BTreeMap<String, Secret>,
    tree: &Tree,
) -> Result<Generated, BuildError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !plan.root.chars().all(plain) {
        let message = format!(
            "the root `{}` has other characters than letters, digits, `.`, `_` and `-`; call the directory \
             something else",
            plan.root
        );
        return Err(refused("manifest_invalid", message));
    }
    let variables: BTreeMap<_, _> =
        variables.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str())).collect();
    let secrets = variables.iter().map(|(name, value)| (variable_id(name), (*value).clone())).collect();
    let mut maker = Maker { plan, variables, secrets, writer: Writer::default(), steps: 0, names: vec![] };
    let first = dependencies::files(plan, tree);
    maker.build_stage(bases, &first);
    maker.run_stage(bases);
    Ok(Generated { text: maker.writer.finish(), names: maker.names, secrets: maker.secrets, first })
}

fn variable_id(name: &str) -> String {
    format!("variable-{name}")
}

struct Maker<'a> {
    plan: &'a Plan,
    variables: BTreeMap<&'a String, &'a Secret>,
    secrets: BTreeMap<String, Secret>,
    writer: Writer,
    steps: usize,
    names: Vec<(String, String)>,
}

impl Maker<'_> {
    fn directory(&self) -> String {
        if self.plan.root.is_empty() { APP.to_owned() } else { format!("{APP}/{}", self.plan.root) }
    }

    fn build_stage(&mut self, bases: &BaseImages, first: &[String]) {
        let base = match self.plan.language {
            Language::Node => Base::Node,
            Language::Python => Base::Python,
            Language::Go => Base::Go,
            Language::Rust => Base::Rust,
            Language::Java => Base::Java,
            Language::Static => Base::Static,
            Language::Other | Language::Dockerfile | Language::Image => Base::Other,
        };
        self.begin(&format!("FROM {} AS build", bases.of(base)));
        for (name, value) in BEHAVIOUR {
            self.writer.constant("ARG", name, value);
        }
        for (name, directory) in CACHES {
            self.writer.constant("ARG", name, &format!("{CACHE}/{directory}"));
        }
        self.writer.constant("ARG", "BUILD_CACHE", CACHE);
        self.writer.constant("ARG", "GOFLAGS", "-modcacherw");
        self.writer.constant("ARG", "npm_config_package_import_method", "clone-or-copy");
        let maven =
            format!("-Dmaven.repo.local={CACHE}/m2/repository -Duser.home=/home/app -Dstyle.color=never");
        self.writer.constant("ARG", "MAVEN_OPTS", &maven);
        if first.is_empty() {
            self.writer.copy(FILES, APP, USER);
        } else {
            self.writer.copy(FIRST, APP, USER);
        }
        let plan = self.plan;
        for command in &plan.install {
            self.command("install", command);
        }
        if !first.is_empty() {
            self.writer.copy(FILES, APP, USER);
        }
        for command in &plan.build {
            self.command("build", command);
        }
        self.settle();
    }

    /// From an image to one in which a user without rights has a place for the files.
    fn begin(&mut self, from: &str) {
        self.writer.line(from);
        self.writer.line("USER 0:0");
        let run = RunLine::constant(script::PLACES, &[APP, "/home/app", USER]);
        self.step("make room for the files", run);
        self.writer.line(&format!("USER {USER}"));
        self.writer.constant("ENV", "HOME", "/home/app");
        let directory = self.directory();
        let brought = [".switchback/bin", ".venv/bin", "node_modules/.bin", "bin"];
        let path = brought.map(|place| format!("{directory}/{place}")).join(":");
        self.writer.line(&format!("ENV PATH=\"{path}:$PATH\""));
    }

    fn step(&mut self, called: &str, mut run: RunLine) {
        self.steps += 1;
        let marker = format!("step-{}", self.steps);
        run.marker.clone_from(&marker);
        self.names.push((format!("\"{marker}\""), called.to_owned()));
        self.writer.run(&run);
    }

    fn command(&mut self, what: &str, command: &CommandLine) {
        let ours: BTreeMap<String, String> = [("BUILD_CACHE", CACHE), ("HOME", "/home/app")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let mut all: BTreeMap<String, String> =
            self.variables.iter().map(|(name, value)| ((*name).clone(), value.reveal().to_owned())).collect();
        all.extend(ours.clone());
        let (without, with) = (command.invocations(&ours), command.invocations(&all));
        let several = with.len() > 1;
        for (index, (plain, full)) in without.iter().zip(&with).enumerate() {
            let mut run = RunLine { variables: self.variable_names(), cached: true, ..RunLine::default() };
            run.script = if self.plan.language == Language::Rust { script::CARGO } else { script::COMMAND };
            if plain == full {
                run.words = self.words(full);
            } else {
                // A word with the value of a variable in it would be in the image's history.
                for (n, word) in self.words(full).into_iter().enumerate() {
                    let id = format!("word-{}-{n:04}", self.steps + 1);
                    self.secrets.insert(id.clone(), Secret::new(word));
                    run.secret_words.push(id);
                }
            }
            let part = if several { format!(" ({} of {})", index + 1, with.len()) } else { String::new() };
            self.step(&format!("{what}: {command}{part}"), run);
        }
    }

    fn variable_names(&self) -> Vec<(String, String)> {
        self.variables.keys().map(|name| (variable_id(name), (*name).clone())).collect()
    }

    /// Where, and what is run there.
    fn words(&self, invocation: &Invocation) -> Vec<String> {
        let within = &invocation.directory;
        let directory = match within.as_str() {
            "" => self.directory(),
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            relative => format!("{}/{relative}", self.directory()),
        };
        let mut words = vec![directory];
        if !invocation.environment.is_empty() {
            words.push("env".to_owned());
            words.extend(invocation.environment.iter().map(|(name, value)| format!("{name}={value}")));
        }
        words.extend(invocation.arguments.iter().cloned());
        words
    }

    /// What a build left is put where the plan starts it.
    fn settle(&mut self) {
        let directory = self.directory();
        match &self.plan.run.start {
            Start::Static { directory: pages } => {
                let run = RunLine::constant(script::PAGES, &[&directory, pages, &format!("{APP}/.site")]);
                self.step("find the pages", run);
            }
            Start::Command(command) if self.plan.language == Language::Java => {
                let words = command.invocations(&BTreeMap::new());
                let archive = words.iter().flat_map(|call| &call.arguments).find(|word| {
                    word.starts_with("target/") && (word.ends_with(".jar") || word.ends_with(".war"))
                });
                if let Some(archive) = archive {
                    let run = RunLine::constant(script::ARCHIVE, &[&directory, archive]);
                    self.step("find the archive", run);
                }
            }
            Start::Command(_) | Start::Image {} => {}
        }
    }

    /// What runs: the same stage, unless the tools that built it are of no more use.
    fn run_stage(&mut self, bases: &BaseImages) {
        let base = match (&self.plan.run.start, self.plan.language) {
            (Start::Static { .. }, _) => Some(Base::Static),
            (_, Language::Go) => Some(Base::GoRun),
            (_, Language::Rust) => Some(Base::RustRun),
            (_, Language::Java) => Some(Base::JavaRun),
            (
                _,
                Language::Node
                | Language::Python
                | Language::Static
                | Language::Other
                | Language::Dockerfile
                | Language::Image,
            ) => None,
        };
        let is_static = matches!(self.plan.run.start, Start::Static { .. });
        if let Some(base) = base {
            self.begin(&format!("FROM {}", bases.of(base)));
            let (from, to) =
                if is_static { (format!("{APP}/.site/"), SITE) } else { (format!("{APP}/"), APP) };
            self.writer.copy_from_build(&from, to, USER);
        }
        if !is_static {
            self.writer.line(&format!("WORKDIR {}", self.directory()));
        }
        self.writer.line("ENTRYPOINT []");
        if is_static {
            self.writer.program(script::SERVE);
        }
    }
}

#[cfg(test)]
mod tests;
