//! What cannot be done: a clear error, a stable code, and nothing half made.

use std::io::{Read, Write};

use crate::application::{Application, git};
use crate::platform::{Platform, text};

fn refused(platform: &Platform, source: &str, more: &[&str]) -> String {
    let mut arguments = vec!["deploy", source, "-p", "shop", "-s", "web", "-y"];
    arguments.extend(more);
    let output = platform.run(&arguments);
    assert!(!output.status.success(), "{source}: {}", text(&output));
    text(&output)
}

#[test]
fn repositories_that_cannot_be_had() {
    let platform = Platform::start();
    let empty = Application::empty(&platform, "empty");
    git(&empty.path, &["init", "--quiet"]);
    let full = Application::saying(&platform, "one");
    full.commit("first");
    let nowhere = format!("file://{}", platform.path("nowhere").display());
    for (source, more, says) in [
        (nowhere.as_str(), &[][..], "nowhere"),
        ("https://127.0.0.1:9/a/b.git", &[], "127.0.0.1"),
        (&empty.url(), &[], "empty"),
        (&full.url(), &["--ref", "no-such-branch"], "no-such-branch"),
        (full.path.to_str().unwrap(), &["--ref", "no-such-branch"], "no-such-branch"),
        (platform.path("not-there").to_str().unwrap(), &[], "not-there"),
    ] {
        let said = refused(&platform, source, more);
        assert!(said.contains(says), "{source}: {said}");
    }
    assert_eq!(platform.get("/").0, 404);
    assert!(platform.processes().is_empty());
}

#[test]
fn a_file_with_settings_that_cannot_be_taken_names_the_line() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    for (content, says) in [
        ("[run]\ncomand = \"x\"\n", "line 2"),
        ("[run]\n\nreplicas = \"two\"\n", "line 3"),
        ("[run]\ncommand = \"a | b\"\n", "|"),
        ("[run]\nport = 3000\n", "PORT"),
    ] {
        application.write("switchback.toml", content);
        application.commit("bad settings");
        let said = refused(&platform, &application.url(), &[]);
        assert!(said.contains(says), "{content}: {said}");
    }
}

#[test]
fn what_cannot_be_detected_says_what_was_looked_for() {
    let platform = Platform::start();
    let application = Application::empty(&platform, "odd");
    application.write("README.md", "nothing to run");
    application.commit("first");
    let said = refused(&platform, &application.url(), &[]);
    for wanted in ["package.json", "requirements.txt", "go.mod", "Procfile"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn names_outside_the_rules_say_the_rule() {
    let platform = Platform::start();
    for (name, code, says) in [
        ("ab", 2, "3 to 50"),
        (&*"a".repeat(51), 2, "3 to 50"),
        ("admin", 2, "reserved"),
        ("sh op", 2, "letters"),
    ] {
        let output = platform.run(&["projects", "create", name]);
        assert!(!output.status.success());
        assert!(text(&output).contains(says), "{name} ({code}): {}", text(&output));
    }
    platform.json(&["projects", "create", "shop"]);
    let said = platform.refused(5, &["projects", "create", "SHOP"]);
    assert!(said.contains("exists already"), "{said}");
    assert_eq!(platform.json(&["projects", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn variables_outside_the_rules_say_the_rule_and_not_the_value() {
    let platform = Platform::start();
    platform.json(&["projects", "create", "shop"]);
    platform.json(&["services", "create", "web", "-p", "shop"]);
    let long = format!("A={}", "canary".repeat(200));
    for (setting, says) in [
        ("lower=canary", "capital letters"),
        ("1A=canary", "1A"),
        (long.as_str(), "1000"),
        ("PORT=canary", "platform"),
    ] {
        let output = platform.run(&["variables", "set", setting, "-p", "shop", "-s", "web", "-y"]);
        assert!(!output.status.success());
        let said = text(&output);
        assert!(said.contains(says) && !said.contains("canary"), "{setting}: {said}");
    }
}

#[test]
fn a_body_that_is_no_json_is_refused_in_the_form_of_the_api() {
    let platform = Platform::start();
    let token = std::fs::read_to_string(platform.data().join("owner.token")).unwrap();
    let address = platform.api().trim_start_matches("http://").to_owned();
    let mut connection = std::net::TcpStream::connect(&address).unwrap();
    write!(
        connection,
        "POST /api/v1/projects HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{{not json"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("\"code\":\"body_not_json\""), "{answer}");
}

#[test]
fn a_server_that_is_not_there_is_said_with_what_to_do() {
    let platform = Platform::start();
    let output = platform
        .command_in(&platform.path(""), &["projects", "list"])
        .env("SWITCHBACK_URL", "http://127.0.0.1:9")
        .env("SWITCHBACK_TOKEN", "sbk_x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("switchback up"), "{}", text(&output));
}

#[test]
fn two_deployments_at_once_wait_for_one_another_and_the_newest_wins() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.write("switchback.toml", "[build]\nbuild = \"python3 -c 'import time; time.sleep(2)'\"\n");
    application.commit("slow");
    let source = application.path.to_str().unwrap();
    let detached = ["deploy", source, "-p", "shop", "-s", "web", "-y", "--detach", "--fresh"];
    let ids: Vec<String> =
        (0..3).map(|_| platform.json(&detached)["deployment"].as_str().unwrap().to_owned()).collect();
    let status = |id: &str| {
        let listed = platform.json(&["deployments", "-p", "shop", "-s", "web"]);
        let found = listed.as_array().unwrap().iter().find(|d| d["id"] == id).cloned().unwrap();
        found["status"].as_str().unwrap().to_owned()
    };
    crate::platform::eventually("the third is live", || status(&ids[2]) == "SUCCESS");
    assert_eq!(status(&ids[0]), "SUCCESS");
    assert_eq!(status(&ids[1]), "SUPERSEDED");
    assert_eq!(platform.get("/").1, "one v2 -");
}
