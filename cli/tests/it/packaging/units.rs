//! The units of systemd, read by systemd itself. They are not started: the machine of the tests has no init
//! system.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::platform::{BINARY, text};

const ROLES: [&str; 4] = ["gateway", "projector", "worker", "edge"];

/// The units as they would be installed, with the binary of this build.
fn installed() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["switchback.service", "switchback@.service"] {
        let unit = super::read(&format!("systemd/{name}"));
        assert!(unit.contains("ExecStart=/usr/bin/switchback "), "{name}");
        fs::write(directory.path().join(name), unit.replace("/usr/bin/switchback", BINARY)).unwrap();
    }
    for role in ["gateway", "worker", "edge"] {
        let folder = format!("switchback@{role}.service.d");
        fs::create_dir(directory.path().join(&folder)).unwrap();
        let file = format!("{folder}/role.conf");
        fs::write(directory.path().join(&file), super::read(&format!("systemd/{file}"))).unwrap();
    }
    directory
}

fn analyze(directory: &TempDir, arguments: &[&str]) -> String {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .current_dir(directory.path())
        .output()
        .expect("systemd-analyze is not installed: `cargo xtask test` installs the package systemd");
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

fn units() -> impl Iterator<Item = String> {
    let roles = ROLES.iter().map(|role| format!("./switchback@{role}.service"));
    roles.chain(["./switchback.service".to_owned()])
}

#[test]
fn systemd_understands_every_line_of_every_unit() {
    let directory = installed();
    for unit in units() {
        let said = analyze(&directory, &["verify", "--man=no", "--recursive-errors=no", &unit]);
        assert!(!said.contains("switchback"), "{unit}: {said}");
    }
}

#[test]
fn systemd_finds_little_that_a_unit_could_do_without() {
    let directory = installed();
    for unit in units() {
        // Of 100; a service that says nothing has 96.
        analyze(&directory, &["security", "--offline=yes", "--threshold=25", &unit]);
    }
}

#[test]
fn what_runs_others_may_have_control_groups_and_what_does_not_may_not() {
    let (all, role) = (super::read("systemd/switchback.service"), super::read("systemd/switchback@.service"));
    let has = |unit: &str, line: &str| unit.lines().any(|one| one == line);
    for line in ["Delegate=yes", "ProtectControlGroups=no"] {
        assert!(has(&all, line) && !has(&role, line), "{line}");
    }
    assert!(has(&role, "DynamicUser=yes") && has(&role, "ProtectControlGroups=yes"));
    for line in [
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "KillMode=mixed",
        "TimeoutStopSec=90s",
        "LimitNOFILE=65536",
    ] {
        assert!(has(&all, line) && has(&role, line), "{line}");
    }
    for role in ["gateway", "worker", "edge"] {
        let part = super::read(&format!("systemd/switchback@{role}.service.d/role.conf"));
        assert_eq!(part.contains("SupplementaryGroups=docker"), role == "worker", "{role}");
    }
}
