//! How things look: tables at a fixed width, the documents of `--json`, the words of `--quiet`.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::fake::{Fake, data, page, refusal};
use crate::follow::{ID, SERVICE, deployment};
use crate::person::{Person, Said};

fn ago(minutes: i64) -> String {
    (Utc::now() - TimeDelta::minutes(minutes)).to_rfc3339()
}

fn runs(fake: &Fake, words: &[&str]) -> Said {
    Person::at(fake).runs(&[words, &["-p", "shop", "-s", "web"]].concat()).fine()
}

/// The same answer in all three forms: for people, as JSON, as words.
fn forms(fake: &Fake, words: &[&str]) -> (String, Value, String) {
    let form = |option: &str| runs(fake, &[words, &[option]].concat());
    (runs(fake, words).out, form("--json").json(), form("--quiet").out)
}

#[test]
fn projects() {
    let fake = Fake::start();
    let environments = json!([{"id": "e1", "name": "production"}, {"id": "e2", "name": "staging"}]);
    let project = |name: &str, services: u32| {
        json!({"id": "p1", "name": name, "slug": name, "environments": environments, "services": services,
               "created_at": ago(90)})
    };
    let listed = json!([project("shop", 2), project("website", 11)]);
    fake.on("GET /projects", page(listed.clone(), None));
    let (human, document, words) = forms(&fake, &["projects", "list"]);
    insta::assert_snapshot!(human, @"
    NAME     SERVICES  MADE     ENVIRONMENTS
    shop     2         1 h ago  production, staging
    website  11        1 h ago  production, staging
    ");
    assert_eq!(document, listed);
    assert_eq!(words, "shop\nwebsite\n");
    fake.on("GET /projects/shop", data(project("shop", 2)));
    insta::assert_snapshot!(runs(&fake, &["projects", "show"]).out, @"
    name          shop
    id            p1
    slug          shop
    environments  production, staging
    services      2
    made          1 h ago
    ");
}

#[test]
fn status() {
    let fake = Fake::start();
    let service = |name: &str, status: &str, health: &str, ready: u32| {
        json!({"name": name, "status": status, "health": health, "release": "v3", "deployment": ID,
               "url": format!("http://{name}.shop.localhost:8080"), "exits": null,
               "replicas": {"wanted": 2, "ready": ready}})
    };
    let mut broken = service("worker", "FAILED", "DEGRADED", 1);
    broken["exits"] =
        json!({"times": 4, "last_at": ago(2), "last_instance": "i", "last_exit": "exit code 1"});
    let services = json!({"services": [service("web", "SUCCESS", "HEALTHY", 2), broken]});
    fake.on("GET /projects/shop/environments/production/status", data(services.clone()));
    let (human, document, words) = forms(&fake, &["status"]);
    insta::assert_snapshot!(human, @"
    SERVICE  STATUS   HEALTH    RELEASE  READY  URL
    web      SUCCESS  HEALTHY   v3       2/2    http://web.shop.localhost:8080
    worker   FAILED   DEGRADED  v3       1/2    http://worker.shop.localhost:8080
    ");
    assert_eq!(runs(&fake, &["status"]).err, "worker ended by itself 4 times, last 2 m ago: exit code 1\n");
    assert_eq!(document, services);
    assert_eq!(words, "web HEALTHY\nworker DEGRADED\n");
}

#[test]
fn deployments() {
    let fake = Fake::start();
    let mut first = deployment("SUCCESS");
    first["created_at"] = json!(ago(3));
    first["revision"]["subject"] = json!("A subject that is longer than what is left of the line\u{1b}[2J");
    let mut second = deployment("BUILDING");
    second["created_at"] = json!(ago(0));
    second["revision"] = json!(null);
    let listed = json!([second, first]);
    fake.on(&format!("GET {SERVICE}/deployments"), page(listed.clone(), None));
    let (human, document, words) = forms(&fake, &["deployments"]);
    insta::assert_snapshot!(human, @"
    ID                                    STATUS    RELEASE  WHEN      TOOK    WHY     REVISION
    0199c5a0-7d3e-7c41-9d57-0f6f4f1f2a11  BUILDING           just now          deploy
    0199c5a0-7d3e-7c41-9d57-0f6f4f1f2a11  SUCCESS   v7       3 m ago   12.3 s  deploy  aaaaaaa A subjec…
    ");
    assert_eq!(document, listed);
    assert_eq!(words, format!("{ID}\n{ID}\n"));
    runs(&fake, &["deployments", "-n", "1"]);
    assert!(fake.lines().last().is_some_and(|line| line.ends_with("?limit=1")), "{:?}", fake.lines());
}

fn release() -> Value {
    json!({
        "number": "v7", "status": "live", "deployment": ID,
        "revision": {"id": "a".repeat(40), "subject": "Say hello"}, "source": {"kind": "upload"},
        "image": "sha256:0123", "trigger": "deploy", "rollback_of": null,
        "created_by": {"kind": "user", "name": "owner"}, "created_at": "2026-10-05T14:00:00Z",
        "activated_at": "2026-10-05T14:00:12.5Z", "variables": ["DATABASE_URL", "DEBUG"], "replicas": 2,
        "hostnames": ["web.shop.localhost"],
        "changes": [{"what": "revision", "text": "revision: bbbbbbb → aaaaaaa"},
                    {"what": "variable_added", "text": "variable DEBUG is new"}],
    })
}

#[test]
fn releases() {
    let fake = Fake::start();
    let mut back = release();
    (back["number"], back["rollback_of"], back["status"]) = (json!("v8"), json!("v5"), json!("failed"));
    let mut releases = json!([back, release()]);
    for release in releases.as_array_mut().expect("a list") {
        release["created_at"] = json!(ago(60 * 24 * 3));
    }
    fake.on(&format!("GET {SERVICE}/releases"), page(releases.clone(), None));
    let (human, document, words) = forms(&fake, &["releases"]);
    insta::assert_snapshot!(human, @"
    RELEASE  STATUS  WHEN     WHO    REVISION  WHAT
    v8       failed  3 d ago  owner  aaaaaaa   brings v5 back
    v7       live    3 d ago  owner  aaaaaaa   revision: bbbbbbb → aaaaaaa and 1 more
    ");
    assert_eq!(document, releases);
    assert_eq!(words, "v8\nv7\n");
}

#[test]
fn a_release() {
    let fake = Fake::start();
    fake.on(&format!("GET {SERVICE}/releases/v7"), data(release()));
    let (human, document, words) = forms(&fake, &["release", "7"]);
    insta::assert_snapshot!(human, @"
    release     v7
    status      live
    revision    aaaaaaa Say hello
    image       sha256:0123
    deployment  0199c5a0-7d3e-7c41-9d57-0f6f4f1f2a11
    made by     owner
    made        2026-10-05T14:00:00Z
    live since  2026-10-05T14:00:12Z
    replicas    2
    hostnames   web.shop.localhost
    variables   DATABASE_URL, DEBUG
    What changed
      revision: bbbbbbb → aaaaaaa
      variable DEBUG is new
    ");
    assert_eq!(document, release());
    assert_eq!(words, "v7\n");
}

#[test]
fn history() {
    let fake = Fake::start();
    let entry = |position: u64, who: &str, summary: &str| {
        json!({"position": position, "at": ago(5), "actor": {"kind": "user", "id": "u1", "name": who},
               "type": "service.release_cut", "summary": summary, "project": "shop", "service": "web",
               "deployment": ID, "command": "c1"})
    };
    let listed =
        json!([entry(1042, "owner", "release v7 of web"), entry(9, "a\u{202e}b", "made project shop")]);
    fake.on("GET /history", page(listed.clone(), None));
    let (human, document, words) = forms(&fake, &["history", "--type", "service", "--actor", "owner"]);
    insta::assert_snapshot!(human, @"
    POSITION  WHEN     WHO    WHAT
    1042      5 m ago  owner  release v7 of web
    9         5 m ago  ab     made project shop
    ");
    assert_eq!(document, listed);
    assert_eq!(words, "1042\n9\n");
    let asked =
        "GET /history?actor=owner&type=service&project=shop&service=web&environment=production&limit=50";
    assert_eq!(fake.lines()[0], asked);
}

#[test]
fn events_are_read_page_by_page_to_the_end() {
    let fake = Fake::start();
    let event = |position: u64| {
        let event_type = "dev.switchback.project.created.v1";
        json!({"specversion": "1.0", "id": format!("e{position}"), "type": event_type,
               "subject": "sb.evt.o1.project.p1", "time": "2026-10-05T14:00:00Z",
               "sbposition": position.to_string(), "data": {"name": "shop"}})
    };
    fake.on("GET /events?from=4&limit=1000", page(json!([event(5)]), Some("5")));
    fake.on("GET /events?from=5&limit=1000", page(json!([event(6)]), None));
    let said = runs(&fake, &["events", "--from", "4"]);
    insta::assert_snapshot!(said.out, @r#"
           5 2026-10-05T14:00:00Z project.created.v1 project.p1 {"name":"shop"}
           6 2026-10-05T14:00:00Z project.created.v1 project.p1 {"name":"shop"}
    "#);
    assert_eq!(runs(&fake, &["events", "--from", "4", "--json"]).json(), json!([event(5), event(6)]));
}

#[test]
fn services_environments_and_tokens() {
    let fake = Fake::start();
    let service = json!({
        "id": "s1", "name": "web", "project": "shop", "environment": "production", "hostname": "h",
        "url": "http://web.shop.localhost:8080", "status": "NONE", "release": null, "deployment": null,
        "replicas": null, "created_at": ago(1),
    });
    fake.on("GET /projects/shop/environments/production/services", page(json!([service]), None));
    insta::assert_snapshot!(runs(&fake, &["services", "list"]).out, @"
    NAME  STATUS  RELEASE  REPLICAS  URL
    web   NONE                       http://web.shop.localhost:8080
    ");
    let environments = json!([{"id": "e1", "name": "production"}]);
    fake.on("GET /projects/shop/environments", data(environments));
    insta::assert_snapshot!(runs(&fake, &["environments", "list"]).out, @"
    NAME        ID
    production  e1
    ");
    let shown = runs(&fake, &["environments", "show", "--json"]).json();
    assert_eq!((&shown["name"], &shown["services"][0]["name"]), (&json!("production"), &json!("web")));
    Person::at(&fake).runs(&["environments", "show", "nosuch", "-p", "shop"]).failed(3);
    fake.on("GET /auth/tokens", data(json!([{"id": "t1", "name": "ci", "created_at": ago(61)}])));
    insta::assert_snapshot!(runs(&fake, &["tokens", "list"]).out, @"
    ID  MADE     NAME
    t1  1 h ago  ci
    ");
}

#[test]
fn cancelling_says_what_was_cancelled() {
    let fake = Fake::start();
    fake.on(&format!("POST /deployments/{ID}/cancel"), data(deployment("CANCELLED")));
    let said = runs(&fake, &["cancel", ID]);
    assert_eq!(said.out, format!("Deployment {ID} is cancelled, with everything it started.\n"));
    let fake = Fake::start();
    fake.on(&format!("POST /deployments/{ID}/cancel"), data(deployment("BUILDING")));
    assert!(runs(&fake, &["cancel", ID]).out.contains("is being cancelled"));
    let over = "deployment 1 is over";
    let fake = Fake::start();
    fake.on(&format!("POST /deployments/{ID}/cancel"), refusal(409, "deployment_over", over));
    Person::at(&fake).runs(&["cancel", ID]).failed(5);
    Person::at(&fake).runs(&["cancel", "latest"]).failed(2);
}

#[test]
fn completions_are_made_for_a_shell() {
    let said = Person::signed_out().runs(&["completions", "bash"]).fine();
    assert!(said.out.contains("switchback") && said.out.contains("rollback"), "{}", said.out.len());
}

#[test]
fn there_are_no_colours_where_there_is_no_terminal() {
    let fake = Fake::start();
    fake.on(&format!("GET {SERVICE}/releases/v7"), data(release()));
    assert!(!runs(&fake, &["release", "v7"]).out.contains('\u{1b}'));
}

#[test]
fn a_reader_that_goes_away_is_no_news() {
    let fake = Fake::start();
    let line = |number: u64| {
        json!({"number": number, "at": "2026-10-05T14:00:00Z", "channel": "out", "origin": "v1.0",
               "text": "x".repeat(200)})
    };
    fake.on(&format!("GET {SERVICE}/logs"), data(json!((1..2_000).map(line).collect::<Vec<_>>())));
    let mut child = Person::at(&fake).starts(&["logs", "-p", "shop", "-s", "web"]);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(1));
}
