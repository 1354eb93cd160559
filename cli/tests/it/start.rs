//! Starting: again, twice, on what cannot be used.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::application::Application;
use crate::platform::{BINARY, End, Platform, eventually, text};

#[test]
fn the_second_start_brings_everything_back_as_it_was() {
    let mut platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    platform.json(&["variables", "set", "GREETING=hello", "-p", "shop", "-s", "web", "-y"]);
    let releases = platform.json(&["releases", "-p", "shop", "-s", "web"]);
    platform.end(End::Interrupt);
    assert!(platform.processes().is_empty(), "nothing runs while the platform does not");
    platform.start_again();
    eventually("it answers", || platform.get("/") == (200, "one v2 hello".into()));
    assert_eq!(platform.json(&["releases", "-p", "shop", "-s", "web"]), releases);
}

fn refused(arguments: &[&str]) -> String {
    let output = Command::new(BINARY)
        .arg("up")
        .args(arguments)
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    text(&output)
}

const ANYWHERE: [&str; 4] = ["--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0"];

#[test]
fn a_data_directory_that_another_process_has_is_refused() {
    let platform = Platform::start();
    let data = platform.data();
    let said = refused(&[&["--data", data.to_str().unwrap()], &ANYWHERE[..]].concat());
    assert!(said.contains("in use") && said.contains(&platform.pid().to_string()), "{said}");
}

#[test]
fn a_data_directory_of_a_newer_version_or_that_is_no_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("installation.json"), r#"{"format": 99}"#).unwrap();
    let said = refused(&[&["--data", directory.path().to_str().unwrap()], &ANYWHERE[..]].concat());
    assert!(said.contains("newer version"), "{said}");
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let said = refused(&[&["--data", file.to_str().unwrap()], &ANYWHERE[..]].concat());
    assert!(said.contains("cannot be used") && said.contains("--data"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named_with_the_flag_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    for (flag, other) in [("--listen", "--edge"), ("--edge", "--listen")] {
        let said = refused(&["--data", data, flag, &address, other, "127.0.0.1:0"]);
        assert!(said.contains(&address) && said.contains(flag), "{said}");
    }
}

#[test]
fn a_truncated_log_is_refused_and_left_as_it_is() {
    let mut platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    platform.end(End::Interrupt);
    let log = platform.data().join("log/events.db");
    let whole = fs::read(&log).unwrap();
    let half = &whole[..whole.len() / 2];
    fs::write(&log, half).unwrap();
    let said = refused(&[&["--data", platform.data().to_str().unwrap()], &ANYWHERE[..]].concat());
    assert!(said.contains("damaged"), "{said}");
    assert_eq!(fs::read(&log).unwrap(), half, "nothing was changed");
    fs::write(&log, &whole).unwrap();
}

#[test]
fn the_demonstration_says_what_it_did_and_stays_up() {
    let mut platform = Platform::with(&["--demo"], &[]);
    eventually("it was rolled back", || {
        let listed = platform.run(&["releases", "-p", "demo", "-s", "web", "--json"]);
        text(&listed).contains("\"v4\"") && platform.get_from("web.demo.localhost", "/").0 == 200
    });
    platform.end(End::Interrupt);
    platform.start_again();
    eventually("it is back", || platform.get_from("web.demo.localhost", "/").0 == 200);
    let releases = platform.json(&["releases", "-p", "demo", "-s", "web"]);
    assert_eq!(releases.as_array().unwrap().len(), 4, "the second start does not demonstrate again");
}
