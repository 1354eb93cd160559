//! Frameworks whose build is known to leave files that are served, or a server of their own.

use crate::builder::detect::node::package::Package;

/// What a build leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// A directory of files.
    Files(&'static str),
    /// A program.
    Program(String),
}

/// Packages by which a framework with a server of its own is known, and how that is started. Before the
/// others, because such projects depend on a bundler too.
const SERVERS: [(&str, &str); 6] = [
    ("next", "next start --hostname 127.0.0.1 --port $PORT"),
    ("nuxt", "node .output/server/index.mjs"),
    ("@remix-run/serve", "remix-serve build/server/index.js"),
    ("@react-router/serve", "react-router-serve build/server/index.js"),
    ("@astrojs/node", "node dist/server/entry.mjs"),
    ("@sveltejs/adapter-node", "node build"),
];

/// Packages by which a framework is known, and the directory that its build makes.
const SITES: [(&str, &str); 13] = [
    ("react-scripts", "build"),
    ("@docusaurus/core", "build"),
    ("@sveltejs/adapter-static", "build"),
    ("preact-cli", "build"),
    ("gatsby", "public"),
    ("@11ty/eleventy", "_site"),
    ("astro", "dist"),
    ("@vue/cli-service", "dist"),
    ("@angular/cli", "dist"),
    ("parcel", "dist"),
    ("vite", "dist"),
    ("webpack", "dist"),
    ("rollup", "dist"),
];

pub(super) fn of(package: &Package) -> Option<Served> {
    let exports = package.script("build").is_some_and(|script| script.contains("next export"));
    if exports && package.depends_on("next") {
        return Some(Served::Files("out"));
    }
    let server = SERVERS.iter().find(|(name, _)| package.depends_on(name));
    let site = SITES.iter().find(|(name, _)| package.depends_on(name));
    server
        .map(|(_, command)| Served::Program((*command).to_owned()))
        .or_else(|| site.map(|(_, directory)| Served::Files(directory)))
}

/// Whether a start script is a server for development, which rebuilds at every change and trusts everybody.
pub(super) fn is_development_server(script: &str) -> bool {
    let mut words = script
        .split_whitespace()
        .skip_while(|word| *word == "cross-env" || (word.contains('=') && !word.starts_with('-')))
        .filter(|word| *word != "npx");
    let program = words.next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let command = words.find(|word| !word.starts_with('-'));
    match program {
        "react-scripts" | "docusaurus" => command == Some("start"),
        "vite" => !matches!(command, Some("build")),
        "astro" => matches!(command, None | Some("dev" | "start" | "preview")),
        "next" | "nuxt" | "nuxi" => command == Some("dev"),
        "parcel" => command != Some("build"),
        "webpack" | "ng" | "vue-cli-service" | "rspack" => command == Some("serve"),
        "gatsby" => matches!(command, Some("develop" | "serve")),
        "webpack-dev-server" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_for_development_are_known_by_their_program_and_command() {
        for script in [
            "react-scripts start",
            "vite",
            "vite --host 0.0.0.0",
            "cross-env NODE_ENV=development webpack serve --open",
            "PORT=3000 npx parcel index.html",
            "./node_modules/.bin/next dev",
            "gatsby develop",
            "ng serve",
        ] {
            assert!(is_development_server(script), "{script}");
        }
        for script in ["node server.js", "next start", "", "serve -s build", "vite build", "nest start"] {
            assert!(!is_development_server(script), "{script}");
        }
    }
}
