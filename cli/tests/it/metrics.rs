//! The figures of a platform that has deployed something.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::application::Application;
use crate::platform::{End, Platform, eventually};
use crate::stage::get_api;

/// What `/metrics` shows: each series with its value.
fn series(platform: &Platform) -> BTreeMap<String, f64> {
    let (status, text) = get_api(platform, "/metrics");
    assert_eq!(status, 200);
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// How many commits the log has, as it was looked at last.
fn commits(platform: &Platform) -> f64 {
    series(platform).get("switchback_log_messages").copied().unwrap_or_default()
}

/// The first column of the table in the guide, with what kind each is.
fn documented() -> BTreeSet<(String, String)> {
    let guide = include_str!("../../../docs/guide/operations.md");
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let kinds = ["counter", "gauge", "histogram"];
    rows.map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().to_owned()))
        .filter(|(_, kind)| kinds.contains(&kind.as_str()))
        .collect()
}

#[test]
fn after_a_deployment_the_figures_are_those_of_the_guide_and_name_nobody() {
    let mut platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    let deployed = platform.deploy(&application.path);
    assert_eq!(platform.get("/").0, 200);
    eventually("the retiring is counted", || {
        series(&platform).get(r#"switchback_steps_total{step="retire",outcome="succeeded"}"#) == Some(&1.0)
    });
    // What is looked at every few seconds was looked at before anything was deployed.
    eventually("the log was measured again", || commits(&platform) > 10.0);

    let (_, text) = get_api(&platform, "/metrics");
    let shown: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    assert_eq!(shown, documented());
    for name in ["shop", "\"web", deployed["deployment_id"].as_str().unwrap_or("no id"), "app.py"] {
        assert!(!text.contains(name), "{name} in\n{text}");
    }
    check_with_promtool(&text);

    let series_now = series(&platform);
    let counted = |name: &str| *series_now.get(name).unwrap_or_else(|| panic!("{name} in\n{text}"));
    assert_eq!(counted(r#"switchback_deployments_total{outcome="live"}"#), 1.0);
    assert_eq!(counted(r#"switchback_deployment_duration_seconds_count{outcome="live"}"#), 1.0);
    assert_eq!(counted(r#"switchback_build_duration_seconds_count{outcome="built"}"#), 1.0);
    assert_eq!(
        counted(r#"switchback_commands_total{aggregate="project",command="create",outcome="changed"}"#),
        1.0
    );
    for step in ["fetch", "detect", "build", "push", "cut", "prepare", "roll_out", "verify", "activate"] {
        let name = format!(r#"switchback_steps_total{{step="{step}",outcome="succeeded"}}"#);
        assert_eq!(counted(&name), 1.0, "{step}");
    }
    assert_eq!(counted(r#"switchback_edge_requests_total{class="2xx"}"#), 1.0);
    assert_eq!(counted(r#"switchback_engine_up{engine="log",kind="sqlite"}"#), 1.0);
    assert_eq!(counted(r#"switchback_leader{duty="router"}"#), 1.0);
    let route =
        r#"route="/api/v1/projects/{project}/environments/{environment}/services/{service}/deployments""#;
    assert!(series_now.keys().any(|name| name.contains(route) && name.contains("202")), "{text}");

    // What the log says again after a restart is not counted again.
    platform.end(End::Kill);
    platform.start_again();
    eventually("it is looked at", || commits(&platform) > 10.0);
    let series_now = series(&platform);
    assert_eq!(series_now[r#"switchback_deployments_total{outcome="live"}"#], 0.0);
    assert_eq!(series_now[r#"switchback_steps_total{step="build",outcome="succeeded"}"#], 0.0);
    eventually("it serves again", || platform.get("/").0 == 200);
}

/// Prometheus' own opinion of names and descriptions.
fn check_with_promtool(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is not installed: `cargo xtask test` installs the package prometheus");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && complaints.is_empty(), "{complaints}");
}

#[test]
fn whoever_asks_whether_it_is_ready_is_told_of_each_engine_and_each_projection() {
    let platform = Platform::start();
    let (status, body) = get_api(&platform, "/ready");
    assert_eq!(status, 200);
    let ready: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(ready["status"], "ready");
    for engine in ["log", "queue", "read"] {
        assert_eq!(ready["engines"][engine]["state"], "ok", "{engine}");
    }
    let projections = ready["projections"].as_object().unwrap();
    assert_eq!(projections.len(), 10);
    for (name, standing) in projections {
        assert_eq!(standing["state"], "live", "{name}");
        assert!(standing["position"].as_u64().unwrap() > 0, "{name}");
    }
    assert_eq!(get_api(&platform, "/health"), (200, r#"{"status":"ok"}"#.to_owned()));
}

#[test]
fn what_fails_ends_and_is_asked_for_in_vain_is_counted_once_each() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    // An instance that ends by itself is started again.
    platform.get("/exit");
    let is = |name: &str, value: f64| series(&platform).get(name) == Some(&value);
    eventually("the end is counted", || is("switchback_instance_exits_total", 1.0));
    eventually("the restart is counted", || is("switchback_instance_restarts_total", 1.0));

    application.write("switchback.toml", "[build]\nbuild = \"false\"\n");
    application.commit("a build that fails");
    let failed =
        platform.run(&["deploy", application.path.to_str().unwrap(), "-p", "shop", "-s", "web", "-y"]);
    assert_eq!(failed.status.code(), Some(1));
    eventually("the failure is counted", || is(r#"switchback_deployments_total{outcome="failed"}"#, 1.0));
    assert!(is(r#"switchback_steps_total{step="build",outcome="failed"}"#, 1.0));
    assert!(is(r#"switchback_build_duration_seconds_count{outcome="failed"}"#, 1.0));
    assert!(is(r#"switchback_deployments_total{outcome="live"}"#, 1.0));
    eventually("what was undone is counted", || {
        series(&platform)
            .keys()
            .any(|name| name.starts_with("switchback_steps_total") && name.contains("undone"))
    });

    // Paths and methods that somebody makes up are together in one.
    for path in ["/nothing/one", "/nothing/two", "/api/v1/nothing"] {
        assert_eq!(get_api(&platform, path).0, 404);
    }
    let unmatched =
        r#"switchback_http_request_duration_seconds_count{method="GET",route="unmatched",status="404"}"#;
    assert!(
        is(unmatched, 3.0),
        "{:?}",
        series(&platform).keys().filter(|n| n.contains("404")).collect::<Vec<_>>()
    );
    assert_eq!(crate::platform::get(platform.edge(), "nobody.localhost", "/").0, 404);
    assert!(is(r#"switchback_edge_failures_total{code="no_route"}"#, 1.0));
}
