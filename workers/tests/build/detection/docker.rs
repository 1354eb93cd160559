//! What is detected where images are built.

use domain::plan::{Language, Plan, Start};
use workers::builder::BuildError;
use workers::builder::detect::{Detected, detect};
use workers::builder::tools::Tools;

use crate::files;

fn detected(tree: &[(&str, &str)]) -> Result<Detected, BuildError> {
    detect(files::tree(tree).path(), &Tools::in_images())
}

fn plan(tree: &[(&str, &str)]) -> Plan {
    detected(tree).expect("detected").plan
}

#[test]
fn a_dockerfile_wins_over_the_language_and_says_so() {
    let found = detected(&[("Dockerfile", "FROM a"), ("package.json", "{}"), ("Procfile", "web: node x")]);
    let found = found.expect("detected");
    assert_eq!((found.plan.language, found.plan.run.start), (Language::Dockerfile, Start::Image {}));
    assert_eq!(found.plan.detected_by, "Dockerfile");
    assert_eq!(
        found.notes,
        [
            "building by Dockerfile, whatever else the files are",
            "the image says what is started, not the Procfile"
        ]
    );
    assert_eq!(plan(&[("Containerfile", "FROM a")]).dockerfile.expect("one").path, "Containerfile");
}

#[test]
fn the_manifest_names_the_dockerfile_and_all_that_belongs_to_it() {
    let manifest = "[build]\ndockerfile = \"deploy/Dockerfile\"\ntarget = \"web\"\n\
                    arguments = { A = \"b\" }\n\
                    secrets = [\"TOKEN\"]\n\
                    [run]\ncommand = \"./serve\"\nport = 3000\nread_only = true\nrelease = \"./migrate\"\n";
    let plan =
        plan(&[("switchback.toml", manifest), ("deploy/Dockerfile", "FROM a"), ("Dockerfile", "FROM b")]);
    let dockerfile = plan.dockerfile.expect("one");
    assert_eq!((dockerfile.path.as_str(), dockerfile.target.as_deref()), ("deploy/Dockerfile", Some("web")));
    assert_eq!(dockerfile.arguments["A"], "b");
    assert_eq!(dockerfile.secrets, ["TOKEN".parse().expect("a name")]);
    assert_eq!((plan.run.port, plan.run.read_only), (Some(3000), true));
    assert_eq!(plan.run.start, Start::Command("./serve".parse().expect("sound")));
    assert_eq!(plan.run.release, Some("./migrate".parse().expect("sound")));
}

#[test]
fn commands_of_the_manifest_win_over_a_dockerfile_that_nobody_named() {
    let manifest = "[build]\nbuild = \"make\"\n[run]\ncommand = \"./serve\"\nport = 3000\n";
    let found = detected(&[("switchback.toml", manifest), ("Dockerfile", "FROM a")]).expect("detected");
    assert_eq!((found.plan.language, found.plan.run.port), (Language::Other, Some(3000)));
    assert_eq!(found.notes, ["switchback.toml says how this is built, so its Dockerfile is not used"]);
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (manifest, code, says) in [
        ("dockerfile = \"Dockerfile\"\nbuild = \"make\"", "manifest_invalid", "remove one or the other"),
        ("dockerfile = \"absent\"", "dockerfile_missing", "no file `absent`"),
        ("build = \"make\"\ntarget = \"x\"", "manifest_invalid", "are for a Dockerfile"),
    ] {
        let manifest = format!("[build]\n{manifest}\n");
        let error =
            detected(&[("switchback.toml", &manifest), ("Dockerfile", "FROM a")]).expect_err("refused");
        assert_eq!(error.code, code);
        assert!(error.message.contains(says), "{error}");
    }
}

#[test]
fn languages_are_detected_as_without_docker_and_their_tools_are_in_the_images() {
    let node = plan(&[("package.json", "{\"scripts\":{\"start\":\"node x\"}}"), ("yarn.lock", "")]);
    assert_eq!(
        node.install[0].as_str(),
        "yarn install --frozen-lockfile --production=false --ignore-engines"
    );
    assert_eq!(plan(&[("index.html", "x")]).run.start, Start::Static { directory: ".".into() });
    assert_eq!(plan(&[("go.mod", "module x"), ("main.go", "package main\n")]).language, Language::Go);
}

#[test]
fn what_needs_docker_is_refused_without_it() {
    for (manifest, says) in
        [("[run]\nread_only = true", "read_only"), ("[build]\ndockerfile = \"Dockerfile\"", "dockerfile")]
    {
        let tree =
            files::tree(&[("switchback.toml", manifest), ("Dockerfile", "FROM a"), ("index.html", "x")]);
        let error = detect(tree.path(), &Tools::listed(&[])).expect_err("refused");
        assert_eq!(error.code, "docker_needed");
        assert!(error.message.contains(says), "{error}");
    }
}
