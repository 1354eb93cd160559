//! Requests that get no answer are sent again, and count once.

use std::time::Instant;

use serde_json::json;

use crate::fake::{Fake, data, refusal, status};
use crate::person::Person;

fn made() -> serde_json::Value {
    let environments = json!([{"id": "e1", "name": "production"}, {"id": "e2", "name": "staging"}]);
    json!({"id": "p1", "name": "shop", "slug": "shop", "environments": environments, "services": 0,
           "created_at": "2026-10-05T14:00:00Z"})
}

#[test]
fn a_command_is_sent_again_under_the_same_key() {
    let fake = Fake::start();
    let busy = || refusal(503, "log_unavailable", "the log is away").with("retry-after", "0");
    fake.on("POST /projects", busy()).on("POST /projects", data(json!({})).then_breaks());
    fake.on("POST /projects", data(made()));
    let said = Person::at(&fake).runs(&["projects", "create", "shop"]).fine();
    assert_eq!(said.out, "Made project shop, with production, staging.\n");
    let asked = fake.asked();
    assert_eq!(asked.len(), 3);
    let keys: Vec<_> = asked.iter().map(|asked| asked.header("idempotency-key")).collect();
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(asked.iter().all(|asked| asked.header("authorization") == Some("Bearer sbk_test")));
}

#[test]
fn two_commands_have_two_keys() {
    let fake = Fake::start();
    fake.on("POST /projects", data(made()));
    let person = Person::at(&fake);
    person.runs(&["projects", "create", "shop"]).fine();
    person.runs(&["projects", "create", "shop"]).fine();
    let asked = fake.asked();
    assert_ne!(asked[0].header("idempotency-key"), asked[1].header("idempotency-key"));
}

#[test]
fn a_server_that_stays_away_is_given_up() {
    let fake = Fake::start();
    fake.on("GET /projects", refusal(503, "read_model_unavailable", "it is away").with("retry-after", "0"));
    let said = Person::at(&fake).runs(&["projects", "list"]).failed(1);
    assert_eq!(fake.asked().len(), 5);
    assert_eq!(
        said.err,
        "error: it is away\n  request r-1\n\
         next: try again in a moment; the server's own output says what is wrong\n"
    );
}

#[test]
fn what_the_server_refuses_is_not_sent_again() {
    let fake = Fake::start();
    fake.on("POST /projects", refusal(409, "project_name_taken", "there is one"));
    Person::at(&fake).runs(&["projects", "create", "shop"]).failed(5);
    assert_eq!(fake.asked().len(), 1);
}

#[test]
fn the_server_says_when_to_come_again() {
    let fake = Fake::start();
    fake.on("GET /projects", status(503, json!("busy")).with("retry-after", "1"));
    fake.on("GET /projects", data(json!([])));
    let began = Instant::now();
    Person::at(&fake).runs(&["projects", "list"]).fine();
    assert!(began.elapsed().as_millis() >= 1_000);
}

#[test]
fn what_is_read_after_a_command_has_seen_it() {
    let fake = Fake::start();
    let deployment = "0199c5a0-7d3e-7c41-9d57-0f6f4f1f2a11";
    let answer = status(202, json!({"data": {"deployment": deployment}, "meta": {"position": 41}}));
    let service = "/projects/shop/environments/production/services/web";
    fake.on(&format!("POST {service}/scale"), answer.with("switchback-position", "42"));
    fake.on(&format!("GET /deployments/{deployment}"), data(crate::follow::deployment("PENDING")));
    Person::at(&fake).runs(&["scale", "web=3", "-p", "shop", "--detach"]).fine();
    let asked = fake.asked();
    assert_eq!(asked[0].header("switchback-position"), None);
    assert_eq!(asked[1].header("switchback-position"), Some("42"));
    assert_eq!(asked[0].json(), json!({"replicas": 3}));
}

#[test]
fn a_list_is_read_to_its_end() {
    let fake = Fake::start();
    let path = "/projects/shop/environments/production/services/web/releases";
    let release = |number: &str| {
        json!({"number": number, "status": "retired", "deployment": "d1", "revision": null, "image": null,
               "created_by": null, "created_at": "2026-10-05T14:00:00Z"})
    };
    fake.on(&format!("GET {path}"), crate::fake::page(json!([release("v3"), release("v2")]), Some("c1")));
    fake.on(&format!("GET {path}"), crate::fake::page(json!([release("v1")]), None));
    let said = Person::at(&fake).runs(&["releases", "-p", "shop", "-s", "web", "--quiet"]).fine();
    assert_eq!(said.out, "v3\nv2\nv1\n");
    assert!(fake.lines()[1].ends_with("cursor=c1"), "{:?}", fake.lines());
}
