//! Node.js: `package.json`. The package manager is the one that it names, or the one whose lock file is
//! there.
//!
//! Dependencies for development are installed too, because builds need them. A start script that is a
//! development server is not run when there is a build: what was built is served instead.

mod framework;
mod package;
mod packager;

use domain::plan::Language;

use crate::builder::detect::Look;
use crate::builder::detect::found::{Begin, Found, Part, quote};
use crate::builder::detect::node::framework::Served;
use crate::builder::detect::node::package::Package;
use crate::builder::detect::node::packager::Packager;
use crate::builder::detect::site;

/// Files that a service without a start script is begun at.
const ENTRIES: [&str; 12] = [
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "server.mjs",
    "index.mjs",
    "app.mjs",
    "src/server.js",
    "src/index.js",
    "src/app.js",
    "src/main.js",
    "src/index.mjs",
];

/// Files of workspaces, in which no package is the one to run.
const WORKSPACES: [&str; 4] = ["pnpm-workspace.yaml", "turbo.json", "nx.json", "lerna.json"];

/// Why nothing is started there.
const WORKSPACE: &str = "package.json is that of several packages: name the directory of the one to run by \
                         `root` under [service]";
/// Why nothing is started where there is nothing to start.
const NOTHING: &str = "package.json has no `start` script and no `main` that is there, and there is no \
                       server.js, index.js or app.js; add a `start` script";

pub(super) fn look(look: &Look) -> Option<Found> {
    let package = Package::parse(&look.tree.text("package.json")?)?;
    let packager = Packager::choose(look, &package);
    let mut seen = vec!["package.json".to_owned()];
    seen.extend(packager.lock_file.map(str::to_owned));
    let build = ["heroku-postbuild", "build"].into_iter().find(|script| package.script(script).is_some());
    let start = start(look, &package, build.is_some());
    let mut notes = vec![];
    if let Some(engine) = package.engine.as_ref() {
        notes.push(format!("package.json asks for Node.js {engine}; the one of this server is used"));
    }
    notes.extend(packager.note.clone());
    Some(
        Found::new(Language::Node, seen, start)
            .with_install(vec![packager.install()])
            .with_build(build.map(|script| packager.run(script)).into_iter().collect())
            .with_needs(&[(Part::Install, packager.needs()), (Part::Start, "node")])
            .with_notes(notes),
    )
}

fn start(look: &Look, package: &Package, built: bool) -> Result<Begin, String> {
    let framework = framework::of(package);
    if let Some(script) = package.script("start") {
        let development = framework::is_development_server(script);
        match (development, built, &framework) {
            (true, true, Some(Served::Program(command))) => return Ok(Begin::Command(command.clone())),
            (true, true, Some(Served::Files(directory))) => return Ok(Begin::Static((*directory).into())),
            (true, true, None) => return Ok(Begin::Static("dist".into())),
            (_, _, _) => return Ok(Begin::Command(package.start_command())),
        }
    }
    match framework {
        Some(Served::Program(command)) if built => return Ok(Begin::Command(command)),
        Some(Served::Files(directory)) if built => return Ok(Begin::Static(directory.into())),
        _ => {}
    }
    let main = package.main.as_deref().filter(|main| look.tree.has(main));
    if let Some(entry) = main.or_else(|| look.tree.first(&ENTRIES)) {
        return Ok(Begin::Command(format!("node {}", quote(entry))));
    }
    if let Some(directory) = site::directory(look) {
        return Ok(Begin::Static(directory.into()));
    }
    if package.is_workspace || look.tree.first(&WORKSPACES).is_some() {
        return Err(WORKSPACE.into());
    }
    if built { Ok(Begin::Static("dist".into())) } else { Err(NOTHING.into()) }
}
