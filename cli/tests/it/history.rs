//! History and events: all of it, with actor and position.

use crate::application::Application;
use crate::platform::{Platform, text};

#[test]
fn everything_that_was_done_is_there_with_who_and_where() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    platform.json(&["variables", "set", "GREETING=hello", "-p", "shop", "-s", "web", "-y"]);
    platform.json(&["rollback", "v1", "-p", "shop", "-s", "web", "-y"]);
    let history = platform.json(&["history", "-p", "shop", "-n", "200"]);
    let entries = history.as_array().unwrap();
    let positions: Vec<u64> = entries.iter().map(|entry| entry["position"].as_u64().unwrap()).collect();
    assert!(positions.is_sorted_by(|a, b| a >= b), "{positions:?}");
    let told = text(&platform.run(&["history", "-p", "shop", "-n", "200"]));
    for wanted in ["owner", "GREETING", "v2", "v3"] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert!(!told.contains("hello"), "{told}");
}

#[test]
fn events_are_cloud_events_without_a_gap_in_any_stream() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    let output = platform.run(&["events", "--json", "--from", "0"]);
    let mut versions: std::collections::HashMap<String, u64> = std::collections::HashMap::new();
    let mut count = 0;
    let out = String::from_utf8(output.stdout).unwrap();
    let events: Vec<serde_json::Value> = match serde_json::from_str::<serde_json::Value>(&out) {
        Ok(serde_json::Value::Array(events)) => events,
        _ => out.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
    };
    for event in events {
        assert_eq!(event["specversion"], "1.0");
        let version = event["streamversion"]
            .as_u64()
            .or_else(|| event["streamversion"].as_str()?.parse().ok())
            .unwrap();
        let last = versions.entry(event["subject"].as_str().unwrap().to_owned()).or_default();
        assert_eq!(version, *last + 1, "{event}");
        *last = version;
        count += 1;
    }
    assert!(count > 20, "{count}");
}
