//! `deploy`: what it makes, what it sends, what it says.

use serde_json::{Value, json};

use crate::fake::{Fake, data, event, refusal, status, stream};
use crate::follow::{ID, SERVICE, deployment};
use crate::person::{Person, unpacked};

pub(crate) const DIGEST: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";

/// A server on which everything is there already.
pub(crate) fn server() -> Fake {
    let fake = Fake::start();
    fake.on(&format!("GET {SERVICE}"), data(json!({})));
    takes_deployments(&fake, SERVICE);
    fake
}

fn takes_deployments(fake: &Fake, service: &str) {
    fake.on(&format!("POST {service}/sources"), status(201, json!({"data": {"digest": DIGEST}, "meta": {}})));
    let begun = json!({"data": deployment("PENDING"), "meta": {"position": 30}});
    fake.on(&format!("POST {service}/deployments"), status(202, begun));
    let done = event("status", None, &deployment("SUCCESS"));
    fake.on(&format!("GET /deployments/{ID}/logs"), stream(&[done]));
}

/// What was asked to be deployed.
pub(crate) fn asked_to_deploy(fake: &Fake) -> Value {
    fake.asked_for(&format!("POST {SERVICE}/deployments"))[0].json()
}

/// What is in the archive that was sent.
pub(crate) fn sent(fake: &Fake) -> Vec<(String, String)> {
    unpacked(&fake.asked_for(&format!("POST {SERVICE}/sources"))[0].body)
}

#[test]
fn a_repository_by_its_address_is_cloned_by_the_server() {
    let fake = server();
    let person = Person::at(&fake);
    let words = ["deploy", "git@host.example:me/shop.git", "--ref", "v1.0", "--fresh"];
    let said = person.runs(&words).fine();
    assert_eq!(said.out, "v7 is live after 12.3 s: http://web.shop.localhost:8080\n");
    let source =
        json!({"kind": "repository", "url": "ssh://git@host.example/me/shop.git", "reference": "v1.0"});
    assert_eq!(asked_to_deploy(&fake), json!({"source": source, "fresh": true}));
    person.runs(&["deploy", "file:///srv/repos/shop"]).fine();
    let last = fake.asked_for(&format!("POST {SERVICE}/deployments")).pop().expect("asked");
    let source = json!({"kind": "repository", "url": "file:///srv/repos/shop"});
    assert_eq!(last.json(), json!({"source": source, "fresh": false}));
}

#[test]
fn an_image_is_named_in_full_to_the_server() {
    let fake = server();
    let person = Person::at(&fake);
    person.runs(&["deploy", "me/shop:1.27"]).fine();
    let source = json!({"kind": "image", "reference": "docker.io/me/shop:1.27"});
    assert_eq!(asked_to_deploy(&fake), json!({"source": source, "fresh": false}));
    let said = person.runs(&["deploy", "me/shop:1.27", "--ref", "main"]).failed(2);
    assert!(said.err.contains("another tag of the image"), "{said:?}");
}

#[test]
fn a_source_that_is_none_is_refused_before_anything_is_asked() {
    let fake = Fake::start();
    let person = Person::at(&fake);
    person.writes("file.txt", "x");
    for (source, says) in [
        ("ghcr.io/A/b:v1", "is not the name of an image"),
        ("./nosuch", "there is no directory `./nosuch`"),
        ("file.txt", "is a file"),
        ("github.com/a/b", "switchback deploy https://github.com/a/b"),
        ("https://user:hunter2@host/a", "contains a password"),
        ("git://host/a", "not a protocol"),
    ] {
        let said = person.runs(&["deploy", source]).failed(2);
        assert!(said.err.contains(says) && !said.err.contains("hunter2"), "{source}: {said:?}");
    }
    person.runs(&["deploy", ".", "--ref", "-x"]).failed(2);
    person.runs(&["deploy", ".", "--ref=--upload-pack=x"]).failed(2);
    assert!(fake.asked().is_empty());
}

#[test]
fn what_is_missing_is_made_and_said_where_nobody_can_be_asked() {
    let fake = Fake::start();
    let get = format!("GET {SERVICE}");
    fake.on(&get, refusal(404, "project_not_found", "there is no project `shop`"));
    fake.on(&get, refusal(404, "service_not_found", "there is no service `web`"));
    fake.on("POST /projects", status(201, json!({"data": {"id": "p1"}, "meta": {"position": 10}})));
    let made = json!({"data": {"id": "s1"}, "meta": {"position": 12}});
    fake.on("POST /projects/shop/environments/production/services", status(201, made));
    takes_deployments(&fake, SERVICE);
    let person = Person::at(&fake);
    person.writes("index.html", "<p>hello");
    let said = person.runs(&["deploy"]).fine();
    assert!(
        said.err.starts_with("Made project shop.\nMade service web in production of shop.\n"),
        "{said:?}"
    );
    let lines = fake.lines();
    let service = SERVICE;
    let expected = [
        format!("GET {service}"),
        "POST /projects".to_owned(),
        format!("GET {service}"),
        "POST /projects/shop/environments/production/services".to_owned(),
        format!("POST {service}/sources"),
        format!("POST {service}/deployments"),
        format!("GET /deployments/{ID}/logs?follow=true&after=0"),
    ];
    assert_eq!(lines, expected);
    let asked = fake.asked();
    assert_eq!((asked[1].json(), asked[3].json()), (json!({"name": "shop"}), json!({"name": "web"})));
    assert_eq!(asked[4].header("switchback-position"), Some("12"));
}

#[test]
fn an_environment_is_not_made_by_the_way() {
    let fake = Fake::start();
    fake.on(
        "GET /projects/shop/environments/preview/services/web",
        refusal(404, "environment_not_found", "project shop has no environment `preview`"),
    );
    let person = Person::at(&fake);
    person.writes("index.html", "x");
    let said = person.runs(&["deploy", "-e", "preview"]).failed(3);
    assert!(said.err.contains("switchback environments create preview -p shop"), "{said:?}");
}

#[test]
fn a_name_that_is_not_allowed_is_said_by_its_rule() {
    let fake = Fake::start();
    fake.on(
        "GET /projects/api/environments/production/services/web",
        refusal(404, "project_not_found", "there is no project `api`"),
    );
    let person = Person::at(&fake);
    person.writes("index.html", "x");
    let said = person.runs(&["deploy", "-p", "api"]).failed(2);
    assert!(said.err.contains("project name `api` is reserved"), "{said:?}");
}

#[test]
fn the_file_of_the_source_counts_and_not_that_of_the_directory_one_is_in() {
    let fake = Fake::start();
    let service = "/projects/other/environments/staging/services/api";
    fake.on(&format!("GET {service}"), data(json!({})));
    takes_deployments(&fake, service);
    let person = Person::at(&fake);
    person.writes("switchback.toml", "project = \"shop\"\n[service]\nname = \"web\"\n");
    let manifest = "project = \"other\"\nenvironment = \"staging\"\n[service]\nname = \"api\"\n";
    person.writes("api/switchback.toml", manifest);
    person.runs(&["deploy", "api"]).fine();
}

#[test]
fn detached_it_tells_how_to_follow() {
    let fake = server();
    fake.on(&format!("GET /deployments/{ID}"), data(deployment("PENDING")));
    let person = Person::at(&fake);
    person.writes("index.html", "x");
    let said = person.runs(&["deploy", "--detach"]).fine();
    assert_eq!(said.out, format!("Deployment {ID} has begun.\n"));
    assert!(said.err.contains(&format!("switchback logs -f --build {ID}")), "{said:?}");
    assert_eq!(person.runs(&["deploy", "--detach", "-q"]).fine().out, format!("{ID}\n"));
    let result = person.runs(&["deploy", "--detach", "--json"]).fine().json();
    assert_eq!((&result["deployment"], &result["status"]), (&json!(ID), &json!("PENDING")));
    assert_eq!(result["release"], Value::Null);
}
