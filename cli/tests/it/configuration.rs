//! Variables: a new release of the same build, or the next one.

use crate::application::Application;
use crate::platform::{Platform, text};

#[test]
fn setting_a_variable_makes_a_release_without_a_build() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    let first = platform.deploy(&application.path);
    let of_web = ["-p", "shop", "-s", "web", "-y"];
    platform.json(&[&["variables", "set", "GREETING=hello"], &of_web[..]].concat());
    assert_eq!(platform.get("/"), (200, "one v2 hello".into()));
    let release = platform.json(&["release", "v2", "-p", "shop", "-s", "web"]);
    assert_eq!(release["image"], first["image"]);
    assert_eq!(release["changes"][0]["text"], "variable GREETING added");
    let listed = text(&platform.run(&["variables", "list", "-p", "shop", "-s", "web"]));
    assert!(listed.contains("GREETING") && !listed.contains("hello"), "{listed}");
    let revealed = text(&platform.run(&["variables", "list", "--reveal", "-p", "shop", "-s", "web"]));
    assert!(revealed.contains("hello"), "{revealed}");
}

#[test]
fn with_no_deploy_it_waits_for_the_next_release() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    platform.json(&["variables", "set", "GREETING=later", "--no-deploy", "-p", "shop", "-s", "web", "-y"]);
    assert_eq!(platform.get("/").1, "one v1 -");
    platform.deploy(&application.path);
    assert_eq!(platform.get("/").1, "one v2 later");
}

#[test]
fn unsetting_takes_it_away() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    platform.json(&["variables", "set", "GREETING=x", "-p", "shop", "-s", "web", "-y"]);
    platform.json(&["variables", "unset", "GREETING", "-p", "shop", "-s", "web", "-y"]);
    assert_eq!(platform.get("/").1, "one v3 -");
}

#[test]
fn an_instance_is_given_what_is_meant_for_it_and_nothing_of_the_platforms_own() {
    let platform = Platform::with(&[], &[("PLATFORM_ONLY", "must-not-leak")]);
    let application = Application::saying(&platform, "one");
    let revision = application.commit("first");
    platform.deploy(&application.path);
    let (_, environment) = platform.get("/environment");
    for wanted in [
        "SWITCHBACK_RELEASE=v1",
        "SWITCHBACK_SERVICE=web",
        "SWITCHBACK_ENVIRONMENT=production",
        &format!("SWITCHBACK_COMMIT={revision}"),
    ] {
        assert!(environment.lines().any(|line| line == wanted), "{wanted} is missing:\n{environment}");
    }
    assert!(!environment.contains("must-not-leak"), "{environment}");
    assert!(!environment.contains("SWITCHBACK_TOKEN"), "{environment}");
}
