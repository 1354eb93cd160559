//! SIGKILL at any moment: applications run again, a deployment in flight goes on and ends once, nothing is
//! left.

use std::fs;

use crate::application::Application;
use crate::platform::{End, Platform, eventually};

#[test]
fn applications_run_again_and_no_process_is_left_over() {
    let mut platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    platform.json(&["scale", "2", "-p", "shop", "-s", "web", "-y"]);
    platform.end(End::Kill);
    eventually("what it ran is gone with it", || platform.processes().is_empty());
    platform.start_again();
    eventually("it answers", || platform.get("/").0 == 200);
    eventually("as often as before, and not more", || platform.processes().len() == 2 * 2);
}

#[test]
fn a_build_in_flight_goes_on_and_ends_once() {
    let mut platform = Platform::start();
    let application = Application::saying(&platform, "one");
    let gate = platform.path("gate");
    let script = format!(
        "import os, time\nprint('building', flush=True)\nwhile not os.path.exists({:?}): time.sleep(0.05)\n",
        gate.display().to_string()
    );
    application.write("build.py", &script);
    application.write("switchback.toml", "[build]\nbuild = \"python3 build.py\"\n");
    application.commit("first");
    let source = application.path.to_str().unwrap();
    let asked = platform.json(&["deploy", source, "-p", "shop", "-s", "web", "-y", "--detach"]);
    let id = asked["deployment"].as_str().unwrap().to_owned();
    eventually("it builds", || platform.processes().iter().any(|process| process.contains("build.py")));
    platform.end(End::Kill);
    eventually("the build is gone with it", || platform.processes().is_empty());
    fs::write(&gate, "").unwrap();
    platform.start_again();
    eventually("it is live", || platform.get("/") == (200, "one v1 -".into()));
    eventually("it succeeded", || {
        platform.json(&["deployments", "-p", "shop", "-s", "web"])[0]["status"] == "SUCCESS"
    });
    let deployments = platform.json(&["deployments", "-p", "shop", "-s", "web"]);
    assert_eq!(deployments.as_array().unwrap().len(), 1);
    let events = platform.json(&["events", "--type", "deployment.went_live"]);
    assert_eq!(events.as_array().map_or(1, Vec::len), 1, "{id} ended once");
}
