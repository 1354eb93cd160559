//! Signing in, and where the token goes: nowhere but to its server.

use std::fs;
use std::io::Write;

use serde_json::json;

use crate::fake::{Fake, data, refusal};
use crate::person::{Person, is_private};

fn me() -> serde_json::Value {
    let (user, organization) = (json!({"id": "u1", "name": "owner"}), json!({"id": "o1", "name": "home"}));
    json!({"user": user, "organization": organization, "role": "owner"})
}

#[test]
fn a_token_that_works_is_kept_privately_and_used_from_then_on() {
    let fake = Fake::start();
    fake.on("GET /auth/me", data(me()));
    let person = Person::signed_out();
    let said = person.pipes("sbk_secret\n", &["login", &fake.url]).fine();
    assert_eq!(said.out, format!("Signed in to {}/ as owner.\n", fake.url));
    assert!(is_private(&person.credentials()));
    let said = person.runs(&["whoami"]).fine();
    assert_eq!(said.out.lines().next(), Some("user          owner"));
    let tokens: Vec<_> =
        fake.asked().iter().map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    assert_eq!(tokens, vec![Some("Bearer sbk_secret".to_owned()); 2]);
    assert!(!format!("{said:?}").contains("sbk_secret"));
    person.runs(&["logout"]).fine();
    assert!(!fs::read_to_string(person.credentials()).unwrap().contains("sbk_secret"));
}

#[test]
fn a_token_that_does_not_work_is_not_kept() {
    let fake = Fake::start();
    fake.on("GET /auth/me", refusal(401, "token_invalid", "the token does not work"));
    let person = Person::signed_out();
    person.pipes("sbk_wrong", &["login", &fake.url, "--token-stdin"]).failed(4);
    person.pipes("", &["login", &fake.url]).failed(2);
    person.pipes("two words", &["login", &fake.url]).failed(2);
    assert!(!person.credentials().exists());
}

#[test]
fn a_token_is_never_among_the_arguments_of_the_process() {
    let fake = Fake::start();
    fake.on("GET /auth/me", data(me()).then_is_silent());
    let person = Person::signed_out();
    let mut login = person.starts(&["login", &fake.url, "--token-stdin"]);
    login.stdin.take().unwrap().write_all(b"sbk_secret\n").unwrap();
    while fake.asked().is_empty() {
        assert!(login.try_wait().unwrap().is_none(), "it waits for the answer");
        std::thread::yield_now();
    }
    // It has the token by now, and uses it.
    let arguments = fs::read(format!("/proc/{}/cmdline", login.id())).unwrap();
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    login.kill().unwrap();
    login.wait().unwrap();
    assert!(arguments.contains("login") && !arguments.contains("sbk_"), "{arguments:?}");
    assert_eq!(fake.asked()[0].header("authorization"), Some("Bearer sbk_secret"));
}

#[test]
fn a_token_is_shown_when_it_is_made_and_only_then() {
    let fake = Fake::start();
    fake.on("POST /auth/tokens", data(json!({"id": "t1", "name": "ci", "token": "sbk_new"})));
    let listed = json!([{"id": "t1", "name": "ci", "created_at": "2026-10-05T14:00:00Z"}]);
    fake.on("GET /auth/tokens", data(listed));
    let person = Person::at(&fake);
    assert_eq!(person.runs(&["tokens", "create", "ci"]).fine().out, "sbk_new\n");
    assert_eq!(person.runs(&["tokens", "create", "ci", "-q"]).fine().out, "sbk_new\n");
    assert!(!person.runs(&["tokens", "list"]).fine().out.contains("sbk_"));
}

#[test]
fn the_environment_comes_before_the_file() {
    let (fake, other) = (Fake::start(), Fake::start());
    fake.on("GET /auth/me", data(me()));
    other.on("GET /auth/me", data(me()));
    let person = Person::signed_out();
    person.pipes("sbk_one", &["login", &fake.url]).fine();
    let mut command = person.command(&["whoami"]);
    command.env("SWITCHBACK_URL", &other.url).env("SWITCHBACK_TOKEN", "sbk_two");
    assert!(command.status().unwrap().success());
    assert_eq!(other.asked()[0].header("authorization"), Some("Bearer sbk_two"));
    let mut command = person.command(&["whoami"]);
    command.env("SWITCHBACK_URL", &other.url);
    command.status().unwrap();
    assert_eq!(other.asked()[1].header("authorization"), None, "a token goes to its own server only");
}

#[test]
fn credentials_that_are_damaged_are_an_error_and_stay() {
    let fake = Fake::start();
    let person = Person::signed_out();
    fs::create_dir_all(person.credentials().parent().unwrap()).unwrap();
    fs::write(person.credentials(), "{").unwrap();
    let said = person.runs(&["whoami", "--url", &fake.url]).failed(1);
    assert!(said.err.contains("credentials.json"), "{said:?}");
    assert_eq!(fs::read(person.credentials()).unwrap(), b"{");
}
