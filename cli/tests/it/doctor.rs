//! `doctor`: each engine is looked at, and what is wrong is said with what to do.

use std::process::{Command, Output};

use serde_json::Value;

use crate::platform::{BINARY, Platform, last_json, text};

/// Looks with these settings, on a machine without any of ours.
fn doctor(directory: &std::path::Path, settings: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("doctor").arg("--data").arg(directory.join("data")).args(settings);
    command.env("XDG_CONFIG_HOME", directory.join("config")).env("HOME", directory);
    for name in crate::platform::CLEARED {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn state(output: &Output, what: &str) -> (String, String) {
    let report = last_json(output);
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["what"] == what);
    let finding = finding.unwrap_or_else(|| panic!("{what} was not looked at: {report}"));
    let said = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    (said("state"), format!("{} {}", said("found"), said("advice")))
}

#[test]
fn nothing_is_wrong_with_nothing_and_nothing_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let output = doctor(directory.path(), &[]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("the first start makes it"), "{}", text(&output));
    assert!(!directory.path().join("data").exists());
}

#[test]
fn the_platform_that_runs_is_ready_and_its_data_are_in_use() {
    let platform = Platform::start();
    let output = platform.run(&["doctor", "--json", "--data", platform.data().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(state(&output, "data").1.contains(&platform.pid().to_string()));
    assert!(state(&output, "server").1.contains("is ready"));
}

#[test]
fn each_engine_that_is_not_there_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none");
    let missing = missing.to_str().unwrap();
    let docker = format!("docker://{missing}");
    let output = doctor(
        directory.path(),
        &[
            "--json",
            "--log",
            "nats://127.0.0.1:9",
            "--read",
            "postgres://nobody:hunter2@127.0.0.1:9/none",
            "--runtime",
            &docker,
            "--registry",
            "oci://127.0.0.1:9/none",
            "--master-key",
            missing,
            "--edge-https",
            "127.0.0.1:0",
            "--edge-tls",
            missing,
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for (what, advice) in [
        ("event log", "nats-server -js"),
        ("read models", "pg_hba.conf"),
        ("runtime", "group docker"),
        ("registry", "--registry-credentials"),
        ("master key", "openssl rand"),
        ("certificates", "mend the file"),
    ] {
        let (state, said) = state(&output, what);
        assert_eq!(state, "failed", "{what}: {said}");
        assert!(said.contains(advice), "{what}: {said}");
    }
    assert!(!text(&output).contains("hunter2"));
}

#[test]
fn a_nats_server_that_loses_on_a_power_cut_is_told_from_one_that_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let setting = |name: &str| std::env::var(name).expect("set by `cargo xtask test`");
    for (name, is_safe) in [("SWITCHBACK_TEST_NATS", true), ("SWITCHBACK_TEST_NATS_LAX", false)] {
        let (log, monitor) = (setting(name), setting(&format!("{name}_MONITOR")));
        let output = doctor(directory.path(), &["--json", "--log", &log, "--log-monitor", &monitor]);
        assert_eq!(output.status.success(), is_safe, "{}", text(&output));
        let (state, said) = state(&output, "event log");
        assert_eq!(state == "ok", is_safe, "{said}");
        assert!(is_safe || said.contains("sync_interval: always"), "{said}");
    }
}

#[test]
fn json_has_the_worst_of_all_states() {
    let directory = tempfile::tempdir().unwrap();
    let report: Value = last_json(&doctor(directory.path(), &["--json"]));
    assert!(["ok", "warning"].contains(&report["state"].as_str().unwrap()), "{report}");
}
