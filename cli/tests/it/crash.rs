//! Every crash point, on the real binary: killed there, started again, and the world is as it should be.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use eventlog::crash::points;
use serde_json::Value;

use crate::application::Application;
use crate::platform::{Platform, eventually};

/// The names of all crash points, read from the sources.
fn crash_points() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    points::of_crates(root, &["eventlog", "commands", "projections", "workers", "gateway", "cli"])
}

/// Points that a deployment does not pass: the reconciler's are below, those of a rebuild in
/// `projections/tests`.
fn is_tried_here(name: &str) -> bool {
    !name.starts_with("reconcile.") && !name.ends_with("_swap")
}

/// How many platforms are killed at one time.
const AT_ONCE: usize = 4;

#[test]
fn killed_at_every_point_of_a_deployment_it_ends_once_and_leaves_nothing() {
    let waiting: Mutex<Vec<String>> =
        Mutex::new(crash_points().into_iter().filter(|name| is_tried_here(name)).collect());
    let never_reached = Mutex::new(vec![]);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(name) = waiting.lock().unwrap().pop() else { return };
                    if !killed_at(&name) {
                        never_reached.lock().unwrap().push(name);
                    }
                }
            });
        }
    });
    let never_reached = never_reached.into_inner().unwrap();
    assert!(never_reached.is_empty(), "never reached: {never_reached:?}");
}

/// Deploys, is killed at the point, starts again, and checks the invariants. Whether the point was reached.
fn killed_at(name: &str) -> bool {
    let mut platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.write(
        "switchback.toml",
        "[build]\nbuild = \"python3 -c pass\"\n[run]\nrelease = \"python3 -c pass\"\n",
    );
    application.commit("first");
    platform.deploy(&application.path);
    application.say("two");
    application.commit("second");

    platform.end(crate::platform::End::Interrupt);
    platform.set("SWITCHBACK_CRASH", Some(name));
    let came_up = platform.try_start();
    if came_up {
        let source = application.path.to_str().unwrap();
        let _ = platform.run(&["deploy", source, "-p", "shop", "-s", "web", "-y", "--detach"]);
        let died = was_killed(&mut platform);
        if !died {
            return false;
        }
    }
    platform.set("SWITCHBACK_CRASH", None);
    eventually("what it ran is gone with it", || platform.processes().is_empty());
    platform.start_again();
    // The command line gives the same command again until it is answered; here it died with the server.
    let source = application.path.to_str().unwrap();
    let deployments = platform.json(&["deployments", "-p", "shop", "-s", "web"]);
    if deployments.as_array().unwrap().len() == 1 {
        platform.json(&["deploy", source, "-p", "shop", "-s", "web", "-y"]);
    }
    eventually(&format!("{name}: the second is live"), || platform.get("/") == (200, "two v2 -".into()));
    invariants(&platform, name);
    true
}

/// Whether the platform was killed before the deployment was over and the old release retired.
fn was_killed(platform: &mut Platform) -> bool {
    let pid = platform.pid();
    let is_gone =
        || fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::time::Instant::now() < deadline {
        if is_gone() {
            platform.wait_for_end();
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    false
}

#[test]
fn killed_while_it_starts_what_should_run_it_does_so_once() {
    for name in crash_points().into_iter().filter(|name| name.starts_with("reconcile.")) {
        let mut platform = Platform::start();
        let application = Application::saying(&platform, "one");
        application.commit("first");
        platform.deploy(&application.path);
        platform.end(crate::platform::End::Interrupt);
        // What ran before has to be somewhere else this time, so that there is something to record.
        let taken = address_of_the_instance(&platform);
        let _taken = std::net::TcpListener::bind(taken.as_str()).unwrap();
        platform.set("SWITCHBACK_CRASH", Some(&name));
        assert!(!platform.try_start() || was_killed(&mut platform), "never reached: {name}");
        platform.set("SWITCHBACK_CRASH", None);
        platform.start_again();
        eventually(&format!("{name}: it answers"), || platform.get("/") == (200, "one v1 -".into()));
        let programs = || platform.processes().iter().filter(|process| process.contains("app.py")).count();
        eventually(&format!("{name}: it runs once"), || programs() == 1);
    }
}

/// Where the instance was, by the events that the platform has left.
fn address_of_the_instance(platform: &Platform) -> String {
    let log = fs::read(platform.data().join("log/events.db")).unwrap();
    let text = String::from_utf8_lossy(&log);
    let (_, after) = text.rsplit_once("\"address\":\"").unwrap();
    after.split('"').next().unwrap().to_owned()
}

/// I3, I6 and I7 of the reliability notes, from outside.
fn invariants(platform: &Platform, name: &str) {
    eventually(&format!("{name}: one instance runs, and nothing else"), || {
        let programs = platform.processes().iter().filter(|process| process.contains("app.py")).count();
        programs == 1 && platform.processes().iter().all(|process| process.starts_with("instance/"))
    });
    let events = platform.json(&["events", "--from", "0"]);
    let live = |event: &&Value| event["type"].as_str().unwrap().contains("went_live");
    let lives = events.as_array().unwrap().iter().filter(live).count();
    assert_eq!(lives, 2, "{name}: each deployment went live once");
    let releases = platform.json(&["releases", "-p", "shop", "-s", "web"]);
    let of_status = |status: &str| {
        releases.as_array().unwrap().iter().filter(|release| release["status"] == status).count()
    };
    assert_eq!((of_status("live"), of_status("retired")), (1, 1), "{name}: {releases}");
}
