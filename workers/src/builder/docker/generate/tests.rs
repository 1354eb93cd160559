//! Dockerfiles that plans come to.

use std::fs;

use domain::plan::Run;

use super::*;
use crate::builder::docker::generate::text::word;

const HOSTILE: [&str; 12] = [
    "a b",
    "\"; RUN evil",
    "'; rm -rf /",
    "$(touch /tmp/pwn)",
    "`id`",
    "${HOME}",
    "x\\",
    "<<EOF",
    "é\u{202e}\u{1f600}",
    "]",
    "--mount=type=ssh",
    "# syntax=evil",
];

fn plan(language: Language, install: &[&str], build: &[&str]) -> Plan {
    let commands = |lines: &[&str]| lines.iter().map(|line| line.parse().expect("a command")).collect();
    Plan {
        language,
        detected_by: "a test".into(),
        root: String::new(),
        dockerfile: None,
        install: commands(install),
        build: commands(build),
        run: Run::new(Start::Command("./run".parse().expect("a command"))),
    }
}

fn of(plan: &Plan, files: &[(&str, &str)], variables: &[(&str, &str)]) -> Generated {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
    let tree = Tree::open(directory.path()).expect("opened");
    generate(plan, &BaseImages::default(), &variables, &tree).expect("generated")
}

/// The words of each RUN line, as a parser of JSON reads them.
fn runs(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter(|line| line.starts_with("RUN "));
    lines.map(|line| serde_json::from_str(&line[line.find('[').expect("JSON")..]).expect("sound")).collect()
}

#[test]
fn whatever_a_word_is_it_stays_one_word_of_plain_characters() {
    for text in HOSTILE {
        let json = word(text);
        assert_eq!(serde_json::from_str::<String>(&json).expect("sound"), text);
        let plain = |c: char| c.is_ascii_alphanumeric() || " ./_=:@,+-\"\\".contains(c);
        assert!(json.chars().all(plain), "{json}");
        assert!(!json.ends_with('\\'), "{json}");
    }
}

#[test]
fn hostile_names_are_words_of_run_lines_and_nothing_else() {
    for text in HOSTILE {
        let quoted = format!("make '{}'", text.replace('\'', "'\\''"));
        let plan = plan(Language::Other, &[], &[&quoted]);
        let generated = of(&plan, &[], &[]);
        let last = runs(&generated.text).pop().expect("a RUN");
        assert_eq!(last[4..], ["/app", "make", text], "{}", generated.text);
        let before = of(&self::plan(Language::Other, &[], &["make x"]), &[], &[]);
        assert_eq!(generated.text.lines().count(), before.text.lines().count());
    }
}

#[test]
fn a_value_of_a_variable_is_never_in_the_file() {
    let plan = plan(Language::Other, &["fetch --token $TOKEN"], &["TOKEN2=$TOKEN make all"]);
    let generated = of(&plan, &[], &[("TOKEN", "hunter2-hunter2"), ("PATH", "/evil")]);
    assert!(!generated.text.contains("hunter2"), "{}", generated.text);
    assert!(generated.names.iter().all(|(_, name)| !name.contains("hunter2")));
    let secrets: Vec<_> = generated.secrets.values().map(Secret::reveal).collect();
    assert!(secrets.contains(&"hunter2-hunter2") && secrets.contains(&"TOKEN2=hunter2-hunter2"));
    assert!(!generated.secrets.contains_key("variable-PATH"));
    assert!(generated.text.contains("id=variable-TOKEN,target=/run/switchback/variables/TOKEN,"));
}

#[test]
fn dependencies_are_installed_before_the_sources_are_copied() {
    let plan = plan(Language::Node, &["npm ci --include=dev"], &["npm run build"]);
    let files =
        [("package.json", "{\"scripts\":{\"build\":\"x\"}}"), ("package-lock.json", "{}"), ("a.js", "")];
    let generated = of(&plan, &files, &[]);
    assert_eq!(generated.first, ["package.json", "package-lock.json"]);
    let at = |text: &str| generated.text.find(text).expect(text);
    assert!(at("COPY --chown=10001:10001 [\"first/\"") < at("\"ci\""));
    assert!(at("\"ci\"") < at("COPY --chown=10001:10001 [\"files/\""));
}

#[test]
fn where_an_installation_may_need_any_file_all_are_there() {
    let plan = plan(Language::Node, &["npm ci --include=dev"], &[]);
    for package in [
        "{\"scripts\":{\"postinstall\":\"x\"}}",
        "{\"workspaces\":[\"a\"]}",
        "{\"dependencies\":{\"a\":\"file:../a\"}}",
        "no json",
    ] {
        assert_eq!(of(&plan, &[("package.json", package)], &[]).first, Vec::<String>::new(), "{package}");
    }
    let plan = self::plan(Language::Node, &["make deps"], &[]);
    assert_eq!(of(&plan, &[("package.json", "{}")], &[]).first, Vec::<String>::new());
    let install = ["python3 -m venv .venv", ".venv/bin/pip install -r requirements.txt"];
    let plan = self::plan(Language::Python, &install, &[]);
    assert_eq!(of(&plan, &[("requirements.txt", "flask==3\n")], &[]).first, ["requirements.txt"]);
    assert_eq!(of(&plan, &[("requirements.txt", "-e .\n")], &[]).first, Vec::<String>::new());
}

#[test]
fn what_is_compiled_runs_without_its_compiler() {
    let generated = of(&plan(Language::Go, &[], &["go build -o bin/x ."]), &[], &[]);
    assert!(generated.text.contains("FROM docker.io/library/golang:1.25-bookworm AS build"));
    assert!(generated.text.contains("FROM docker.io/library/buildpack-deps:bookworm-curl\n"));
    assert!(generated.text.ends_with("WORKDIR /app\nENTRYPOINT []\n"), "{}", generated.text);
    assert!(generated.text.matches("USER 10001:10001").count() == 2);
}

#[test]
fn a_root_with_other_characters_is_refused() {
    let tree = Tree::open(&std::env::temp_dir()).expect("opened");
    let mut plan = plan(Language::Other, &[], &["make"]);
    for root in ["a b", "$X", "a\nRUN evil", "a\"b"] {
        plan.root = root.into();
        assert!(generate(&plan, &BaseImages::default(), &BTreeMap::new(), &tree).is_err(), "{root}");
    }
}
