//! Which project, environment and service a command is about.

use serde_json::json;

use crate::fake::{Fake, data, page, refusal};
use crate::person::Person;

fn service(name: &str) -> serde_json::Value {
    json!({"id": "s1", "name": name, "project": "shop", "environment": "production", "hostname": "h",
           "url": "http://web.shop.localhost:8080", "status": "SUCCESS", "release": "v3", "deployment": "d1",
           "replicas": 2, "created_at": "2026-10-05T14:00:00Z"})
}

fn answers_to(fake: &Fake, path: &str) {
    fake.on(&format!("GET {path}/deployments"), page(json!([]), None));
}

#[test]
fn options_come_before_the_environment_and_that_before_the_file() {
    let fake = Fake::start();
    for project in ["option", "variable", "file"] {
        answers_to(&fake, &format!("/projects/{project}/environments/staging/services/api"));
    }
    let person = Person::at(&fake);
    person.writes(
        "switchback.toml",
        "project = \"file\"\nenvironment = \"staging\"\n[service]\nname = \"api\"\n",
    );
    person.runs(&["deployments"]).fine();
    let mut command = person.command(&["deployments"]);
    assert!(command.env("SWITCHBACK_PROJECT", "variable").status().unwrap().success());
    let mut command = person.command(&["deployments", "-p", "option"]);
    assert!(command.env("SWITCHBACK_PROJECT", "variable").status().unwrap().success());
    let mut command = person.command(&["deployments"]);
    assert!(command.env("SWITCHBACK_PROJECT", "").status().unwrap().success(), "empty is not said");
    let projects: Vec<String> =
        fake.lines().iter().map(|line| line.split('/').nth(2).unwrap_or_default().to_owned()).collect();
    assert_eq!(projects, ["file", "variable", "option", "file"]);
}

#[test]
fn a_file_with_an_error_is_refused_by_its_line() {
    let fake = Fake::start();
    let person = Person::at(&fake);
    person.writes("switchback.toml", "project = \"x\"\nservise = 1\n");
    let said = person.runs(&["deployments"]).failed(2);
    assert!(said.err.contains("switchback.toml, line 2: unknown field `servise`"), "{said:?}");
    assert_eq!(fake.lines(), Vec::<String>::new());
}

#[test]
fn the_directory_stands_for_a_project_of_its_name() {
    let fake = Fake::start();
    answers_to(&fake, "/projects/shop/environments/production/services/web");
    fake.on("GET /projects/shop/environments/production/services", page(json!([service("web")]), None));
    let person = Person::at(&fake);
    person.runs(&["deployments"]).fine();
    let fake = Fake::start();
    fake.on(
        "GET /projects/shop/environments/production/status",
        refusal(404, "project_not_found", "there is no project `shop`"),
    );
    let said = Person::at(&fake).runs(&["status"]).failed(3);
    assert!(said.err.contains("no project was named, so the directory's name was taken: shop"), "{said:?}");
}

#[test]
fn without_a_name_it_is_the_only_service_or_web() {
    for (services, code, says) in [
        (json!([service("api")]), 0, ""),
        (json!([service("api"), service("web")]), 0, ""),
        (json!([service("api"), service("worker")]), 2, "there are api, worker"),
        (json!([]), 3, "switchback deploy"),
    ] {
        let fake = Fake::start();
        answers_to(&fake, "/projects/shop/environments/production/services/api");
        answers_to(&fake, "/projects/shop/environments/production/services/web");
        fake.on("GET /projects/shop/environments/production/services", page(services, None));
        let said = Person::at(&fake).runs(&["deployments"]).failed(code);
        assert!(said.err.contains(says), "{said:?}");
    }
}

#[test]
fn open_prints_the_address_where_there_is_no_browser() {
    let fake = Fake::start();
    fake.on("GET /projects/shop/environments/production/services/web", data(service("web")));
    let said = Person::at(&fake).runs(&["open", "-s", "web"]).fine();
    assert_eq!(said.out, "http://web.shop.localhost:8080\n");
}
