//! The file, as its authors write it and get it wrong.

use super::*;

#[test]
fn the_file_of_the_documentation_is_read() {
    let manifest = Manifest::parse(
        r#"
        [service]
        name = "web"
        root = "apps/web"
        [build]
        dockerfile = "Dockerfile"
        [run]
        command = "node server.js"
        port = 3000
        release = "./migrate"
        health = { path = "/healthz", timeout = "60s" }
        replicas = 2
        memory = "256Mi"
        cpu = 0.5
        drain = "10s"
        "#,
    )
    .expect("valid");
    assert_eq!(manifest.service.root.as_deref(), Some("apps/web"));
    assert_eq!(manifest.run.memory, Some(256 << 20));
    assert_eq!(manifest.run.cpu, Some(500));
    assert_eq!(manifest.run.drain, Some(10_000));
    assert_eq!(manifest.run.health.expect("given").timeout, Some(60_000));
}

#[test]
fn a_path_stays_within_the_repository_however_it_is_written() {
    let root = |path: &str| Manifest::parse(&format!("[service]\nroot = \"{path}\"")).map(|m| m.service.root);
    let dockerfile = |path: &str| {
        Manifest::parse(&format!("[build]\ndockerfile = \"{path}\"")).map(|m| m.build.dockerfile)
    };
    for (path, meant) in [
        ("apps/web", "apps/web"),
        ("./apps//web/", "apps/web"),
        (".//etc", "etc"),
        ("a/./b", "a/b"),
        (".hidden", ".hidden"),
    ] {
        assert_eq!(root(path), Ok(Some(meant.to_owned())), "{path}");
        assert_eq!(dockerfile(path), Ok(Some(meant.to_owned())), "{path}");
    }
    for path in ["", "/etc", "//etc", "-x", "./-x", ".//-x", "..", "a/../b", "./..", "a\\\\b", "a\\u0000b"] {
        assert!(root(path).is_err(), "{path}: {:?}", root(path));
        assert!(dockerfile(path).is_err(), "{path}: {:?}", dockerfile(path));
    }
    // The root of the repository is a directory, and no Dockerfile.
    for path in [".", "./", "././"] {
        assert_eq!(root(path), Ok(None), "{path}");
        assert!(dockerfile(path).is_err(), "{path}");
    }
}

#[test]
fn a_whole_number_of_cores_is_a_number_of_cores() {
    assert_eq!(Manifest::parse("[run]\ncpu = 2").map(|m| m.run.cpu), Ok(Some(2000)));
}

#[test]
fn an_empty_file_says_nothing() {
    assert_eq!(Manifest::parse("").expect("valid"), Manifest::default());
}

#[test]
fn an_error_names_the_line() {
    for (text, line, says) in [
        ("[run]\ncomand = \"x\"", 2, "unknown field `comand`"),
        ("[run]\n\nport = \"3000\"", 3, "invalid type"),
        ("[run]\nport = 70000", 2, "1 to 65535"),
        ("[run]\nreplicas = 0", 2, "1 to 100"),
        ("[run]\nmemory = \"lots\"", 2, "256Mi"),
        ("[run]\ncpu = -1.0", 2, "cores"),
        ("[run]\ndrain = \"soon\"", 2, "10s"),
        ("[run]\nhealth = { path = \"healthz\" }", 2, "/healthz"),
        ("[run]\ncommand = \"a | b\"", 2, "needs a shell"),
        ("[run]\nhealth = \"/healthz\"", 2, "a table such as { path ="),
        ("build = \"make\"", 1, "a section, [build]"),
        ("[service]\nroot = \"../x\"", 2, "within the repository"),
        ("[service]\nname = \"Web\"", 2, "small letters"),
        ("[nonsense]\n", 1, "unknown field `nonsense`"),
        ("[run\n", 1, ""),
    ] {
        let Err(InvalidManifest::Line { line: found, message }) = Manifest::parse(text) else {
            panic!("{text:?} was taken");
        };
        assert_eq!(found, line, "{text:?}: {message}");
        assert!(message.contains(says), "{text:?}: {message}");
    }
}
