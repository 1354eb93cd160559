//! A repository on this machine: what was committed is sent, with its revision.

use std::fs;

use serde_json::json;

use crate::deploy::{DIGEST, asked_to_deploy, sent, server};
use crate::fake::Fake;
use crate::person::{Person, Said};

fn deploys(words: &[&str], person: &Person) -> Said {
    person.runs(&[&["deploy"], words].concat())
}

#[test]
fn what_was_committed_is_sent_and_what_was_not_is_told() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("a.txt", "committed").writes("b.txt", "b").writes("old.txt", "same");
    let revision = person.commits("Say hello\n\nIn more words.");
    person.writes("a.txt", "changed").writes("new.txt", "new");
    fs::remove_file(person.directory().join("b.txt")).unwrap();
    person.git(".", &["mv", "old.txt", "renamed.txt"]);
    let said = deploys(&[], &person).fine();
    assert!(
        said.err.contains("warning: 4 uncommitted changes are not part of this deployment\n"),
        "{said:?}"
    );
    let expected = [("a.txt", "committed"), ("b.txt", "b"), ("old.txt", "same")];
    assert_eq!(sent(&fake), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let revision = json!({"id": revision, "subject": "Say hello"});
    let source = json!({"kind": "upload", "digest": DIGEST, "revision": revision});
    assert_eq!(asked_to_deploy(&fake)["source"], source);
}

#[test]
fn one_change_is_one_change_and_none_is_not_worth_a_word() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("a.txt", "a");
    person.commits("First");
    assert!(!deploys(&[], &person).fine().err.contains("uncommitted"));
    person.writes("b.txt", "b");
    let said = deploys(&[], &person).fine();
    assert!(said.err.contains("1 uncommitted change is not part of this deployment"), "{said:?}");
    assert!(!deploys(&["--ref", "main"], &person).fine().err.contains("uncommitted"));
    let said = person.runs(&["deploy", "--json"]).fine();
    assert!(said.err.contains("1 uncommitted change"), "{said:?}");
}

#[test]
fn a_branch_a_tag_and_a_revision_can_be_named() {
    let person_fake = Fake::start();
    let person = Person::at(&person_fake);
    person.writes("a.txt", "one");
    let first = person.commits("First");
    person.git(".", &["tag", "-a", "v1.0", "-m", "the first"]);
    person.git(".", &["branch", "old"]);
    person.writes("a.txt", "two");
    person.commits("Second");
    for reference in ["v1.0", "old", &first, &first[..10]] {
        let fake = server();
        let mut command = person.command(&["deploy", "--ref", reference]);
        let said: Said = command.env("SWITCHBACK_URL", &fake.url).output().unwrap().into();
        said.fine();
        assert_eq!(sent(&fake), [("a.txt".to_owned(), "one".to_owned())], "{reference}");
        assert_eq!(asked_to_deploy(&fake)["source"]["revision"]["id"], json!(first));
    }
    let said = deploys(&["--ref", "nosuch"], &person).failed(3);
    assert!(said.err.contains("has no branch, tag or revision `nosuch`"), "{said:?}");
    assert!(person_fake.asked().is_empty());
}

#[test]
fn a_directory_of_a_repository_is_sent_alone() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("apps/web/index.html", "web").writes("apps/api/main.py", "api");
    person.commits("Two applications");
    person.writes("apps/api/new.py", "elsewhere");
    let said = deploys(&["apps/web", "-p", "shop"], &person).fine();
    assert_eq!(sent(&fake), [("index.html".to_owned(), "web".to_owned())]);
    assert!(!said.err.contains("uncommitted"), "{said:?}");
}

#[test]
fn a_directory_that_the_repository_around_it_does_not_know_is_sent_as_it_is() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("README", "x").writes(".gitignore", "tmp/\n");
    person.commits("First");
    person.writes("tmp/site/index.html", "site");
    deploys(&["tmp/site", "-p", "shop"], &person).fine();
    assert_eq!(sent(&fake), [("index.html".to_owned(), "site".to_owned())]);
    assert_eq!(asked_to_deploy(&fake)["source"]["revision"], json!(null));
}

#[test]
fn a_bare_repository_is_one_too() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("work/a.txt", "a");
    person.git("work", &["init", "--quiet"]);
    person.git("work", &["add", "--all"]);
    person.git("work", &["commit", "--quiet", "--message", "First"]);
    person.git(".", &["clone", "--quiet", "--bare", "work", "bare.git"]);
    deploys(&["bare.git", "-p", "shop"], &person).fine();
    assert_eq!(sent(&fake), [("a.txt".to_owned(), "a".to_owned())]);
}

#[test]
fn a_repository_without_commits_is_refused() {
    let fake = server();
    let person = Person::at(&fake);
    person.git(".", &["init", "--quiet"]);
    person.writes("a.txt", "a");
    let said = deploys(&[], &person).failed(2);
    assert!(said.err.contains("has no commits yet"), "{said:?}");
    assert!(said.err.contains("commit something first"), "{said:?}");
    assert!(fake.asked().is_empty());
}

#[test]
fn a_repository_that_git_cannot_read_is_not_taken_for_a_directory() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("a.txt", "a");
    person.commits("First");
    fs::write(person.directory().join(".git/HEAD"), "nonsense").unwrap();
    let said = deploys(&[], &person).failed(1);
    assert!(said.err.contains("read the repository"), "{said:?}");
    assert!(fake.asked().is_empty());
}

#[test]
fn without_git_a_repository_is_refused_and_a_directory_is_not() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("a.txt", "a");
    let without_git = |person: &Person| -> Said {
        person.command(&["deploy"]).env("PATH", "/nonexistent").output().unwrap().into()
    };
    without_git(&person).fine();
    person.commits("First");
    let said = without_git(&person).failed(1);
    assert!(said.err.contains("start git, which is needed"), "{said:?}");
}

#[test]
fn submodules_are_not_sent_and_that_is_said() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("a.txt", "a").writes("lib/b.txt", "b");
    person.git("lib", &["init", "--quiet"]);
    person.git("lib", &["add", "--all"]);
    person.git("lib", &["commit", "--quiet", "--message", "Library"]);
    // As git adds a repository within a repository.
    person.commits("First");
    let said = deploys(&[], &person).fine();
    assert!(said.err.contains("submodules (1) are not part of this deployment"), "{said:?}");
    assert_eq!(sent(&fake), [("a.txt".to_owned(), "a".to_owned())]);
}
