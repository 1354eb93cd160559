//! Following a deployment: its lines as they come, lost connections, and its end.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::fake::{Fake, data, event, line, refusal, stream};
use crate::person::Person;

pub(crate) const ID: &str = "0199c5a0-7d3e-7c41-9d57-0f6f4f1f2a11";
pub(crate) const SERVICE: &str = "/projects/shop/environments/production/services/web";

/// A deployment that stands like this.
pub(crate) fn deployment(status: &str) -> Value {
    let is_over = matches!(status, "SUCCESS" | "FAILED");
    json!({
        "id": ID, "service": "s1", "service_name": "web", "environment": "production", "project": "shop",
        "status": status, "trigger": "deploy", "source": null, "reference": null,
        "revision": {"id": "a".repeat(40), "subject": "Say hello"}, "release": is_over.then_some("v7"),
        "image": is_over.then_some("sha256:0123"), "url": "http://web.shop.localhost:8080", "step": "build",
        "failure": null, "requested_by": null, "waits_for": null, "created_at": "2026-10-05T14:00:00Z",
        "started_at": null, "finished_at": null, "duration_ms": is_over.then_some(12_345),
    })
}

/// A deployment that failed.
pub(crate) fn failed(step: &str) -> Value {
    let mut failed = deployment("FAILED");
    failed["failure"] =
        json!({"step": step, "code": "never_listened", "message": "it did not listen on port 3000"});
    failed
}

/// A server on which a redeployment goes like this.
pub(crate) fn redeploying(events: &[String]) -> Fake {
    let fake = Fake::start();
    fake.on(&format!("POST {SERVICE}/deployments"), data(deployment("PENDING")));
    fake.on(&format!("GET /deployments/{ID}/logs"), stream(events));
    fake
}

const REDEPLOY: [&str; 5] = ["redeploy", "-p", "shop", "-s", "web"];

#[test]
fn lines_are_printed_as_they_come_and_the_end_is_told() {
    let fake = redeploying(&[
        event("status", None, &deployment("BUILDING")),
        line(1, "platform", "building with npm"),
        line(2, "out", "added \x1b[32m57\x1b[0m packages\x07"),
        event("status", None, &deployment("SUCCESS")),
    ]);
    let person = Person::at(&fake);
    let said = person.runs(&REDEPLOY).fine();
    insta::assert_snapshot!(said.out, @"
    ==> building with npm
    added 57 packages
    v7 is live after 12.3 s: http://web.shop.localhost:8080
    ");
    assert_eq!(
        person.runs(&[&REDEPLOY[..], &["-q"]].concat()).fine().out,
        "http://web.shop.localhost:8080\n"
    );
}

#[test]
fn with_json_every_line_is_a_document_and_the_last_is_the_result() {
    let fake = redeploying(&[line(1, "out", "one"), event("status", None, &deployment("SUCCESS"))]);
    let said = Person::at(&fake).runs(&[&REDEPLOY[..], &["--json"]].concat()).fine();
    let records = said.records();
    assert_eq!(records.len(), 3);
    assert_eq!((&records[0]["event"], &records[0]["text"]), (&json!("line"), &json!("one")));
    assert_eq!((&records[1]["event"], &records[1]["status"]), (&json!("status"), &json!("SUCCESS")));
    insta::assert_json_snapshot!(records[2], @r#"
    {
      "commit": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "deployment": "0199c5a0-7d3e-7c41-9d57-0f6f4f1f2a11",
      "duration_ms": 12345,
      "image": "sha256:0123",
      "release": "v7",
      "status": "SUCCESS",
      "url": "http://web.shop.localhost:8080"
    }
    "#);
}

#[test]
fn a_lost_connection_goes_on_after_the_last_line() {
    let fake = Fake::start();
    fake.on(&format!("POST {SERVICE}/deployments"), data(deployment("PENDING")));
    let logs = format!("GET /deployments/{ID}/logs");
    let begins = [
        "retry: 10\n\n".to_owned(),
        line(1, "out", "one"),
        line(2, "out", "two"),
        "id: 3\ndata: {\"nu".into(),
    ];
    fake.on(&logs, stream(&begins).then_breaks());
    fake.on(&logs, refusal(503, "log_unavailable", "away").with("retry-after", "0"));
    let rest =
        [line(2, "out", "two"), line(3, "out", "three"), event("status", None, &deployment("SUCCESS"))];
    fake.on(&logs, stream(&rest));
    let said = Person::at(&fake).runs(&REDEPLOY).fine();
    assert!(said.out.starts_with("one\ntwo\nthree\nv7 is live"), "{said:?}");
    let asked = fake.asked_for(&logs);
    assert_eq!(asked[0].path, format!("/deployments/{ID}/logs?follow=true&after=0"));
    assert_eq!(asked[0].header("last-event-id"), None);
    for again in &asked[1..] {
        assert_eq!(again.path, format!("/deployments/{ID}/logs?follow=true&after=2"));
        assert_eq!(again.header("last-event-id"), Some("2"));
    }
}

#[test]
fn a_stream_that_ends_too_early_is_opened_again() {
    let fake = Fake::start();
    fake.on(&format!("POST {SERVICE}/deployments"), data(deployment("PENDING")));
    let logs = format!("GET /deployments/{ID}/logs");
    fake.on(&logs, stream(&[line(1, "out", "one")]));
    fake.on(&logs, stream(&[line(2, "out", "two"), event("status", None, &deployment("SUCCESS"))]));
    fake.on(&format!("GET /deployments/{ID}"), data(deployment("BUILDING")));
    let said = Person::at(&fake).runs(&REDEPLOY).fine();
    assert!(said.out.starts_with("one\ntwo\nv7 is live"), "{said:?}");
}

#[test]
fn a_failure_names_the_step_the_reason_and_what_the_application_said() {
    let fake = redeploying(&[event("status", None, &failed("verify"))]);
    let line = |origin: &str, text: &str| {
        let at = "2026-10-05T14:00:01Z";
        json!({"number": 1, "at": at, "channel": "err", "origin": origin, "text": text})
    };
    let printed = json!([line("v6.0", "of the release before"), line("v7.0", "Error: no DATABASE_URL")]);
    fake.on(&format!("GET {SERVICE}/logs"), data(printed));
    let said = Person::at(&fake).runs(&REDEPLOY).failed(1);
    insta::assert_snapshot!(said.err, @"
    error: the deployment failed while waiting for it to answer
      it did not listen on port 3000
      it printed last:
        Error: no DATABASE_URL
    next: `switchback logs --build 0199c5a0-7d3e-7c41-9d57-0f6f4f1f2a11` shows all of its output
    ");
}

#[test]
fn a_failed_build_does_not_ask_for_the_applications_log() {
    let fake = redeploying(&[event("status", None, &failed("build"))]);
    let said = Person::at(&fake).runs(&[&REDEPLOY[..], &["--json"]].concat()).failed(1);
    let records = said.records();
    assert_eq!(records[1]["status"], "FAILED");
    assert_eq!(records[1]["failure"]["step"], "build");
    assert!(fake.asked_for(&format!("GET {SERVICE}/logs")).is_empty());
}

#[test]
fn a_deployment_that_waits_says_for_which() {
    let mut waiting = deployment("PENDING");
    waiting["waits_for"] = json!("0199c5a0-0000-7000-8000-000000000001");
    let fake = redeploying(&[
        event("status", None, &waiting),
        event("status", None, &waiting),
        event("status", None, &deployment("SUCCESS")),
    ]);
    let said = Person::at(&fake).runs(&REDEPLOY).fine();
    assert_eq!(said.err, "It waits for deployment 0199c5a0-0000-7000-8000-000000000001.\n");
}

#[test]
fn one_that_is_not_over_in_time_goes_on() {
    let fake = Fake::start();
    fake.on(&format!("POST {SERVICE}/deployments"), data(deployment("PENDING")));
    fake.on(&format!("GET /deployments/{ID}/logs"), stream(&[line(1, "out", "one")]).then_is_silent());
    let said = Person::at(&fake).runs(&[&REDEPLOY[..], &["--timeout", "500ms"]].concat()).failed(6);
    let expected = format!(
        "error: not over after 500ms\n  deployment {ID} goes on\n\
         next: `switchback logs -f --build {ID}` follows it, `switchback cancel {ID}` stops it\n"
    );
    assert_eq!(said.err, expected);
}

#[test]
fn ctrl_c_leaves_the_deployment_alone() {
    let fake = Fake::start();
    fake.on(&format!("POST {SERVICE}/deployments"), data(deployment("PENDING")));
    fake.on(&format!("GET /deployments/{ID}/logs"), stream(&[line(1, "out", "one")]).then_is_silent());
    let mut child = Person::at(&fake).starts(&REDEPLOY);
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "one\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("goes on") && err.contains(&format!("switchback cancel {ID}")), "{err}");
    assert!(fake.lines().iter().all(|line| !line.contains("cancel")));
}

#[test]
fn ctrl_c_ends_what_waits_for_an_answer() {
    let fake = Fake::start();
    fake.on("GET /projects", data(json!([])).then_is_silent());
    let child = Person::at(&fake).starts(&["projects", "list"]);
    while fake.asked().is_empty() {
        std::thread::yield_now();
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error: interrupted\n");
}

#[test]
fn logs_of_a_release_are_those_of_its_build() {
    let fake = Fake::start();
    let release = json!({"number": "v3", "status": "live", "deployment": ID, "created_by": null,
                         "created_at": "2026-10-05T14:00:00Z"});
    fake.on(&format!("GET {SERVICE}/releases/v3"), data(release));
    let line = |number: u64| {
        json!({"number": number, "at": "2026-10-05T14:00:00Z", "channel": "out", "origin": "build",
               "text": format!("line {number}")})
    };
    fake.on(&format!("GET /deployments/{ID}/logs"), data(json!((1..=5).map(line).collect::<Vec<_>>())));
    let person = Person::at(&fake);
    let words = ["logs", "--build", "3", "-p", "shop", "-s", "web"];
    assert_eq!(person.runs(&words).fine().out.lines().count(), 5);
    assert_eq!(person.runs(&[&words[..], &["-n", "2"]].concat()).fine().out, "line 4\nline 5\n");
}

#[test]
fn an_applications_log_is_followed_from_its_tail() {
    let fake = Fake::start();
    let logs = format!("GET {SERVICE}/logs");
    fake.on(&logs, stream(&[line(8, "out", "eight")]).then_breaks());
    fake.on(&logs, stream(&[line(9, "out", "nine")]).then_is_silent());
    let person = Person::at(&fake);
    let mut child = person.starts(&["logs", "-f", "-q", "-n", "5", "-p", "shop", "-s", "web"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "eight");
    assert_eq!(lines.next().unwrap().unwrap(), "nine");
    child.kill().unwrap();
    child.wait().unwrap();
    let asked = fake.asked_for(&logs);
    assert_eq!(asked[0].path, format!("{SERVICE}/logs?follow=true&tail=5"));
    assert_eq!(asked[1].path, format!("{SERVICE}/logs?follow=true&after=8"));
}

#[test]
fn events_go_on_after_the_last_one_seen() {
    let fake = Fake::start();
    let event = |position: u64| {
        let data = json!({"id": format!("e{position}"), "type": "dev.switchback.project.created.v1"});
        crate::fake::event("dev.switchback.project.created.v1", Some(position), &data)
    };
    fake.on("GET /events/stream", stream(&[event(5)]).then_breaks());
    fake.on("GET /events/stream", stream(&[event(6)]).then_is_silent());
    let mut child = Person::at(&fake).starts(&["events", "-f", "--from", "4", "--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for id in ["e5", "e6"] {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["id"], id);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let asked = fake.asked_for("GET /events/stream");
    assert_eq!(asked[1].header("last-event-id"), Some("5"));
}
