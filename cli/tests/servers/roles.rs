//! What holds because the roles are processes of their own.

use std::process::Child;

use crate::application::Application;
use crate::platform::{End, Platform, eventually, get};

const SERVICE: [&str; 4] = ["-p", "shop", "-s", "web"];

fn running() -> (Platform, Application) {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    assert_eq!(platform.get("/"), (200, "one v1 -".into()));
    (platform, application)
}

/// Deploys without waiting for the end.
fn begin(platform: &Platform, application: &Application) {
    let source = application.path.to_str().unwrap();
    platform.json(&[&["deploy", source, "-y", "--detach"][..], &SERVICE].concat());
}

/// How often the events of a type are in the log.
fn count(platform: &Platform, kind: &str) -> usize {
    platform.json(&["events", "--from", "0", "--type", kind]).as_array().unwrap().len()
}

#[test]
fn the_edge_serves_while_everything_else_is_down_and_after_a_restart_too() {
    let (mut platform, _) = running();
    let routes = platform.path("edge/routes.json");
    let has_instances = || std::fs::read_to_string(&routes).is_ok_and(|text| text.contains("\"address\""));
    eventually("the edge has written its routes down", has_instances);
    for role in ["gateway", "projector", "worker"] {
        platform.end_role(role, End::Kill);
    }
    platform.stage.nats().kill();
    assert_eq!(platform.get("/"), (200, "one v1 -".into()));
    platform.end_role("edge", End::Kill);
    let ready = platform.start_role("edge", "edge", &[]);
    let edge = ready["edge"].as_str().unwrap().parse().unwrap();
    assert_eq!(get(edge, "web.shop.localhost", "/"), (200, "one v1 -".into()));
    platform.stage.nats().start_again();
}

#[test]
fn only_a_worker_comes_near_the_engine() {
    let mut platform = Platform::start();
    let engines = |address: &str| {
        let (_, ready) = get(address.parse().unwrap(), address, "/ready");
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        ready["engines"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    for (role, stands_on) in
        [("gateway", &["log", "queue", "read"][..]), ("worker", &["log", "queue", "read", "runtime"])]
    {
        platform.end_role(role, End::Interrupt);
        let ready = platform.start_role(role, role, &[]);
        assert_eq!(engines(ready["operations"].as_str().unwrap()), stands_on, "{role}");
    }
}

#[test]
fn a_worker_that_is_killed_in_a_deployment_is_followed_by_another_and_it_is_deployed_once() {
    let (mut platform, application) = running();
    platform.start_role("worker", "second", &[]);
    application.say("two");
    application.write("slow.py", "import time\nprint('building', flush=True)\ntime.sleep(4)\n");
    application.write("switchback.toml", "[build]\nbuild = \"python3 slow.py\"\n");
    application.commit("second");
    begin(&platform, &application);
    eventually("it builds", || {
        let log = platform.run(&[&["deployments", "--json"][..], &SERVICE].concat());
        crate::platform::text(&log).contains("BUILDING")
    });
    platform.end_role("worker", End::Kill);
    eventually("the other brings it to its end", || platform.get("/") == (200, "two v2 -".into()));
    eventually("nothing of the old one is left", || platform.processes().len() == 1);
    assert_eq!(count(&platform, "deployment.went_live"), 2);
}

/// Every place in the code where a kill matters, and that a worker on servers comes to in a deployment.
const POINTS: [&str; 10] = [
    "router.before_enqueue",
    "router.after_enqueue",
    "router.after_effects",
    "step.before_intent",
    "step.after_intent",
    "step.after_effect",
    "step.after_result",
    "step.after_finish",
    "activate.after_move",
    "retire.before_stop",
];

#[test]
fn a_worker_killed_at_any_step_of_a_deployment_leaves_one_release_and_one_container() {
    let (mut platform, application) = running();
    let mut release = 1;
    for point in POINTS {
        for step in steps(point) {
            release += 1;
            let name = step.map_or_else(|| (*point).to_owned(), |step| format!("{point}/{step}"));
            eprintln!("killed at {name}");
            platform.end_role("worker", End::Interrupt);
            platform.start_role("worker", "worker", &[("SWITCHBACK_CRASH", &name)]);
            application.say(&format!("{release}"));
            application.commit(&name);
            begin(&platform, &application);
            let mut dying = Dying(platform.take_process("worker").unwrap());
            eventually(&format!("the worker dies at {name}"), || dying.0.try_wait().unwrap().is_some());
            platform.start_role("worker", "worker", &[]);
            let expected = (200, format!("{release} v{release} -"));
            eventually(&format!("after {name} it is live"), || platform.get("/") == expected);
            eventually(&format!("after {name} one container is left"), || platform.processes().len() == 1);
            assert_eq!(count(&platform, "deployment.went_live"), release, "{name}");
        }
    }
}

/// The steps at which a point is tried: those of each lane that matter most, where it is one of every step.
fn steps(point: &str) -> Vec<Option<&'static str>> {
    if point.starts_with("step.after_effect") {
        ["fetch", "build", "push", "cut", "roll_out", "verify", "activate", "retire"].map(Some).into()
    } else if point.starts_with("step.") {
        ["build", "roll_out"].map(Some).into()
    } else {
        vec![None]
    }
}

/// A worker that is told to die; when it does not, it is ended with the test.
struct Dying(Child);

impl Drop for Dying {
    fn drop(&mut self) {
        // Most often it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
