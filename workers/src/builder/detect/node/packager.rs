//! Which package manager installs, and how it is called.
//!
//! One that is not on this machine is taken from npm's registry by `npx`, at the version that
//! `packageManager` names or the one that wrote the lock file. Not by corepack: it needs other hosts than the
//! registry and is no longer part of Node.js.

use crate::builder::detect::Look;
use crate::builder::detect::node::package::Package;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Npm,
    YarnClassic,
    Yarn,
    Pnpm,
}

/// A package manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packager {
    kind: Kind,
    /// How it is called: `npm`, `yarn`, `npx --yes pnpm@9`.
    program: String,
    pub(super) lock_file: Option<&'static str>,
    pub(super) note: Option<String>,
}

impl Packager {
    pub(super) fn choose(look: &Look, package: &Package) -> Self {
        let locks = ["pnpm-lock.yaml", "yarn.lock", "package-lock.json", "npm-shrinkwrap.json"];
        let there: Vec<_> = locks.into_iter().filter(|lock| look.tree.has(lock)).collect();
        let named = package.manager.as_ref();
        let kind = match (named, there.first().copied()) {
            (Some((name, version)), _) => match name.as_str() {
                "pnpm" => Kind::Pnpm,
                "yarn" if version.starts_with("1.") => Kind::YarnClassic,
                "yarn" => Kind::Yarn,
                _ => Kind::Npm,
            },
            (None, Some("pnpm-lock.yaml")) => Kind::Pnpm,
            (None, Some("yarn.lock")) => yarn_of_lock_file(look),
            (None, _) => Kind::Npm,
        };
        let lock_file = there.iter().copied().find(|lock| belongs_to(kind, lock));
        let others: Vec<_> = there.iter().copied().filter(|lock| !belongs_to(kind, lock)).collect();
        let note = (!others.is_empty()).then(|| format!("not used: {}", others.join(", ")));
        let version = named.map(|(_, version)| version.as_str());
        Self { kind, program: program(look, kind, version), lock_file, note }
    }

    /// The program that this machine must have.
    pub(super) fn needs(&self) -> &'static str {
        match (self.kind, self.program.as_str()) {
            (Kind::Npm, _) => "npm",
            (Kind::YarnClassic | Kind::Yarn, "yarn") => "yarn",
            (Kind::Pnpm, "pnpm") => "pnpm",
            (Kind::YarnClassic | Kind::Yarn | Kind::Pnpm, _) => "npx",
        }
    }

    /// Everything, also what only the build needs, whatever NODE_ENV is among the service's variables; and
    /// exactly what the lock file says, when there is one.
    pub(super) fn install(&self) -> String {
        let program = &self.program;
        match (self.kind, self.lock_file.is_some()) {
            (Kind::Npm, true) => format!("{program} ci --include=dev"),
            (Kind::Npm, false) => format!("{program} install --include=dev"),
            // A version of Node.js that is not this machine's is a note, not a failure.
            (Kind::YarnClassic, true) => {
                format!("{program} install --frozen-lockfile --production=false --ignore-engines")
            }
            (Kind::YarnClassic, false) => format!("{program} install --production=false --ignore-engines"),
            (Kind::Yarn, true) => format!("{program} install --immutable"),
            (Kind::Yarn, false) => format!("{program} install"),
            (Kind::Pnpm, true) => format!("{program} install --frozen-lockfile --prod=false"),
            (Kind::Pnpm, false) => format!("{program} install --prod=false"),
        }
    }

    /// A script of `package.json`.
    pub(super) fn run(&self, script: &str) -> String {
        format!("{} run {script}", self.program)
    }
}

fn belongs_to(kind: Kind, lock: &str) -> bool {
    match kind {
        Kind::Npm => matches!(lock, "package-lock.json" | "npm-shrinkwrap.json"),
        Kind::YarnClassic | Kind::Yarn => lock == "yarn.lock",
        Kind::Pnpm => lock == "pnpm-lock.yaml",
    }
}

fn yarn_of_lock_file(look: &Look) -> Kind {
    let text = look.tree.text("yarn.lock").unwrap_or_default();
    if text.lines().any(|line| line == "__metadata:") { Kind::Yarn } else { Kind::YarnClassic }
}

/// The program of this machine, unless `packageManager` names a version: then exactly that.
fn program(look: &Look, kind: Kind, version: Option<&str>) -> String {
    let installed = |name: &str| version.is_none() && look.tools.has(name);
    match kind {
        Kind::Npm => "npm".to_owned(),
        Kind::YarnClassic if installed("yarn") => "yarn".to_owned(),
        Kind::YarnClassic => format!("npx --yes yarn@{}", version.unwrap_or("1")),
        Kind::Yarn => format!("npx --yes @yarnpkg/cli-dist@{}", version.unwrap_or("4")),
        Kind::Pnpm if installed("pnpm") => "pnpm".to_owned(),
        Kind::Pnpm => format!("npx --yes pnpm@{}", version.unwrap_or_else(|| pnpm_of_lock_file(look))),
    }
}

/// The last pnpm that writes lock files of that version.
fn pnpm_of_lock_file(look: &Look) -> &'static str {
    let text = look.tree.text("pnpm-lock.yaml").unwrap_or_default();
    let version = text.lines().find_map(|line| line.strip_prefix("lockfileVersion:")).unwrap_or_default();
    let version = version.trim().trim_matches(['\'', '"']);
    match version.split('.').next() {
        Some("5") => "7",
        Some("6") => "8",
        _ => "9",
    }
}
