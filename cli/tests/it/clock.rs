//! The clock of the machine is set back while the platform is down: nothing stands still, nothing is lost,
//! and the order of what happened is that of the log.

use std::path::PathBuf;

use crate::application::Application;
use crate::platform::{End, Platform};

/// The library that shows another time to whoever is started with it.
fn library() -> PathBuf {
    let places = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|machine| PathBuf::from(format!("/usr/lib/{machine}/faketime/libfaketime.so.1")));
    places.into_iter().find(|place| place.exists()).expect("`cargo xtask test` installs the package faketime")
}

#[test]
fn set_back_by_two_hours_deployments_and_rollbacks_go_on() {
    let mut platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    platform.end(End::Interrupt);
    for (name, value) in [
        ("LD_PRELOAD", library().to_str().unwrap()),
        ("FAKETIME", "-2h"),
        // What measures spans of time is not set by anybody.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ] {
        platform.set(name, Some(value));
    }
    platform.start_again();
    application.say("two");
    application.commit("second");
    assert_eq!(platform.deploy(&application.path)["release"], "v2");
    assert_eq!(platform.get("/").1, "two v2 -");
    platform.json(&["rollback", "v1", "-p", "shop", "-s", "web", "-y"]);
    assert_eq!(platform.get("/").1, "one v3 -");
    let events = platform.json(&["events", "--from", "0"]);
    let times: Vec<&str> =
        events.as_array().unwrap().iter().map(|event| event["time"].as_str().unwrap()).collect();
    assert!(!times.is_sorted(), "the clock was set back: {times:?}");
    let history = platform.json(&["history", "-n", "100"]);
    let newest = history.as_array().unwrap()[0].to_string();
    assert!(newest.contains("v3") || newest.contains("v1"), "the newest stands first: {history}");
}
