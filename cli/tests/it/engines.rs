//! The platform on servers instead of files: its log on NATS, its read models on `PostgreSQL`.

use serde_json::{Value, json};

use crate::application::Application;
use crate::nats::Nats;
use crate::platform::{End, Platform, eventually};
use crate::schema::Schema;

fn platform_on(nats: &Nats, schema: &Schema) -> Platform {
    let settings = nats.settings();
    let read = schema.url();
    let mut arguments: Vec<&str> = settings.iter().map(String::as_str).collect();
    arguments.extend(["--read", &read]);
    Platform::with(&arguments, &[])
}

fn kinds(platform: &Platform) -> Value {
    let (_, body) = crate::stage::get_api(platform, "/ready");
    let ready: Value = serde_json::from_str(&body).unwrap();
    ["log", "queue", "read"].into_iter().map(|name| ready["engines"][name]["kind"].clone()).collect()
}

#[test]
fn on_nats_and_postgres_a_killed_deployment_goes_on_and_a_rollback_brings_the_first_back() {
    let directory = tempfile::tempdir().unwrap();
    let (nats, schema) = (Nats::start(directory.path()), Schema::create());
    let mut platform = platform_on(&nats, &schema);
    assert_eq!(kinds(&platform), json!(["jetstream", "jetstream", "postgres"]));
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    assert_eq!(platform.get("/"), (200, "one v1 -".into()));

    application.say("two");
    application.commit("second");
    let source = application.path.to_str().unwrap();
    platform.json(&["deploy", source, "-p", "shop", "-s", "web", "-y", "--detach"]);
    platform.end(End::Kill);
    platform.start_again();
    eventually("the second is live", || platform.get("/") == (200, "two v2 -".into()));
    platform.json(&["variables", "set", "GREETING=hello", "-p", "shop", "-s", "web", "-y"]);
    assert_eq!(platform.get("/").1, "two v3 hello");

    platform.json(&["rollback", "v1", "-p", "shop", "-s", "web", "-y"]);
    assert_eq!(platform.get("/").1, "one v4 -");
    let events = platform.json(&["events", "--from", "0"]);
    let live = |event: &&Value| event["type"].as_str().unwrap().contains("went_live");
    assert_eq!(events.as_array().unwrap().iter().filter(live).count(), 4);
    let programs = || platform.processes().iter().filter(|process| process.contains("app.py")).count();
    eventually("one runs", || programs() == 1);
}

#[test]
fn while_nats_is_away_traffic_flows_commands_are_refused_and_then_all_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (mut nats, schema) = (Nats::start(directory.path()), Schema::create());
    let platform = platform_on(&nats, &schema);
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);

    nats.kill();
    assert_eq!(platform.get("/"), (200, "one v1 -".into()));
    assert_eq!(platform.json(&["releases", "-p", "shop", "-s", "web"])[0]["number"], "v1");
    let said = platform.refused(1, &["variables", "set", "GREETING=hello", "-p", "shop", "-s", "web", "-y"]);
    assert!(said.contains("event log"), "{said}");

    nats.start_again();
    eventually("commands are taken again", || {
        let set = ["variables", "set", "GREETING=hello", "-p", "shop", "-s", "web", "-y"];
        platform.run(&set).status.success()
    });
    assert_eq!(platform.get("/").1, "one v2 hello");
}

#[test]
fn a_log_of_another_installation_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let nats = Nats::start(directory.path());
    let settings = nats.settings();
    let arguments: Vec<&str> = settings.iter().map(String::as_str).collect();
    let first = Platform::with(&arguments, &[]);
    let head = first.json(&["events", "--from", "0"]).as_array().unwrap().len();
    let output = std::process::Command::new(crate::platform::BINARY)
        .args(["up", "--data", directory.path().join("other").to_str().unwrap()])
        .args(["--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0"])
        .args(&arguments)
        .output()
        .unwrap();
    let said = crate::platform::text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("belongs to another installation"), "{said}");
    assert_eq!(first.json(&["events", "--from", "0"]).as_array().unwrap().len(), head);
}

#[test]
fn a_nats_server_that_loses_on_a_power_cut_is_refused_until_that_is_accepted() {
    let lax = std::env::var("SWITCHBACK_TEST_NATS_LAX").expect("set by `cargo xtask test`");
    let monitor = std::env::var("SWITCHBACK_TEST_NATS_LAX_MONITOR").expect("set by `cargo xtask test`");
    let directory = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(crate::platform::BINARY)
        .args(["up", "--data", directory.path().join("data").to_str().unwrap()])
        .args(["--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0", "--log", &lax, "--log-monitor", &monitor])
        .output()
        .unwrap();
    let said = crate::platform::text(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("sync_interval: always") && said.contains("--accept-lax-log"), "{said}");
}
