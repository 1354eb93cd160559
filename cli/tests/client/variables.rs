//! Variables: set, removed, imported, compared; never shown unasked.

use serde_json::json;

use crate::fake::{Fake, data};
use crate::follow::SERVICE;
use crate::person::Person;

const ABOUT: [&str; 4] = ["-p", "shop", "-s", "web"];

fn runs(person: &Person, words: &[&str]) -> crate::person::Said {
    person.runs(&[words, &ABOUT].concat())
}

fn server() -> Fake {
    let fake = Fake::start();
    fake.on(&format!("PATCH {SERVICE}/variables"), data(json!({"deployment": null, "changed": true})));
    fake
}

#[test]
fn values_go_to_the_server_and_not_to_the_screen() {
    let fake = server();
    let person = Person::at(&fake);
    let said = runs(&person, &["variables", "set", "A=hunter2=x", "B=", "--no-deploy"]).fine();
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", "Set A, B.\nThe next deployment takes it up.\n"));
    let body = json!({"set": {"A": "hunter2=x", "B": ""}, "unset": [], "deploy": false});
    assert_eq!(fake.asked()[0].json(), body);
    let said = runs(&person, &["variables", "unset", "A", "B"]).fine();
    assert_eq!(said.err, "Removed A, B.\nNothing has to be deployed.\n");
    assert_eq!(fake.asked()[1].json(), json!({"set": {}, "unset": ["A", "B"], "deploy": true}));
}

#[test]
fn a_value_may_come_from_standard_input() {
    let fake = server();
    let person = Person::at(&fake);
    let words = [&["variables", "set", "KEY", "--stdin", "--no-deploy"][..], &ABOUT].concat();
    person.pipes("two\nlines\n", &words).fine();
    assert_eq!(fake.asked()[0].json()["set"], json!({"KEY": "two\nlines"}));
    for words in [&["variables", "set", "A", "B", "--stdin"][..], &["variables", "set", "A=b", "--stdin"]] {
        person.pipes("x", &[words, &ABOUT].concat()).failed(2);
    }
    assert_eq!(fake.asked().len(), 1);
}

#[test]
fn a_file_is_imported() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes(".env", "# mine\nexport A='x y'\nB=\"two\\nlines\"\n");
    runs(&person, &["variables", "import", ".env", "--no-deploy"]).fine();
    assert_eq!(fake.asked()[0].json()["set"], json!({"A": "x y", "B": "two\nlines"}));
    person.writes(".env", "A=1\nhunter2\n");
    let said = runs(&person, &["variables", "import", ".env"]).failed(2);
    assert!(said.err.contains(".env, line 2: it has no `=`"), "{said:?}");
    assert!(!said.err.contains("hunter2"), "{said:?}");
    runs(&person, &["variables", "import", "nosuch"]).failed(1);
    assert_eq!(fake.asked().len(), 1);
}

#[test]
fn a_bad_name_is_refused_before_anything_is_sent() {
    let fake = server();
    let said = runs(&Person::at(&fake), &["variables", "set", "lower=hunter2"]).failed(2);
    assert!(said.err.contains("capital letters") && !said.err.contains("hunter2"), "{said:?}");
    assert!(fake.asked().is_empty());
}

#[test]
fn values_are_masked_unless_they_are_asked_for() {
    let fake = Fake::start();
    let variable =
        |value: Option<&str>, deployed: bool| json!({"name": "KEY", "value": value, "deployed": deployed});
    fake.on(&format!("GET {SERVICE}/variables?reveal=false"), data(json!([variable(None, false)])));
    fake.on(&format!("GET {SERVICE}/variables?reveal=true"), data(json!([variable(Some("hunter2"), true)])));
    let person = Person::at(&fake);
    let said = runs(&person, &["variables", "list"]).fine();
    insta::assert_snapshot!(said.out, @"
    NAME  DEPLOYED  VALUE
    KEY   not yet   ********
    ");
    let said = runs(&person, &["variables", "list", "--reveal"]).fine();
    insta::assert_snapshot!(said.out, @"
    NAME  DEPLOYED  VALUE
    KEY   yes       hunter2
    ");
}

#[test]
fn two_environments_are_compared_by_names_or_by_values() {
    let fake = Fake::start();
    let there = SERVICE.replace("production", "staging");
    let listed = |variables: &[(&str, Option<&str>)]| {
        let listed =
            variables.iter().map(|(name, value)| json!({"name": name, "value": value, "deployed": true}));
        data(json!(listed.collect::<Vec<_>>()))
    };
    fake.on(&format!("GET {SERVICE}/variables?reveal=false"), listed(&[("A", None), ("B", None)]));
    fake.on(&format!("GET {there}/variables?reveal=false"), listed(&[("B", None), ("C", None)]));
    fake.on(&format!("GET {SERVICE}/variables?reveal=true"), listed(&[("A", Some("1")), ("B", Some("2"))]));
    fake.on(&format!("GET {there}/variables?reveal=true"), listed(&[("B", Some("3")), ("C", Some("4"))]));
    let person = Person::at(&fake);
    let said = runs(&person, &["variables", "diff", "staging"]).fine();
    insta::assert_snapshot!(said.out, @"
    NAME  production  staging
    A     set         -
    C     -           set
    ");
    assert!(said.err.contains("--reveal"), "{said:?}");
    let said = runs(&person, &["variables", "diff", "staging", "--reveal", "--json"]).fine();
    let expected = json!([
        {"name": "A", "production": "1", "staging": null},
        {"name": "B", "production": "2", "staging": "3"},
        {"name": "C", "production": null, "staging": "4"},
    ]);
    assert_eq!(said.json(), expected);
}
