//! Rollback by replay.

use crate::application::Application;
use crate::platform::{Platform, text};

const OF_WEB: [&str; 4] = ["-p", "shop", "-s", "web"];

fn three_releases() -> (Platform, Application) {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    application.say("two");
    application.commit("second");
    platform.deploy(&application.path);
    platform.json(&[&["variables", "set", "GREETING=hello", "-y"], &OF_WEB[..]].concat());
    assert_eq!(platform.get("/").1, "two v3 hello");
    (platform, application)
}

#[test]
fn the_plan_says_what_would_change_and_changes_nothing() {
    let (platform, _application) = three_releases();
    let output = platform.run(&[&["rollback", "v1", "--plan"], &OF_WEB[..]].concat());
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for wanted in ["v3", "v1", "variable GREETING removed", "image", "revision"] {
        assert!(said.contains(wanted), "{wanted} is missing:\n{said}");
    }
    assert_eq!(platform.get("/").1, "two v3 hello");
}

#[test]
fn an_old_release_comes_back_as_a_new_one_with_its_variables_and_without_a_build() {
    let (platform, _application) = three_releases();
    let result = platform.json(&[&["rollback", "v1", "-y"], &OF_WEB[..]].concat());
    assert_eq!(
        (&result["from"], &result["to"], &result["release"]),
        (&"v3".into(), &"v1".into(), &"v4".into())
    );
    assert_eq!(result["status"], "SUCCESS");
    assert_eq!(platform.get("/").1, "one v4 -");
    let deployment = platform.json(&[&["deployments"], &OF_WEB[..]].concat());
    let id = deployment[0]["id"].as_str().unwrap_or_else(|| panic!("{deployment}")).to_owned();
    let events = platform.json(&["events", "--type", "deployment.step_started"]).to_string();
    let builds = events.matches("\"step\":\"build\"").count();
    assert_eq!(builds, 2, "only the two deployments built: {id}");
}

#[test]
fn it_says_how_to_undo_it_and_that_works() {
    let (platform, _application) = three_releases();
    let output = platform.run(&[&["rollback", "-y"], &OF_WEB[..]].concat());
    let said = text(&output);
    assert!(said.contains("switchback rollback v3"), "{said}");
    assert_eq!(platform.get("/").1, "two v4 -");
    platform.json(&[&["rollback", "v3", "-y"], &OF_WEB[..]].concat());
    assert_eq!(platform.get("/").1, "two v5 hello");
}

#[test]
fn a_moment_and_a_position_are_targets_too() {
    let (platform, _application) = three_releases();
    let releases = platform.json(&[&["releases"], &OF_WEB[..]].concat());
    let releases = releases.as_array().unwrap();
    let second = releases.iter().find(|release| release["number"] == "v2").unwrap();
    let at = second["activated_at"].as_str().unwrap().to_owned();
    let result = platform.json(&[&["rollback", "--at", &at, "-y"], &OF_WEB[..]].concat());
    assert_eq!(result["to"], "v2");
    let activated = platform.json(&["events", "--type", "service.release_activated"]);
    let position = activated[0]["sbposition"].as_str().unwrap().to_owned();
    let result = platform.json(&[&["rollback", "--position", &position, "-y"], &OF_WEB[..]].concat());
    assert_eq!(result["to"], "v1");
}

#[test]
fn what_there_is_nothing_to_go_back_to_is_refused() {
    let (platform, application) = three_releases();
    application.write("switchback.toml", "[run]\ncommand = \"python3 nothing-there.py\"\n");
    application.commit("dies");
    let failed =
        platform.run(&["deploy", application.path.to_str().unwrap(), "-p", "shop", "-s", "web", "-y"]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    for (target, code, says) in
        [("v4", 5, "never ran"), ("v3", 5, "is the current one"), ("v9", 3, "no release v9"), ("x", 2, "x")]
    {
        let said = platform.refused(code, &[&["rollback", target, "-y"], &OF_WEB[..]].concat());
        assert!(said.contains(says), "{target}: {said}");
    }
    assert_eq!(platform.get("/").1, "two v3 hello");
}
