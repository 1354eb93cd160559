//! Exit codes, and what is said when something does not work.

use serde_json::json;

use crate::fake::{Fake, data, refusal, status};
use crate::person::Person;

#[test]
fn each_refusal_has_its_exit_code() {
    for (status, word, code) in [
        (400, "parameter_invalid", 2),
        (422, "name_length", 2),
        (401, "token_invalid", 4),
        (403, "forbidden", 4),
        (404, "project_not_found", 3),
        (409, "project_not_empty", 5),
        (412, "changed", 5),
        (504, "timed_out", 6),
        (500, "internal", 1),
    ] {
        let fake = Fake::start();
        fake.on("GET /projects/shop", refusal(status, word, "it is as it is"));
        let said = Person::at(&fake).runs(&["projects", "show", "shop"]).failed(code);
        assert!(said.err.contains("it is as it is"), "{said:?}");
        assert_eq!(said.out, "", "{said:?}");
    }
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    let person = Person::signed_out();
    person.runs(&["nonsense"]).failed(2);
    person.runs(&["scale", "many"]).failed(2);
    person.runs(&["rollback", "v2", "--at", "1h"]).failed(2);
    person.runs(&["login", "--token", "sbk_x"]).failed(2);
    let said = person.runs(&["rollback", "--help"]).fine();
    assert!(said.out.contains("switchback rollback --plan"), "{said:?}");
    person.runs(&["--version"]).fine();
}

#[test]
fn a_server_that_is_not_there_is_named_with_how_to_start_one() {
    let person = Person::signed_out();
    let said = person.runs(&["projects", "list", "--url", "http://127.0.0.1:1"]).failed(1);
    assert_eq!(
        said.err,
        "error: no server answers at http://127.0.0.1:1/\n\
         next: start one with `switchback up`, or name another with --url\n"
    );
}

#[test]
fn something_else_that_answers_is_not_taken_for_a_server() {
    let fake = Fake::start();
    fake.on("GET /projects", status(200, json!("<html>")).with("content-type", "text/html"));
    fake.on("GET /auth/me", status(302, json!({})).with("location", "https://elsewhere.example/"));
    let person = Person::at(&fake);
    let said = person.runs(&["projects", "list"]).failed(1);
    assert!(said.err.contains("is not a Switchback server"), "{said:?}");
    let said = person.runs(&["whoami"]).failed(1);
    assert!(said.err.contains("sends requests on to https://elsewhere.example/"), "{said:?}");
}

#[test]
fn a_failure_with_json_is_a_document_on_standard_error() {
    let fake = Fake::start();
    fake.on("GET /projects/shop", refusal(404, "project_not_found", "there is no project `shop`"));
    let said = Person::at(&fake).runs(&["projects", "show", "shop", "--json"]).failed(3);
    let error: serde_json::Value = serde_json::from_str(&said.err).expect("JSON");
    assert_eq!(error["error"]["code"], "project_not_found");
    assert_eq!(error["exit"], 3);
    assert_eq!(said.out, "");
}

#[test]
fn details_and_the_next_thing_to_try_are_said() {
    let fake = Fake::start();
    let detail = json!([{"field": "name", "issue": "it has 2 characters"}]);
    let error = json!({"code": "name_length", "message": "the name is wrong", "details": detail});
    fake.on("PATCH /projects/shop", status(422, json!({"error": error})));
    fake.on("GET /projects/shop", refusal(401, "token_invalid", "the token does not work"));
    let person = Person::at(&fake);
    let said = person.runs(&["projects", "rename", "shop", "store"]).failed(2);
    assert_eq!(said.err, "error: the name is wrong\n  name: it has 2 characters\n");
    let said = person.runs(&["projects", "show", "shop"]).failed(4);
    assert_eq!(said.err, "error: the token does not work\nnext: sign in with `switchback login`\n");
}

#[test]
fn a_name_cannot_lead_to_another_address() {
    let fake = Fake::start();
    fake.on("GET /projects/a%2Fb%3Fc", data(json!(null)));
    let person = Person::at(&fake);
    for name in ["..", ".", ""] {
        person.runs(&["projects", "show", name]).failed(2);
        person.runs(&["projects", "delete", name, "-y"]).failed(2);
    }
    person.runs(&["projects", "show", "a/b?c"]);
    assert_eq!(fake.lines(), ["GET /projects/a%2Fb%3Fc"]);
}

#[test]
fn deleting_takes_consent() {
    let fake = Fake::start();
    fake.on("DELETE /projects/shop", status(204, json!(null)));
    let person = Person::at(&fake);
    let said = person.runs(&["projects", "delete", "shop"]).failed(2);
    assert!(said.err.contains("-y"), "{said:?}");
    assert_eq!(fake.lines(), Vec::<String>::new());
    assert_eq!(person.runs(&["projects", "delete", "shop", "-y"]).fine().out, "Deleted project shop.\n");
}
