//! The files that dependencies are installed by. Where nothing else is needed for that, they go into the
//! image before everything else, so that a build after a change of the sources installs nothing.

use domain::plan::{Language, Plan};
use serde_json::Value;

use crate::builder::tree::Tree;

/// What npm and its like run by themselves while they install; it may need any file.
const LIFECYCLE: [&str; 6] = ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare"];
/// Files beside `package.json` that its package managers read.
const NODE: [&str; 6] =
    ["package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", ".npmrc"];
/// Files that make a package manager read more.
const NODE_MORE: [&str; 5] = ["pnpm-workspace.yaml", ".pnpmfile.cjs", ".yarnrc.yml", ".yarnrc", "lerna.json"];

/// Their paths, relative to the repository; none, when the installation may need others.
pub(super) fn files(plan: &Plan, repository: &Tree) -> Vec<String> {
    let Some(tree) = repository.within(&plan.root) else { return vec![] };
    let names: Vec<&str> = match plan.language {
        Language::Node => node(plan, &tree),
        Language::Python => python(plan, &tree),
        Language::Go
        | Language::Rust
        | Language::Java
        | Language::Static
        | Language::Dockerfile
        | Language::Image
        | Language::Other => vec![],
    };
    let at = |name: &str| {
        if plan.root.is_empty() { name.to_owned() } else { format!("{}/{name}", plan.root) }
    };
    names.into_iter().filter(|name| tree.has(name)).map(at).collect()
}

fn node(plan: &Plan, tree: &Tree) -> Vec<&'static str> {
    let known = ["npm ci ", "npm install ", "yarn install", "pnpm install", "npx --yes "];
    let is_known = |command: &str| known.iter().any(|known| command.starts_with(known));
    if plan.install.is_empty() || !plan.install.iter().all(|command| is_known(command.as_str())) {
        return vec![];
    }
    let package: Option<Value> = tree.text("package.json").and_then(|text| serde_json::from_str(&text).ok());
    let Some(package) = package else { return vec![] };
    let runs_something = LIFECYCLE.iter().any(|script| !package["scripts"][script].is_null());
    let local = |version: &Value| {
        let text = version.as_str().unwrap_or("file:");
        ["file:", "link:", "portal:", "workspace:", "patch:", ".", "/"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
    };
    let lists = ["dependencies", "devDependencies", "optionalDependencies"];
    let has_local =
        lists.iter().filter_map(|list| package[list].as_object()).any(|list| list.values().any(local));
    let more = NODE_MORE.iter().any(|name| tree.has(name)) || tree.has_directory(".yarn");
    if runs_something || has_local || more || !package["workspaces"].is_null() {
        return vec![];
    }
    NODE.to_vec()
}

fn python(plan: &Plan, tree: &Tree) -> Vec<&'static str> {
    let last = plan.install.last().map_or("", |command| command.as_str());
    let contains = |file: &str, words: &[&str]| {
        let text = tree.text(file).unwrap_or_default();
        words.iter().any(|word| text.contains(word))
    };
    if last == ".venv/bin/pip install -r requirements.txt" {
        let text = tree.text("requirements.txt").unwrap_or_default();
        let needs_more = text.lines().map(str::trim).any(|line| {
            (line.starts_with('-') && !line.starts_with("--hash"))
                || line.starts_with(['.', '/'])
                || line.contains("file:")
                || line.contains("@ .")
                || line.contains(".whl")
        });
        return if needs_more { vec![] } else { vec!["requirements.txt"] };
    }
    let local = ["path =", "path=", "file:", "develop =", "packages ="];
    if last.ends_with("install --only main --no-root --no-interaction") && !contains("pyproject.toml", &local)
    {
        return vec!["pyproject.toml", "poetry.lock"];
    }
    let local = ["path =", "path=", "editable", "file:"];
    if last.ends_with("pipenv sync") && !contains("Pipfile", &local) {
        return vec!["Pipfile", "Pipfile.lock"];
    }
    vec![]
}
