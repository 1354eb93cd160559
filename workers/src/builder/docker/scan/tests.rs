//! Dockerfiles as people write them, and as attackers do.

use super::*;

fn scanned(text: &str) -> Result<Scanned, Refused> {
    let guarded =
        Guarded { prefixes: vec!["registry.example/services/".into(), "docker.io/switchback/".into()] };
    let arguments = BTreeMap::from([("GIVEN".to_owned(), "registry.example/services/other".to_owned())]);
    scan(text.as_bytes(), &Rules { remote_adds: false, guarded: &guarded, arguments: &arguments })
}

#[test]
fn a_usual_dockerfile_is_taken_as_it_is() {
    let text = "# A comment\n\nARG NODE=22\nFROM node:${NODE}-slim AS build\nWORKDIR /app\n\
                COPY --chown=node:node package*.json ./\n\
                RUN --mount=type=cache,target=/root/.npm \\\n  # why\n  --mount=type=secret,id=NPM_TOKEN \\\n\n  npm ci\n\
                ADD site.tar.gz /srv\nFROM scratch\nCOPY --from=build /app /app\nCOPY --from=0 /a /b\n\
                EXPOSE 3000/tcp 9000/udp\nONBUILD RUN true\nCMD [\"node\", \"x\"]\n";
    let found = scanned(text).expect("taken");
    assert_eq!(found.text, text);
    assert_eq!(found.ports.into_iter().collect::<Vec<_>>(), [3000]);
    assert_eq!(found.notes, Vec::<String>::new());
}

#[test]
fn the_engines_own_front_end_may_be_named_and_is_left_out() {
    let found = scanned("# syntax=docker/dockerfile:1.7\nFROM a\n").expect("taken");
    assert_eq!(found.text, "#\nFROM a\n");
    assert_eq!(found.notes.len(), 1);
}

#[test]
fn what_reaches_out_of_a_build_is_refused_with_its_line() {
    for (text, line) in [
        ("# syntax=evil/frontend\nFROM a", 1),
        ("#syntax = docker/dockerfile:1-labs\nFROM a", 1),
        ("\u{feff}# SYNTAX=evil\nFROM a", 1),
        ("# a\n#  Syntax=docker/dockerfile:1\nFROM a", 2),
        ("\n\n# syntax=docker/dockerfile:1\nFROM a", 3),
        ("// syntax=evil\nFROM a", 1),
        ("{\"syntax\": \"evil\"}\nFROM a", 1),
        ("# syntax=docker/dockerfile:1@sha256:00\nFROM a", 1),
        ("# x\n# escape=`\nFROM a", 2),
        ("FROM a\nRUN --security=insecure true", 2),
        ("FROM a\nrun --SECURITY=insecure true", 2),
        ("FROM a\nRUN --net\"work\"=host true", 2),
        ("FROM a\nRUN --network=ho\\st true", 2),
        ("FROM a\nRUN \\\n\n# c\n --network=host true", 2),
        ("# escape=`\nFROM a\nRUN `\n --network=host true", 3),
        ("FROM a\nRUN --mount=type=ssh true", 2),
        ("FROM a\nRUN --mount=target=/x,type=\\\"ssh\\\" true", 2),
        ("FROM a\nRUN --mount=type=host,target=/x true", 2),
        ("FROM a\nRUN --mount=type=cache,id=../other,target=/x true", 2),
        ("FROM a\nRUN --mount=type=cache,target=/x/../../y true", 2),
        ("FROM a\nRUN --mount=type=cache,id=$X,target=/x true", 2),
        ("FROM a\nRUN --mount=from=registry.example/services/x,target=/x true", 2),
        ("FROM a\nRUN --device=/dev/sda true", 2),
        ("FROM a\nADD http://169.254.169.254/x /x", 2),
        ("FROM a\nADD [\"https://example.com/x\", \"/x\"]", 2),
        ("FROM a\nADD 'ht'tps://example.com/x /x", 2),
        ("FROM a\nADD --chown=1 git@github.com:a/b.git /x", 2),
        ("FROM a\nADD github.com/a/b /x", 2),
        ("FROM a\nADD $X /x", 2),
        ("FROM a\nONBUILD ADD http://x /x", 2),
        ("FROM a\nRUN <<E\nADD http://x /x\nE", 3),
        ("FROM registry.example/services/other:x", 1),
        ("FROM --platform=linux/amd64 registry.example/services/other AS x", 1),
        ("FROM switchback/build:0190", 1),
        ("FROM 127.0.0.1:5000/x", 1),
        ("FROM localhost/x", 1),
        ("FROM 169.254.169.254/x", 1),
        ("FROM [::1]:5000/x", 1),
        ("FROM 127.1:5000/x", 1),
        ("FROM metadata.google.internal/x", 1),
        ("ARG A=registry.example\nARG B=services/x\nFROM ${A}/$B", 3),
        ("ARG GIVEN=a\nFROM $GIVEN", 2),
        ("ARG A\nFROM ${A:-localhost}/x", 2),
        ("ARG A\nFROM ${A#x}", 2),
        ("ARG A=$\"\"{B}\nFROM $A", 2),
        ("FROM a\nCOPY --from=docker.io/switchback/build:x / /x", 2),
        ("FROM a\nCOPY --from=$X / /x", 2),
    ] {
        let refused = scanned(text).expect_err(text);
        assert_eq!(refused.line, line, "{text:?}: {refused}");
    }
}

#[test]
fn a_setting_lets_addresses_be_added() {
    let guarded = Guarded::default();
    let arguments = BTreeMap::new();
    let rules = Rules { remote_adds: true, guarded: &guarded, arguments: &arguments };
    assert!(scan(b"FROM a\nADD https://example.com/x /x", &rules).is_ok());
}

#[test]
fn a_file_too_large_or_in_no_text_is_refused() {
    let most = format!("FROM a\n{}", "#\n".repeat(LINES_MAX - 1));
    assert!(scanned(&most).is_ok());
    assert!(scanned(&format!("{most}#\n")).is_err());
    let guarded = Guarded::default();
    let arguments = BTreeMap::new();
    let rules = Rules { remote_adds: false, guarded: &guarded, arguments: &arguments };
    assert_eq!(scan(b"FROM a\nRUN \xff", &rules).expect_err("not text").line, 2);
    assert!(scan(&vec![b'#'; SIZE_MAX + 1], &rules).is_err());
}

#[test]
fn no_text_makes_it_fail_other_than_by_saying_so() {
    // What a fuzzer would find first.
    for text in [
        "",
        "\\",
        "FROM",
        "FROM\\",
        "RUN --",
        "RUN --\"",
        "ONBUILD",
        "ONBUILD ONBUILD RUN x",
        "ADD",
        "ARG",
        "ARG =",
        "FROM $",
        "FROM ${",
        "EXPOSE x/y/z 99999",
    ] {
        let _ = scanned(text);
    }
}
