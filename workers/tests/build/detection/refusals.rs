//! What cannot be built, and what is said about it.

use super::{Files, detected, detected_with};

#[test]
fn each_refusal_has_its_code_and_says_what_to_do() {
    let cases: &[(Files<'_>, &str, &[&str])] = &[
        (&[], "language_not_detected", &["the directory is empty", "package.json"]),
        (&[("README.md", ""), ("docs/a.md", "")], "language_not_detected", &["found: README.md, docs/"]),
        (&[("Gemfile", "")], "language_not_detected", &["Gemfile: Ruby, which is not known"]),
        (&[("x.csproj", "")], "language_not_detected", &[".NET"]),
        (&[("Dockerfile", "FROM x")], "docker_needed", &["only a Dockerfile", "switchback.toml"]),
        (&[("switchback.toml", "[build]\ndockerfile = \"D\""), ("app.py", "")], "docker_needed", &["`D`"]),
        (
            &[("switchback.toml", "[run]\nport = 3000"), ("app.py", "")],
            "fixed_port",
            &["3000", "variable PORT"],
        ),
        (&[("switchback.toml", "[run]\ncomand = \"x\"")], "manifest_invalid", &["line 2", "comand"]),
        (&[("switchback.toml", "[service]\nroot = \"a/b\"")], "manifest_invalid", &["`a/b` is no directory"]),
        (&[("switchback.toml", "-> /etc/passwd")], "manifest_invalid", &["no plain file"]),
        (&[("switchback.toml/", "")], "manifest_invalid", &["no plain file"]),
        (&[("Procfile", "web: a | b"), ("app.py", "")], "manifest_invalid", &["Procfile, line 1", "`|`"]),
        (
            &[("package.json", "{}")],
            "start_not_found",
            &["Node.js was found by package.json", "`start` script"],
        ),
        (
            &[("package.json", r#"{"scripts": {"build": "b"}, "workspaces": ["a"]}"#)],
            "start_not_found",
            &["several packages", "`root` under [service]"],
        ),
        (&[("go.mod", "module x")], "start_not_found", &["package main"]),
        (&[("requirements.txt", "x")], "start_not_found", &["app = Flask(…)"]),
        (
            &[("requirements.txt", "fastapi"), ("main.py", "app = FastAPI()")],
            "start_not_found",
            &["main:app is an application without a server", "uvicorn"],
        ),
        (&[("pom.xml", "<project><packaging>pom</packaging></project>")], "start_not_found", &["modules"]),
        (&[("Cargo.toml", "[package]\nname = \"a\"")], "start_not_found", &["no program"]),
        (&[("requirements.txt", "x"), ("index.html", "")], "start_not_found", &["Python"]),
    ];
    for (files, code, says) in cases {
        let error = detected(files).expect_err(code);
        assert_eq!((error.code, error.permanent), (*code, true), "{files:?}: {error}");
        for part in *says {
            assert!(error.message.contains(part), "{files:?}: {error}");
        }
    }
}

#[test]
fn a_tool_that_is_missing_is_named_with_how_to_get_it() {
    let go: &[(&str, &str)] = &[("go.mod", "module x"), ("main.go", "package main")];
    for (files, tools, program) in [
        (&[("requirements.txt", ""), ("app.py", "")][..], &["node"][..], "python3"),
        (&[("package.json", r#"{"scripts": {"start": "node x"}}"#)], &["python3"], "npm"),
        (&[("package.json", r#"{"scripts": {"start": "node x"}}"#)], &["npm"], "node"),
        (go, &["python3"], "go"),
        (&[("pom.xml", "<project><artifactId>a</artifactId></project>")], &["java"], "mvn"),
        (&[("pom.xml", "<project><artifactId>a</artifactId></project>")], &["mvn"], "java"),
    ] {
        let error = detected_with(tools, files).expect_err(program);
        assert_eq!(error.code, "tool_missing");
        assert!(error.message.contains(&format!("needs `{program}`")), "{error}");
    }
}

#[test]
fn a_tool_is_not_missed_where_the_author_says_another_command() {
    let files = [
        ("go.mod", "module x"),
        ("main.go", "package main"),
        ("switchback.toml", "[build]\nbuild = \"make\""),
    ];
    assert!(detected_with(&[], &files).is_ok());
    let wrapper = [("pom.xml", "<project><artifactId>a</artifactId></project>"), ("mvnw", "#!/bin/sh\n")];
    let found = detected_with(&["java"], &wrapper).expect("the wrapper");
    assert!(found.plan.build[0].as_str().starts_with("./mvnw "));
}

#[test]
fn links_that_leave_the_repository_count_as_absent() {
    let outside = tempfile::tempdir().expect("a directory");
    std::fs::write(outside.path().join("package.json"), r#"{"scripts": {"start": "node x"}}"#)
        .expect("written");
    let target = format!("-> {}", outside.path().join("package.json").display());
    let error = detected(&[("package.json", &target)]).expect_err("outside");
    assert_eq!(error.code, "language_not_detected");
    let target = format!("-> {}", outside.path().display());
    let error = detected(&[("apps", &target), ("switchback.toml", "[service]\nroot = \"apps\"")]);
    assert_eq!(error.expect_err("outside").code, "manifest_invalid");
}
