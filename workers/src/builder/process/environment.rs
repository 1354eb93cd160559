//! The environment of a build: what it is meant to have, and nothing else of the platform's.
//!
//! Later ones win: what operators pass on, what tools need to behave (caches, no questions), the service's
//! variables, and last what a build must not change: its home, its temporary files, and where programs are
//! looked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use domain::plan::{Language, Plan};
use domain::secret::Secret;

use crate::builder::process::caches;
use crate::builder::process::places::Places;
use crate::builder::process::settings::Settings;
use crate::builder::tree::Tree;

/// Directories of programs that a build makes, within the service's root.
const BROUGHT: [&str; 3] = [".switchback/bin", ".venv/bin", "node_modules/.bin"];

/// What keeps tools from asking, phoning home, and taking our directories for somebody's checkout.
pub(crate) const BEHAVIOUR: [(&str, &str); 24] = [
    ("CI", "true"),
    ("LANG", "C.UTF-8"),
    ("TERM", "dumb"),
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("npm_config_audit", "false"),
    ("npm_config_fund", "false"),
    ("npm_config_update_notifier", "false"),
    ("YARN_NODE_LINKER", "node-modules"),
    ("YARN_ENABLE_TELEMETRY", "0"),
    ("COREPACK_ENABLE_DOWNLOAD_PROMPT", "0"),
    ("NEXT_TELEMETRY_DISABLED", "1"),
    ("ASTRO_TELEMETRY_DISABLED", "1"),
    ("GATSBY_TELEMETRY_DISABLED", "1"),
    ("HUSKY", "0"),
    ("PIP_NO_INPUT", "1"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_PROGRESS_BAR", "off"),
    ("PYTHONUNBUFFERED", "1"),
    ("UV_LINK_MODE", "copy"),
    ("POETRY_VIRTUALENVS_IN_PROJECT", "true"),
    ("PIPENV_VENV_IN_PROJECT", "1"),
    ("PIPENV_IGNORE_VIRTUALENVS", "1"),
    ("CARGO_TERM_COLOR", "never"),
];

/// What a program of a language is given when it runs, unless the service's variables say otherwise. Not when
/// it is built: tools leave out what only a build needs when `NODE_ENV` is `production`.
#[must_use]
pub const fn run_defaults(language: Language) -> &'static [(&'static str, &'static str)] {
    match language {
        Language::Node => &[("NODE_ENV", "production")],
        Language::Python => &[("PYTHONUNBUFFERED", "1"), ("PYTHONDONTWRITEBYTECODE", "1")],
        Language::Go
        | Language::Rust
        | Language::Java
        | Language::Static
        | Language::Dockerfile
        | Language::Image
        | Language::Other => &[],
    }
}

pub(super) fn build(
    settings: &Settings,
    places: &Places,
    plan: &Plan,
    variables: &BTreeMap<String, Secret>,
) -> BTreeMap<String, String> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut environment = settings.environment.clone();
    environment.extend(BEHAVIOUR.map(owned));
    for (name, directory) in caches::VARIABLES {
        environment.insert(name.to_owned(), places.cache.join(directory).display().to_string());
    }
    // Its modules would otherwise be files that cannot be removed.
    let flags = environment.entry("GOFLAGS".into()).or_default();
    *flags = format!("{flags} -modcacherw").trim_start().to_owned();
    maven(&mut environment, places);
    if plan.install.iter().chain(&plan.build).any(|command| command.as_str().contains("pnpm")) {
        let store = places.cache.join(caches::PNPM).display().to_string();
        environment.insert("npm_config_store_dir".into(), store);
        // An artifact shares no file with a cache.
        environment.insert("npm_config_package_import_method".into(), "clone-or-copy".into());
    }
    if plan.language == Language::Python {
        environment.insert("VIRTUAL_ENV".into(), places.root.join(".venv").display().to_string());
        environment.extend(pyenv(settings, &places.root));
    }
    environment.extend(variables.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())));
    let path = BROUGHT.map(|directory| places.root.join(directory).display().to_string()).join(":");
    environment.extend([
        ("HOME".to_owned(), places.home.display().to_string()),
        ("TMPDIR".to_owned(), places.temporary.display().to_string()),
        ("PATH".to_owned(), format!("{path}:{}", settings.path)),
        (caches::CACHE.to_owned(), places.cache.display().to_string()),
        ("GIT_CEILING_DIRECTORIES".to_owned(), places.deployment.display().to_string()),
    ]);
    environment
}

/// Java asks the system for the home, not the environment. A path with a space cannot stand in `MAVEN_OPTS`,
/// which a script of Maven's takes apart.
fn maven(environment: &mut BTreeMap<String, String>, places: &Places) {
    let repository = places.cache.join(caches::MAVEN).display().to_string();
    let home = places.home.display().to_string();
    let name = if format!("{repository}{home}").contains(char::is_whitespace) {
        "JAVA_TOOL_OPTIONS"
    } else {
        "MAVEN_OPTS"
    };
    let quote = if name == "MAVEN_OPTS" { "" } else { "\"" };
    let options = environment.entry(name.to_owned()).or_default();
    *options = format!(
        "{options} {quote}-Dmaven.repo.local={repository}{quote} {quote}-Duser.home={home}{quote} \
         -Dstyle.color=never"
    )
    .trim_start()
    .to_owned();
}

/// A version in `.python-version` that pyenv does not have keeps every Python from running; then this
/// machine's own is used instead, as the plan says.
fn pyenv(settings: &Settings, root: &Path) -> Option<(String, String)> {
    let pyenv = settings.pyenv()?;
    let text = Tree::open(root).ok()?.text(".python-version")?;
    let wanted = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let plain = wanted.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
    let installed = fs::read_dir(pyenv.join("versions"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let matches = |name: &str| name == wanted || name.starts_with(&format!("{wanted}."));
    if plain && installed.into_iter().any(|name| matches(&name)) {
        return None;
    }
    let own = fs::read_to_string(pyenv.join("version")).ok()?;
    Some(("PYENV_VERSION".to_owned(), own.lines().next()?.trim().to_owned()))
}
