//! The image of deploy/Dockerfile, built and run.
//!
//! Its last stage is built on a Debian that debootstrap made, with the binary of this build handed in: what
//! the stage that compiles would make takes minutes and needs an image that cannot be pulled here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::platform::{BINARY, eventually, text};

/// An engine, and what a test made in it.
struct Docker {
    host: String,
    /// Containers first, then images.
    made: Vec<(&'static str, String)>,
}

impl Docker {
    fn open() -> Self {
        let host = std::env::var("SWITCHBACK_TEST_DOCKER")
            .expect("SWITCHBACK_TEST_DOCKER is not set: `cargo xtask test` starts the engine and sets it");
        Self { host, made: vec![] }
    }

    fn command(&self) -> Command {
        // Debian's own client: others may be first in PATH, and ask for plugins.
        let debian = Path::new("/usr/bin/docker");
        let mut command = Command::new(if debian.exists() { debian } else { Path::new("docker") });
        command.env("DOCKER_HOST", &self.host).env("DOCKER_BUILDKIT", "1").env_remove("DOCKER_CONTEXT");
        command
    }

    fn try_run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        assert!(output.status.success(), "docker {arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// An image that has the binary as `/switchback`, and nothing else.
    fn import_binary(&mut self, tag: &str) {
        let binary = PathBuf::from(BINARY);
        let mut tar = Command::new("tar")
            .arg("-C")
            .arg(binary.parent().unwrap())
            .args(["--owner=0", "--group=0", "-c", "switchback"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let archive = tar.stdout.take().unwrap();
        let imported = self.command().args(["import", "-", tag]).stdin(archive).output().unwrap();
        assert!(tar.wait().unwrap().success() && imported.status.success(), "{}", text(&imported));
        self.made.push(("rmi", tag.to_owned()));
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        for (what, name) in self.made.iter().rev() {
            let arguments: &[&str] = if *what == "rm" { &["rm", "--force", "--volumes"] } else { &["rmi"] };
            let _ = self.try_run(&[arguments, &[name]].concat());
        }
    }
}

#[test]
fn the_image_runs_without_root_says_that_it_is_ready_and_stops_when_it_is_told() {
    let mut docker = Docker::open();
    let id = uuid::Uuid::now_v7().simple().to_string();
    let (binary, image) = (format!("switchback-test-binary:{id}"), format!("switchback-test-image:{id}"));
    docker.import_binary(&binary);
    let base = std::env::var("SWITCHBACK_TEST_DOCKER_BASE");
    let base = base.unwrap_or_else(|_| "switchback-test/debian:latest".to_owned());
    let context = super::path("..");
    docker.run(&[
        "build",
        "--file",
        super::path("Dockerfile").to_str().unwrap(),
        "--build-arg",
        &format!("RUNTIME_IMAGE={base}"),
        "--build-arg",
        &format!("BINARY={binary}"),
        "--tag",
        &image,
        context.to_str().unwrap(),
    ]);
    docker.made.push(("rmi", image.clone()));

    let hardened =
        ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
    let run = [&["run", "--detach", "--health-interval", "1s"], &hardened[..], &[&image]].concat();
    let container = docker.run(&run);
    docker.made.push(("rm", container.clone()));
    let health = || docker.run(&["inspect", "--format", "{{.State.Health.Status}}", &container]);
    eventually("it is healthy", || health() == "healthy");
    let inside = |words: &[&str]| docker.run(&[&["exec", &container][..], words].concat());
    assert_eq!(inside(&["id", "-u"]), "10001");
    assert!(inside(&["git", "--version"]).starts_with("git version 2."));
    assert_eq!(inside(&["stat", "--format", "%U %a", "/var/lib/switchback"]), "switchback 700");
    inside(&["test", "-s", "/etc/ssl/certs/ca-certificates.crt"]);
    assert!(!docker.try_run(&["exec", &container, "ready", "7099"]).status.success(), "nobody listens there");
    let told = docker.run(&["exec", &container, "switchback", "projects", "create", "shop", "--json"]);
    assert!(told.contains("shop"), "{told}");

    docker.run(&["stop", "--time", "30", &container]);
    assert_eq!(docker.run(&["inspect", "--format", "{{.State.ExitCode}}", &container]), "0");
    let history = docker.run(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", &image]);
    assert!(!history.to_lowercase().contains("token") && !history.contains("/src"), "{history}");
}
