//! Node.js.

use super::{check, detected, detected_with, said};

#[test]
fn the_package_manager_is_the_one_that_is_named_or_whose_lock_file_is_there() {
    let start = r#"{"scripts": {"start": "node x.js"}}"#;
    check(&[
        (
            &[("package.json", start)],
            &["Node.js by package.json", "install npm install --include=dev", "start node x.js"],
        ),
        (
            &[("package.json", start), ("package-lock.json", "{}")],
            &[
                "Node.js by package.json, package-lock.json",
                "install npm ci --include=dev",
                "start node x.js",
            ],
        ),
        (
            &[("package.json", start), ("yarn.lock", "# yarn lockfile v1\n")],
            &[
                "Node.js by package.json, yarn.lock",
                "install npx --yes yarn@1 install --frozen-lockfile --production=false --ignore-engines",
                "start node x.js",
            ],
        ),
        (
            &[("package.json", start), ("yarn.lock", "__metadata:\n  version: 8\n")],
            &[
                "Node.js by package.json, yarn.lock",
                "install npx --yes @yarnpkg/cli-dist@4 install --immutable",
                "start node x.js",
            ],
        ),
        (
            &[("package.json", start), ("pnpm-lock.yaml", "lockfileVersion: '6.0'\n")],
            &[
                "Node.js by package.json, pnpm-lock.yaml",
                "install npx --yes pnpm@8 install --frozen-lockfile --prod=false",
                "start node x.js",
            ],
        ),
        (
            &[
                ("package.json", r#"{"packageManager": "pnpm@9.1.0+sha1.x", "main": "./a b.js"}"#),
                ("yarn.lock", ""),
                ("a b.js", ""),
            ],
            &[
                "Node.js by package.json",
                "install npx --yes pnpm@9.1.0 install --prod=false",
                "start node 'a b.js'",
                "note not used: yarn.lock",
            ],
        ),
    ]);
}

#[test]
fn a_package_manager_of_this_machine_is_used_unless_another_version_is_named() {
    let tools = ["node", "npm", "npx", "yarn", "pnpm"];
    let files = [("package.json", r#"{"scripts": {"build": "b", "start": "node ."}}"#), ("yarn.lock", "")];
    let found = detected_with(&tools, &files).expect("detected");
    assert_eq!(found.plan.build[0].as_str(), "yarn run build");
    let files = [("package.json", r#"{"packageManager": "yarn@1.22.1", "main": "a.js"}"#), ("a.js", "")];
    let found = detected_with(&tools, &files).expect("detected");
    assert_eq!(
        found.plan.install[0].as_str(),
        "npx --yes yarn@1.22.1 install --production=false --ignore-engines"
    );
}

#[test]
fn the_start_script_goes_before_main_and_main_before_the_usual_names() {
    for (package, start) in [
        (r#"{"scripts": {"start": "node a.js"}, "main": "b.js"}"#, "node a.js"),
        (r#"{"scripts": {"start": "node a.js && node c.js"}}"#, "npm start"),
        (r#"{"main": "b.js"}"#, "node b.js"),
        (r#"{"main": "absent.js"}"#, "node server.js"),
        (r#"{"main": "$(touch x).js"}"#, "node '$(touch x).js'"),
        ("{}", "node server.js"),
    ] {
        let files = [
            ("package.json", package),
            ("b.js", ""),
            ("server.js", ""),
            ("index.js", ""),
            ("$(touch x).js", ""),
        ];
        let found = detected(&files).expect("detected");
        assert_eq!(found.plan.run.start.to_string(), start, "{package}");
    }
}

#[test]
fn a_server_for_development_is_not_run_when_there_is_a_build() {
    for (dependency, scripts, start) in [
        ("react-scripts", ["react-scripts start", "react-scripts build"], "serve the files of build"),
        ("vite", ["", "vite build"], "serve the files of dist"),
        ("astro", ["astro dev", "astro build"], "serve the files of dist"),
        ("gatsby", ["gatsby develop", "gatsby build"], "serve the files of public"),
        ("next", ["next dev", "next build"], "next start --hostname 127.0.0.1 --port $PORT"),
        ("next", ["next start", "next build"], "next start"),
        ("next", ["", "next build && next export"], "serve the files of out"),
        ("vite", ["vite", ""], "vite"),
        ("x", ["", "make"], "serve the files of public"),
        ("x", ["node dist/x.js", "tsc"], "node dist/x.js"),
    ] {
        let [begin, build] = scripts;
        let package = serde_json::json!({
            "devDependencies": { dependency: "1" }, "scripts": { "start": begin, "build": build }
        });
        let package = package.to_string();
        let found = detected(&[("package.json", &package), ("public/index.html", "")]).expect(&package);
        assert_eq!(found.plan.run.start.to_string(), start, "{package}");
    }
}

#[test]
fn a_page_beside_a_package_without_a_start_is_a_site() {
    let found =
        detected(&[("package.json", r#"{"devDependencies": {"prettier": "3"}}"#), ("index.html", "")]);
    let expected = [
        "Node.js by package.json",
        "install npm install --include=dev",
        "start serve the files of .",
        "note also found, and not built: static site (index.html)",
    ];
    assert_eq!(said(&found.expect("detected")), expected.join("\n"));
}

#[test]
fn the_script_that_heroku_runs_after_installing_goes_before_build() {
    let package = r#"{"scripts": {"heroku-postbuild": "a", "build": "b", "start": "node x"},
                      "engines": {"node": "18.x"}}"#;
    check(&[(
        &[("package.json", package)],
        &[
            "Node.js by package.json",
            "install npm install --include=dev",
            "build npm run heroku-postbuild",
            "start node x",
            "note package.json asks for Node.js 18.x; the one of this server is used",
        ],
    )]);
}
