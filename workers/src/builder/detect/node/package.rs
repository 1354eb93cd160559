//! `package.json`, as far as it says how an application is built and started.

use std::collections::{BTreeMap, BTreeSet};

use domain::command_line::CommandLine;
use serde_json::{Map, Value};

/// The file. What has another type than it should counts as absent, as it does for npm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Package {
    scripts: BTreeMap<String, String>,
    dependencies: BTreeSet<String>,
    pub(super) main: Option<String>,
    /// `packageManager`, such as `pnpm@9.1.0`, without a checksum.
    pub(super) manager: Option<(String, String)>,
    /// Whether it gathers several packages.
    pub(super) is_workspace: bool,
    /// `engines.node`.
    pub(super) engine: Option<String>,
}

impl Package {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
        let file = value.as_object()?;
        let scripts = object(file, "scripts")
            .filter_map(|(name, script)| Some((name.clone(), script.as_str()?.trim().to_owned())))
            .filter(|(_, script)| !script.is_empty())
            .collect();
        let dependencies = object(file, "dependencies").chain(object(file, "devDependencies"));
        Some(Self {
            scripts,
            dependencies: dependencies.map(|(name, _)| name.clone()).collect(),
            main: text_of(file, "main").map(|main| main.trim_start_matches("./").to_owned()),
            manager: text_of(file, "packageManager").and_then(manager),
            is_workspace: file.contains_key("workspaces"),
            engine: object(file, "engines")
                .find(|(name, _)| *name == "node")
                .and_then(|(_, range)| range.as_str())
                .map(|range| range.chars().filter(|c| !c.is_control()).take(60).collect()),
        })
    }

    pub(super) fn script(&self, name: &str) -> Option<&str> {
        self.scripts.get(name).map(String::as_str)
    }

    pub(super) fn depends_on(&self, name: &str) -> bool {
        self.dependencies.contains(name)
    }

    /// The start script itself where it is one program and npm would do nothing else around it: npm costs
    /// half a second and 50 MB for every instance. Otherwise `npm start`, whatever installed the packages.
    pub(super) fn start_command(&self) -> String {
        let around = self.script("prestart").is_some() || self.script("poststart").is_some();
        let script = self.script("start").unwrap_or_default();
        let plain = !around && !script.contains("npm_") && is_one_program(script);
        if plain { script.to_owned() } else { "npm start".to_owned() }
    }
}

/// Whether a script can be run without npm and without a shell to the same effect.
fn is_one_program(script: &str) -> bool {
    let Ok(command) = script.parse::<CommandLine>() else { return false };
    let invocations = command.invocations(&BTreeMap::new());
    // A path with a slash that is no path of the files (`C:\…`) and a script of a script are npm's to
    // understand.
    let program = invocations.first().and_then(|invocation| invocation.arguments.first());
    invocations.len() == 1
        && !script.contains(['\\', '!'])
        && program.is_some_and(|program| !matches!(program.as_str(), "npm" | "yarn" | "pnpm" | "npx"))
}

fn object<'a>(file: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    file.get(name).and_then(Value::as_object).into_iter().flatten()
}

fn text_of<'a>(file: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    file.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

fn manager(text: &str) -> Option<(String, String)> {
    let (name, version) = text.split_once('@')?;
    let version = version.split('+').next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let numbered = version.starts_with(|c: char| c.is_ascii_digit()) && version.chars().all(plain);
    (matches!(name, "npm" | "yarn" | "pnpm") && numbered).then(|| (name.to_owned(), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> String {
        let text = serde_json::json!({ "scripts": { "start": script } }).to_string();
        Package::parse(&text).expect("an object").start_command()
    }

    #[test]
    fn a_start_script_of_one_program_is_run_without_npm() {
        for script in
            ["node ./bin/www", "next start -p $PORT", "NODE_ENV=production node x.js", "serve -s 'a b'"]
        {
            assert_eq!(start(script), script);
        }
        for script in
            ["node a && node b", "node a | tee log", "npm run serve", "echo $npm_package_version", "node *"]
        {
            assert_eq!(start(script), "npm start", "{script}");
        }
        let around = r#"{"scripts": {"start": "node x", "prestart": "tsc"}}"#;
        assert_eq!(Package::parse(around).expect("an object").start_command(), "npm start");
    }

    #[test]
    fn a_package_manager_is_a_name_and_a_version() {
        assert_eq!(manager("pnpm@9.1.0+sha512.abc"), Some(("pnpm".into(), "9.1.0".into())));
        for text in ["pnpm", "bun@1.0.0", "pnpm@latest", "pnpm@9;id", "yarn@$(id)", "npm@../x"] {
            assert_eq!(manager(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_as_it_should_be_counts_as_absent() {
        assert_eq!(Package::parse("[]"), None);
        assert_eq!(Package::parse("{"), None);
        let odd =
            r#"{"scripts": {"start": 1, "build": " "}, "dependencies": [], "main": {}, "engines": "x"}"#;
        assert_eq!(Package::parse(odd), Some(Package::default()));
    }
}
