//! Bad days of the engines, under load, as a user of the API meets them.

use std::thread;
use std::time::Duration;

use crate::application::Application;
use crate::platform::{Platform, eventually, text};

/// How long NATS is away.
const AWAY: Duration = Duration::from_secs(30);

#[test]
fn nats_is_gone_for_half_a_minute_and_nothing_acknowledged_is_missing() {
    let mut platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    let set = |platform: &Platform, number: u32| {
        let value = format!("N{number}=x");
        platform.run(&["variables", "set", &value, "--no-deploy", "-p", "shop", "-s", "web", "-y"])
    };
    let mut acknowledged = vec![];
    for number in 0..5 {
        assert!(set(&platform, number).status.success());
        acknowledged.push(number);
    }
    platform.stage.nats().kill();
    let refused = set(&platform, 5);
    assert!(!refused.status.success());
    assert!(text(&refused).contains("event log"), "{}", text(&refused));
    assert_eq!(platform.get("/").0, 200);
    thread::sleep(AWAY);
    assert_eq!(platform.get("/").0, 200);
    platform.stage.nats().start_again();
    for number in 6..9 {
        eventually("commands are taken again", || set(&platform, number).status.success());
        acknowledged.push(number);
    }
    let listed = platform.json(&["variables", "list", "-p", "shop", "-s", "web"]).to_string();
    for number in acknowledged {
        assert!(listed.contains(&format!("\"N{number}\"")), "N{number} is missing: {listed}");
    }
    application.say("two");
    application.commit("second");
    assert_eq!(platform.deploy(&application.path)["status"], "SUCCESS");
    assert!(platform.get("/").1.starts_with("two"));
}
