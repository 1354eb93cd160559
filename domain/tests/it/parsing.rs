//! Nothing that anybody writes makes a rule panic, and what a rule has taken is read back from its event as
//! it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::str::FromStr;

use domain::command_line::{CommandLine, InvalidCommand};
use domain::digest::Digest;
use domain::hostname::Hostname;
use domain::id::DeploymentId;
use domain::manifest::Manifest;
use domain::name::{EnvironmentName, ProjectName, ServiceName, VariableName};
use domain::service::release::{InstanceId, ReleaseNumber};
use domain::source::{GitRef, RepositoryUrl, RevisionId};
use domain::stream::StreamId;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What was taken stands in events as JSON, for ever: it must read back as the same.
fn reads_back<T>(text: &str) -> Result<(), TestCaseError>
where
    T: FromStr + Serialize + DeserializeOwned + PartialEq + Debug,
{
    if let Ok(value) = text.parse::<T>() {
        let json = serde_json::to_value(&value).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let again = serde_json::from_value::<T>(json);
        prop_assert!(again.is_ok(), "{:?} cannot be read back: {:?}", value, again);
        prop_assert_eq!(again.ok(), Some(value));
    }
    Ok(())
}

fn all_read_back(text: &str) -> Result<(), TestCaseError> {
    reads_back::<ProjectName>(text)?;
    reads_back::<EnvironmentName>(text)?;
    reads_back::<ServiceName>(text)?;
    reads_back::<VariableName>(text)?;
    reads_back::<Hostname>(text)?;
    reads_back::<Digest>(text)?;
    reads_back::<RevisionId>(text)?;
    reads_back::<InstanceId>(text)?;
    reads_back::<DeploymentId>(text)?;
    reads_back::<GitRef>(text)?;
    reads_back::<RepositoryUrl>(text)?;
    reads_back::<CommandLine>(text)?;
    Ok(())
}

/// Something like an address: what people type, and what the rules look at.
fn address() -> impl Strategy<Value = String> {
    let protocol = prop::sample::select(vec![
        "https://", "ssh://", "file://", "http://", "git@", "ext::", "https:", "file:", "ssh:", "", "FILE://",
    ]);
    let host = prop::sample::select(vec![
        "host",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[2001:db8:0:0:0:0:0:1]",
        "HOST",
        "u@host",
        "u:p@host",
        "-x",
        "a.b",
        "",
        "bücher.example",
        "0x7f.1",
        "h%41",
    ]);
    let path = prop::sample::select(vec![
        "/a", "/a/b.git", "/a%2fb", "/ö ä", "/../x", "/./", "//", "", ":a/b", "/-x", "/a\\b", "/a?x", "/a#x",
        "/a::b", "/|c:/x", ":8080/a",
    ]);
    (protocol, host, path, ".{0,3}").prop_map(|(a, b, c, d)| format!("{a}{b}{c}{d}"))
}

/// Something like a command line.
fn line() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "cd",
        "exec",
        "X=1",
        "'b c'",
        "\"d $E f\"",
        "$PORT",
        "${PORT:-80}",
        "&&",
        " ",
        "\\ ",
        "\\",
        "\"",
        "'",
        "$",
        "${",
        "}",
        "|",
        ";",
        "\t",
        "ö",
        "=",
        "../x",
        "/y",
        "--flag=1",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Something like `switchback.toml`.
fn manifest() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "[run]",
        "[service]",
        "[build]",
        "[",
        "port",
        "command",
        "memory",
        "cpu",
        "drain",
        "health",
        "root",
        "name",
        "dockerfile",
        "replicas",
        "project",
    ]);
    let value = prop::sample::select(vec![
        "",
        " = 1",
        " = -1",
        " = \"\"",
        " = \"10s\"",
        " = \"1Gi\"",
        " = \"./x/../y\"",
        " = 1e400",
        " = nan",
        " = { path = \"/x\" }",
        " = { timeout = \"99999999999999999999s\" }",
        " = [[[[",
        " = \"ö\"",
        " = \"99999999999999999999Gi\"",
        " = 9223372036854775807",
        " = \"\"\"",
    ]);
    let part = (key, value).prop_map(|(key, value)| format!("{key}{value}\n"));
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn argument_comes_from(line: &str, argument: &str) -> bool {
    // Quotes and backslashes go, and nothing else does: the characters stand in the line in the same order.
    let mut rest = line.chars();
    argument.chars().all(|c| rest.any(|found| found == c))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_taken_or_refused(text in ".{0,300}") {
        all_read_back(&text)?;
        let _ = text.parse::<ReleaseNumber>();
        let _ = text.parse::<StreamId>();
        let _ = Manifest::parse(&text);
    }

    #[test]
    fn any_bytes_that_are_text_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        all_read_back(&text)?;
        let _ = Manifest::parse(&text);
    }

    #[test]
    fn an_address_that_is_taken_is_put_together_the_same_way_again(text in address()) {
        reads_back::<RepositoryUrl>(&text)?;
        if let Ok(url) = text.parse::<RepositoryUrl>() {
            prop_assert!(["https", "ssh", "file", "http"].contains(&url.protocol()));
            prop_assert!(url.as_str().starts_with(&format!("{}://", url.protocol())), "{}", url);
            prop_assert!(!url.as_str().contains(char::is_whitespace), "{}", url);
            let _ = url.stem();
        }
    }

    #[test]
    fn names_of_branches_never_look_like_an_option(text in "[-a-z@{}./~^: ]{0,12}") {
        reads_back::<GitRef>(&text)?;
        if let Ok(reference) = text.parse::<GitRef>() {
            prop_assert!(!reference.as_str().starts_with('-'));
        }
    }

    #[test]
    fn names_at_the_border_of_the_rules_are_taken_or_refused(text in "[-_a-zA-Z0-9.öÄ\u{200b}]{0,60}") {
        all_read_back(&text)?;
        if let Ok(project) = text.parse::<ProjectName>() {
            let slug = project.slug();
            prop_assert!(slug.parse::<Hostname>().is_ok(), "{} of {}", slug, text);
        }
    }

    #[test]
    fn every_argument_comes_from_the_text_of_its_command(line in line()) {
        reads_back::<CommandLine>(&line)?;
        let Ok(command) = line.parse::<CommandLine>() else { return Ok(()) };
        for invocation in command.invocations(&BTreeMap::new()) {
            prop_assert!(!invocation.arguments.is_empty());
            for argument in &invocation.arguments {
                prop_assert!(argument_comes_from(&line, argument), "{:?} is not in {:?}", argument, line);
            }
        }
    }

    #[test]
    fn a_value_never_makes_an_argument_more_or_less(line in line(), value in ".{0,20}") {
        let Ok(command) = line.parse::<CommandLine>() else { return Ok(()) };
        let count = |value: &str| -> Vec<usize> {
            let variables = ["PORT", "E"].map(|name| (name.to_owned(), value.to_owned()));
            let variables = BTreeMap::from(variables);
            command.invocations(&variables).iter().map(|i| i.arguments.len()).collect()
        };
        // `cd` and `exec` count only when they are written, not when a value happens to be one.
        for value in [value.as_str(), "cd", "exec", "X=1", "&&", "a b", "'", "$PORT"] {
            prop_assert_eq!(count(value), count("x"), "{:?} with {:?}", line, value);
        }
    }

    #[test]
    fn a_command_that_needs_a_shell_is_never_taken(line in line(), sign in "[|;<>()`*?]") {
        let text = format!("{line} a{sign}b");
        match text.parse::<CommandLine>() {
            Ok(command) => {
                // Inside quotes it is a character like any other.
                let arguments: BTreeSet<String> =
                    command.invocations(&BTreeMap::new()).into_iter().flat_map(|i| i.arguments).collect();
                let quoted = line.contains(['\'', '"', '\\']);
                prop_assert!(quoted, "{:?} became {:?}", text, arguments);
            }
            Err(InvalidCommand::NeedsShell { found, .. }) => prop_assert!(!found.is_empty()),
            Err(_) => {}
        }
    }

    #[test]
    fn a_manifest_is_taken_or_refused_with_a_line_that_it_has(text in manifest()) {
        if let Err(domain::manifest::InvalidManifest::Line { line, message }) = Manifest::parse(&text) {
            prop_assert!((1..=text.lines().count().max(1) + 1).contains(&line), "line {}: {}", line, message);
            prop_assert!(!message.contains('\n'));
        }
    }
}
