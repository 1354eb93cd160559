//! A directory that is no repository: sent as it is, `.gitignore` honoured.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use crate::deploy::{DIGEST, asked_to_deploy, sent, server};
use crate::follow::SERVICE;
use crate::person::Person;

fn names(sent: &[(String, String)]) -> Vec<&str> {
    sent.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn what_gitignore_names_is_left_out() {
    let fake = server();
    let person = Person::at(&fake);
    person
        .writes(".gitignore", "node_modules/\n*.log\n!keep.log\n/dist\n")
        .writes(".env.example", "A=")
        .writes("server.js", "listen()")
        .writes("node_modules/left-pad/index.js", "pad")
        .writes("debug.log", "x")
        .writes("keep.log", "y")
        .writes("dist/out.js", "x")
        .writes("src/dist/in.js", "y")
        .writes("src/.gitignore", "generated.js\n")
        .writes("src/generated.js", "x")
        .writes(".ignore", "server.js\n");
    person.runs(&["deploy"]).fine();
    let expected = [
        ".env.example",
        ".gitignore",
        ".ignore",
        "keep.log",
        "server.js",
        "src/.gitignore",
        "src/dist/in.js",
    ];
    assert_eq!(names(&sent(&fake)), expected);
    let source = serde_json::json!({"kind": "upload", "digest": DIGEST});
    assert_eq!(asked_to_deploy(&fake)["source"], source);
}

#[test]
fn links_stay_links_and_modes_stay_modes() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("run", "#!/usr/bin/env node").writes("a.txt", "a");
    fs::set_permissions(person.directory().join("run"), Permissions::from_mode(0o755)).unwrap();
    symlink("a.txt", person.directory().join("link")).unwrap();
    symlink("/etc/passwd", person.directory().join("outside")).unwrap();
    symlink(".", person.directory().join("loop")).unwrap();
    let long = format!("{}/{}.txt", "d".repeat(90), "f".repeat(120));
    person.writes(&long, "long");
    person.runs(&["deploy"]).fine();
    let sent = sent(&fake);
    let find = |name: &str| sent.iter().find(|(found, _)| found == name).map(|(_, text)| text.as_str());
    assert_eq!(find("link"), Some("-> a.txt"));
    assert_eq!(find("outside"), Some("-> /etc/passwd"));
    assert_eq!(find("loop"), Some("-> ."));
    assert_eq!(find("run"), Some("#!/usr/bin/env node (executable)"));
    assert_eq!(find("a.txt"), Some("a"));
    assert_eq!(find(&long), Some("long"));
}

#[test]
fn the_same_directory_gives_the_same_bytes() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("b", "b").writes("a/c", "c").writes("a.b", "d");
    person.runs(&["deploy"]).fine();
    person.runs(&["deploy"]).fine();
    let uploads = fake.asked_for(&format!("POST {SERVICE}/sources"));
    assert_eq!(uploads[0].body, uploads[1].body);
    assert_eq!(uploads[0].header("content-type"), Some("application/gzip"));
    assert_eq!(uploads[0].header("content-length"), Some(uploads[0].body.len().to_string().as_str()));
}

#[test]
fn what_is_no_file_is_left_out_and_said() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("a.txt", "a");
    let _socket = UnixListener::bind(person.directory().join("app.sock")).unwrap();
    let said = person.runs(&["deploy"]).fine();
    assert_eq!(names(&sent(&fake)), ["a.txt"]);
    assert!(
        said.err.contains("sockets, pipes and devices are not part of this deployment: app.sock"),
        "{said:?}"
    );
}

#[test]
fn a_directory_without_files_is_refused_and_nothing_is_made() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes(".gitignore", "*\n").writes("a.txt", "a");
    let said = person.runs(&["deploy"]).failed(2);
    assert!(said.err.contains("there are no files in"), "{said:?}");
    assert!(fake.asked().is_empty());
}

#[test]
fn an_upload_that_breaks_is_sent_again() {
    let fake = crate::fake::Fake::start();
    fake.on(&format!("GET {SERVICE}"), crate::fake::data(serde_json::json!({})));
    let upload = format!("POST {SERVICE}/sources");
    let digest = serde_json::json!({"digest": DIGEST});
    fake.on(&upload, crate::fake::data(digest.clone()).then_breaks());
    fake.on(&upload, crate::fake::data(digest));
    let refused = crate::fake::refusal(409, "nothing_deployed", "enough for this test");
    fake.on(&format!("POST {SERVICE}/deployments"), refused);
    let person = Person::at(&fake);
    person.writes("a.txt", &"a".repeat(300_000));
    person.runs(&["deploy"]).failed(5);
    let uploads = fake.asked_for(&upload);
    assert_eq!(uploads.len(), 2);
    assert_eq!(uploads[0].body, uploads[1].body);
}

#[test]
fn a_reference_needs_a_repository() {
    let fake = server();
    let person = Person::at(&fake);
    person.writes("a.txt", "a");
    let said = person.runs(&["deploy", "--ref", "main"]).failed(2);
    assert!(said.err.contains("--ref main needs a repository"), "{said:?}");
}
