//! Rollback: the plan, the doing of it, and how it is undone.

use serde_json::json;

use crate::fake::{Fake, data, event, status, stream};
use crate::follow::{ID, SERVICE, deployment};
use crate::person::Person;

fn plan() -> serde_json::Value {
    json!({
        "from": "v7", "to": "v5", "discarded": ["DRAFT"],
        "changes": [
            {"what": "revision", "text": "revision: bbbbbbb → aaaaaaa"},
            {"what": "variable_removed", "text": "variable DEBUG is removed"},
        ],
    })
}

fn server() -> Fake {
    let fake = Fake::start();
    let dry = format!("POST {SERVICE}/rollback?dry_run=true");
    fake.on(&dry, data(json!({"plan": plan()})));
    let begun =
        json!({"data": {"deployment": deployment("PENDING"), "plan": plan()}, "meta": {"position": 9}});
    fake.on(&format!("POST {SERVICE}/rollback"), status(202, begun));
    let mut done = deployment("SUCCESS");
    done["release"] = json!("v8");
    fake.on(&format!("GET /deployments/{ID}/logs"), stream(&[event("status", None, &done)]));
    fake
}

#[test]
fn the_plan_is_shown_then_done_and_undoing_it_is_told() {
    let fake = server();
    let said = Person::at(&fake).runs(&["rollback", "v5", "-p", "shop", "-s", "web"]).fine();
    insta::assert_snapshot!(said.out, @"
    v7 → v5, as a new release
      revision: bbbbbbb → aaaaaaa
      variable DEBUG is removed
      changes that were not deployed yet are lost: DRAFT
    v8 is live after 12.3 s: http://web.shop.localhost:8080
    ");
    assert_eq!(said.err, "To undo: switchback rollback v7 -p shop -s web\n");
    let asked = fake.asked();
    assert_eq!((asked[0].json(), asked[1].json()), (json!({"to": "v5"}), json!({"to": "v5"})));
    assert_eq!(asked[1].path, format!("{SERVICE}/rollback"));
}

#[test]
fn what_was_shown_is_what_is_done() {
    for (words, asked_for) in [
        (&[][..], json!({})),
        (&["--position", "1042"], json!({"position": 1042})),
        (&["--at", "2026-10-05T14:00:00Z"], json!({"at": "2026-10-05T14:00:00Z"})),
    ] {
        let fake = server();
        let words = [&["rollback", "-y", "-p", "shop", "-s", "web"][..], words].concat();
        Person::at(&fake).runs(&words).fine();
        let asked = fake.asked();
        assert_eq!((asked[0].json(), asked[1].json()), (asked_for, json!({"to": "v5"})));
    }
}

#[test]
fn a_plan_alone_changes_nothing() {
    let fake = server();
    let person = Person::at(&fake);
    let words = ["rollback", "--plan", "-p", "shop", "-s", "web"];
    let said = person.runs(&words).fine();
    assert!(said.out.contains("variable DEBUG is removed"), "{said:?}");
    assert_eq!(person.runs(&[&words[..], &["--json"]].concat()).fine().json(), plan());
    assert!(fake.lines().iter().all(|line| line.ends_with("dry_run=true")), "{:?}", fake.lines());
}

#[test]
fn with_json_it_ends_with_from_to_and_release() {
    let fake = server();
    let said = Person::at(&fake).runs(&["rollback", "--json", "-p", "shop", "-s", "web"]).fine();
    let records = said.records();
    let last = records.last().expect("a result");
    assert_eq!((&last["from"], &last["to"], &last["release"]), (&json!("v7"), &json!("v5"), &json!("v8")));
    assert_eq!(last["deployment"], ID);
    assert_eq!(said.err, "");
}
