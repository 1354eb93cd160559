//! Releases and builds that do not come to their end: the old release keeps serving, and the reason is said.

use std::time::Instant;

use crate::application::Application;
use crate::platform::{Platform, eventually, text};
use crate::stage::PROCESSES_OF_AN_INSTANCE;

/// A service that runs, and a way to break it.
fn running() -> (Platform, Application) {
    let platform = Platform::with(&["--build-timeout", "4s"], &[]);
    let application = Application::saying(&platform, "old");
    application.commit("works");
    platform.deploy(&application.path);
    (platform, application)
}

/// Deploys what must fail; what was said.
fn fails(platform: &Platform, application: &Application) -> String {
    let output =
        platform.run(&["deploy", application.path.to_str().unwrap(), "-p", "shop", "-s", "web", "-y"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert_eq!(platform.get("/").1, "old v1 -", "the old release keeps serving");
    text(&output)
}

#[test]
fn a_process_that_dies_is_not_given_traffic_and_its_last_lines_are_shown() {
    let (platform, application) = running();
    application.write("app.py", "import sys\nprint('cannot find the moon', flush=True)\nsys.exit(3)\n");
    application.commit("dies");
    let said = fails(&platform, &application);
    assert!(said.contains("exit status 3") && said.contains("cannot find the moon"), "{said}");
    eventually("nothing of it runs", || platform.processes().len() == PROCESSES_OF_AN_INSTANCE);
}

#[test]
fn a_process_that_never_listens_is_not_given_traffic() {
    let (platform, application) = running();
    application.write("app.py", "import time\nwhile True: time.sleep(1)\n");
    application.write("switchback.toml", "[run]\nhealth = { timeout = \"1s\" }\n");
    application.commit("deaf");
    let said = fails(&platform, &application);
    assert!(said.contains("did not listen") && said.contains("PORT"), "{said}");
}

#[test]
fn a_process_that_listens_elsewhere_is_told_where() {
    let (platform, application) = running();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    application.write(
        "app.py",
        &format!(
            "from http.server import *\n\
         HTTPServer(('0.0.0.0', {port}), BaseHTTPRequestHandler).serve_forever()\n"
        ),
    );
    application.write("switchback.toml", "[run]\nhealth = { timeout = \"1s\" }\n");
    application.commit("elsewhere");
    let said = fails(&platform, &application);
    assert!(said.contains(&port.to_string()) && said.contains("PORT"), "{said}");
}

#[test]
fn a_release_that_is_not_healthy_is_not_given_traffic() {
    let (platform, application) = running();
    application.write(
        "app.py",
        concat!(
            "import os\nfrom http.server import *\n",
            "class Sick(BaseHTTPRequestHandler):\n",
            "    def do_GET(self):\n        self.send_error(500)\n",
            "HTTPServer(('0.0.0.0', int(os.environ['PORT'])), Sick).serve_forever()\n"
        ),
    );
    application.write("switchback.toml", "[run]\nhealth = { path = \"/healthz\", timeout = \"1s\" }\n");
    application.commit("sick");
    let said = fails(&platform, &application);
    assert!(said.contains("/healthz answered 500"), "{said}");
}

#[test]
fn a_release_command_that_fails_keeps_the_old_release() {
    let (platform, application) = running();
    application.write("migrate.py", "print('no such table', flush=True)\nraise SystemExit(4)\n");
    application.write("switchback.toml", "[run]\nrelease = \"python3 migrate.py\"\n");
    application.commit("migrates");
    let said = fails(&platform, &application);
    assert!(said.contains("no such table") && said.contains('4'), "{said}");
}

#[test]
fn a_build_that_fails_says_which_command_and_how() {
    let (platform, application) = running();
    application.write("switchback.toml", "[build]\nbuild = \"python3 nothing-there.py\"\n");
    application.commit("broken");
    let said = fails(&platform, &application);
    assert!(said.contains("python3 nothing-there.py") && said.contains("exit status 2"), "{said}");
}

#[test]
fn a_build_over_its_time_is_ended_with_everything_it_started() {
    let (platform, application) = running();
    application
        .write("hang.py", "import subprocess, time\nsubprocess.Popen(['sleep', '600'])\ntime.sleep(600)\n");
    application.write("switchback.toml", "[build]\nbuild = \"python3 hang.py\"\n");
    application.commit("hangs");
    let said = fails(&platform, &application);
    assert!(said.contains("limit"), "{said}");
    eventually("nothing of it runs", || platform.processes().len() == PROCESSES_OF_AN_INSTANCE);
}

#[test]
fn a_build_that_prints_without_end_is_cut_and_that_is_marked() {
    let (platform, application) = running();
    application.write("flood.py", "while True: print('x' * 1000)\n");
    application.write("switchback.toml", "[build]\nbuild = \"python3 flood.py\"\n");
    application.commit("floods");
    let output = platform.run(&[
        "deploy",
        application.path.to_str().unwrap(),
        "-p",
        "shop",
        "-s",
        "web",
        "-y",
        "--quiet",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let log =
        text(&platform.run(&["logs", "--build", &newest(&platform), "-n", "3", "-p", "shop", "-s", "web"]));
    assert!(log.contains("limit"), "{log}");
}

fn newest(platform: &Platform) -> String {
    let listed = platform.json(&["deployments", "-p", "shop", "-s", "web"]);
    listed[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn cancel_ends_a_running_build_at_once_with_everything_it_started() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "old");
    let hang = "import subprocess, time\nsubprocess.Popen(['sleep', '600'])\nprint('hanging', flush=True)\n";
    application.write("hang.py", &format!("{hang}time.sleep(600)\n"));
    application.write("switchback.toml", "[build]\nbuild = \"python3 hang.py\"\n");
    application.commit("hangs");
    let source = application.path.to_str().unwrap();
    let asked = platform.json(&["deploy", source, "-p", "shop", "-s", "web", "-y", "--detach"]);
    let id = asked["deployment"].as_str().unwrap();
    eventually("the build hangs", || {
        text(&platform.run(&["logs", "--build", id, "-p", "shop", "-s", "web"])).contains("hanging")
    });
    let began = Instant::now();
    platform.json(&["cancel", id]);
    eventually("nothing of it runs", || platform.processes().is_empty());
    eventually("it is cancelled", || {
        platform.json(&["deployments", "-p", "shop", "-s", "web"])[0]["status"] == "CANCELLED"
    });
    assert!(began.elapsed().as_secs() < 20, "at once, not at its limit");
    assert!(!platform.builds().join(id).exists(), "its files are gone");
    assert!(platform.run(&["cancel", id]).status.success(), "cancelling it again changes nothing");
}

#[test]
fn an_instance_that_dies_later_comes_back_and_that_is_recorded() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    platform.get("/exit");
    eventually("it answers again", || platform.get("/").0 == 200);
    eventually("its end is recorded", || {
        let events = platform.run(&["events", "--type", "service.instance_exited", "--json"]);
        text(&events).contains("exit status 7")
    });
}
