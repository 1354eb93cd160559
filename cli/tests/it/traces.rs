//! Traces of the built binary, sent to a collector of our own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::application::Application;
use crate::collector::{Collector, Span};
use crate::platform::{Platform, eventually};

const CANARY: &str = "canary-7f31aa02-value";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Sends a command of the owner's, as a part of a trace; the head of the answer.
fn command(platform: &Platform, path: &str, body: &Value) -> String {
    let token = std::fs::read_to_string(platform.data().join("owner.token")).unwrap();
    let address = platform.api().strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    let body = body.to_string();
    write!(
        connection,
        "POST /api/v1{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Authorization: Bearer {}\r\nContent-Type: application/json\r\n\
         traceparent: 00-{TRACE}-{CALLER}-01\r\nContent-Length: {}\r\n\r\n{body}",
        token.trim(),
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    answer
}

fn of_trace(collector: &Collector) -> Vec<Span> {
    collector.spans().into_iter().filter(|span| span.trace == TRACE).collect()
}

#[test]
fn one_deployment_is_one_trace_from_the_request_through_the_log_to_every_step() {
    let collector = Collector::start();
    let platform = Platform::with(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let application = Application::saying(&platform, "one");
    application.write("show.py", "import os\nprint('the value is', os.environ['API_KEY'], flush=True)\n");
    application.write("switchback.toml", "[build]\nbuild = \"python3 show.py\"\n");
    application.commit(&format!("by somebody@example.com {CANARY}"));
    platform.json(&["projects", "create", "shop"]);
    platform.json(&["services", "create", "web", "-p", "shop"]);
    platform.json(&["variables", "set", &format!("API_KEY={CANARY}"), "-p", "shop", "-s", "web", "-y"]);
    let source = json!({ "source": { "kind": "repository", "url": application.url() } });
    let path = "/projects/shop/environments/production/services/web/deployments";
    let answer = command(&platform, path, &source);
    eventually("it serves", || platform.get("/").0 == 200);
    eventually("the last step is sent", || {
        of_trace(&collector).iter().any(|span| span.name == "step retire")
    });

    let spans = of_trace(&collector);
    let named = |name: &str| {
        spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:#?}"))
    };
    let request = named(&format!(
        "POST /api/v1{}",
        "/projects/{project}/environments/{environment}/services/{service}/deployments"
    ));
    assert_eq!(request.parent, CALLER, "the caller's span");
    assert_eq!(request.attributes["http.response.status_code"], "IntValue(202)");
    assert!(answer.contains(&format!("traceparent: 00-{TRACE}-{}-01", request.id)), "{answer}");
    let below = |above: &str, name: &str| spans.iter().find(|span| span.parent == above && span.name == name);
    let asked = below(&request.id, "service deploy").unwrap_or_else(|| panic!("{spans:#?}"));
    let appended = below(&asked.id, "append").unwrap_or_else(|| panic!("{spans:#?}"));
    assert_eq!(appended.attributes["outcome"], "appended");
    for step in
        ["fetch", "detect", "build", "push", "cut", "prepare", "roll_out", "verify", "activate", "retire"]
    {
        let step = named(&format!("step {step}"));
        assert_eq!(step.parent, request.id, "{}", step.name);
        let completed = below(&step.id, "deployment complete").unwrap_or_else(|| panic!("{}", step.name));
        assert!(below(&completed.id, "append").is_some(), "{}", step.name);
    }
    // One that was asked for without a trace begins one of its own.
    assert!(collector.spans().iter().any(|span| span.trace != TRACE && span.name.starts_with("POST ")));

    let events = platform.json(&["events"]);
    let text = events.to_string();
    assert!(text.contains(&format!("00-{TRACE}-{}-01", request.id)), "{text}");
    let log = platform.server_log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line =
        lines.filter(|line| line["trace_id"] == TRACE).find(|line| line["span_id"] == request.id.as_str());
    assert!(line.is_some(), "the request's line has its ids: {log}");

    let token = std::fs::read_to_string(platform.data().join("owner.token")).unwrap();
    let sent = collector.bytes();
    for secret in [CANARY, "somebody@example.com", token.trim(), "show.py", "API_KEY", "shop"] {
        let holds = sent.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!holds, "{secret} was sent");
    }
    assert!(collector.spans().iter().all(|span| span.events == 0), "what lines say stays in the log");
}

#[test]
fn a_collector_that_takes_everything_and_answers_nothing_slows_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut platform = Platform::with(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]);
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    assert_eq!(platform.get("/").0, 200);
    eventually("what was not sent is counted", || {
        let (_, text) = crate::stage::get_api(&platform, "/metrics");
        let failed = text
            .lines()
            .find_map(|line| line.strip_prefix(r#"switchback_trace_spans_total{outcome="failed"} "#));
        failed.is_some_and(|count| count != "0")
    });
    platform.end(crate::platform::End::Interrupt);
    drop(listener);
}
