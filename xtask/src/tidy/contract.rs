//! Migrations expand first and contract later: while a platform is upgraded, the program before and the
//! program after work on one schema (docs/decisions/0018).
//!
//! What takes something away, or asks more of what is written, stands in a file named `…_contract.sql` that
//! has a line `-- Unused since 0.3.0: why.` and is released with a later version than that.

use std::collections::BTreeSet;
use std::fs;

use crate::failure::{Doing, Failure};
use crate::tidy::Finding;
use crate::tidy::migrations::FOLDER;
use crate::tidy::tree::Tree;

const ENDING: &str = "_contract.sql";
const MARK: &str = "-- Unused since ";

type Version = [u32; 3];

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>, Failure> {
    let manifest = fs::read_to_string(tree.root.join("Cargo.toml")).doing(|| "read Cargo.toml".to_owned())?;
    let ours = of_manifest(&manifest)
        .ok_or_else(|| Failure::new("Cargo.toml has no line `version = \"1.2.3\"` for all crates"))?;
    let mut findings = Vec::new();
    for name in tree.list(FOLDER, ".sql")? {
        let path = format!("{FOLDER}/{name}");
        let text = fs::read_to_string(tree.root.join(&path)).doing(|| format!("read {path}"))?;
        findings.extend(of_file(&path, &text, ours));
    }
    Ok(findings)
}

fn of_file(path: &str, text: &str, ours: Version) -> Vec<Finding> {
    let taken = taken_away(text);
    if !path.ends_with(ENDING) {
        let refused = taken.into_iter().map(|(line, what)| {
            let how = format!(
                "{what}: a program of the version before still works with it. Take it away one version after \
                 nobody used it any more, in a file named …{ENDING}"
            );
            Finding::refused(path, line, how)
        });
        return refused.collect();
    }
    if taken.is_empty() {
        return vec![Finding::refused(
            path,
            0,
            format!("takes nothing away, so its name must not end in {ENDING}"),
        )];
    }
    match text.lines().find_map(|line| parse(line.strip_prefix(MARK)?.split(':').next()?)) {
        None => vec![Finding::refused(path, 0, format!("does not say since when: `{MARK}0.3.0: why.`"))],
        Some(since) if since >= ours => {
            let what =
                "takes away what a version that is not out yet stopped using: it comes one version later";
            vec![Finding::refused(path, 0, what)]
        }
        Some(_) => vec![],
    }
}

/// What is taken away or asked for, and in which line its statement begins. A table that the file itself
/// makes is nobody's yet.
fn taken_away(text: &str) -> Vec<(usize, &'static str)> {
    let statements = statements(text);
    let mut made: BTreeSet<&str> = BTreeSet::new();
    let mut taken = Vec::new();
    for (line, words) in &statements {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let ["CREATE", "TABLE", rest @ ..] = words.as_slice() {
            made.extend(rest.iter().find(|word| !["IF", "NOT", "EXISTS"].contains(word)));
        }
        let is_made = |name: Option<&&str>| name.is_some_and(|name| made.contains(name));
        let what = match words.as_slice() {
            ["DROP", ..] => Some("DROP"),
            ["TRUNCATE", ..] => Some("TRUNCATE"),
            ["ALTER", "TABLE", rest @ ..] => {
                let name = rest.iter().find(|word| !["IF", "EXISTS", "ONLY"].contains(word));
                if is_made(name) { None } else { altered(rest) }
            }
            ["ALTER", rest @ ..] if rest.contains(&"RENAME") => Some("RENAME"),
            ["CREATE", "UNIQUE", "INDEX", rest @ ..] => {
                let name = rest.iter().skip_while(|word| **word != "ON").nth(1);
                if is_made(name) { None } else { Some("CREATE UNIQUE INDEX") }
            }
            _ => None,
        };
        taken.extend(what.map(|what| (*line, what)));
    }
    taken
}

fn altered(words: &[&str]) -> Option<&'static str> {
    let has = |wanted: &[&str]| words.windows(wanted.len()).any(|found| found == wanted);
    if has(&["RENAME"]) {
        return Some("RENAME");
    }
    if has(&["SET", "NOT", "NULL"]) {
        return Some("SET NOT NULL");
    }
    if has(&["ALTER"]) && has(&["TYPE"]) {
        return Some("ALTER … TYPE");
    }
    if words.windows(2).any(|pair| pair[0] == "DROP" && !["NOT", "EXPRESSION", "IDENTITY"].contains(&pair[1]))
    {
        return Some("DROP");
    }
    let constraints = ["CONSTRAINT", "CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "EXCLUDE"];
    if words.windows(2).any(|pair| pair[0] == "ADD" && constraints.contains(&pair[1])) {
        return Some("ADD of a constraint");
    }
    let asks = has(&["ADD"]) && has(&["NOT", "NULL"]) && !has(&["DEFAULT"]);
    asks.then_some("ADD of a column that is NOT NULL and has no DEFAULT")
}

/// The words of each statement, in capital letters, and the line in which it begins. Comments and what stands
/// in quotes have no words.
fn statements(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut statements = Vec::new();
    let (mut words, mut word, mut began) = (Vec::new(), String::new(), 1);
    for (number, line) in text.lines().enumerate() {
        let code = line.split("--").next().unwrap_or_default();
        let mut is_quoted = false;
        for c in code.chars().chain(['\n']) {
            is_quoted ^= c == '\'';
            if !is_quoted && (c.is_alphanumeric() || c == '_') {
                if words.is_empty() && word.is_empty() {
                    began = number + 1;
                }
                word.extend(c.to_uppercase());
                continue;
            }
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            if c == ';' && !words.is_empty() {
                statements.push((began, std::mem::take(&mut words)));
            }
        }
    }
    if !words.is_empty() {
        statements.push((began, words));
    }
    statements
}

fn of_manifest(manifest: &str) -> Option<Version> {
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = "))?;
    parse(line.trim().trim_matches('"'))
}

fn parse(text: &str) -> Option<Version> {
    let numbers: Option<Vec<u32>> = text.trim().split('.').map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Version = [0, 4, 0];

    fn refused(name: &str, text: &str) -> usize {
        of_file(name, text, OURS).len()
    }

    #[test]
    fn what_only_adds_is_taken_as_it_is() {
        for text in [
            "CREATE TABLE a (id TEXT NOT NULL); CREATE UNIQUE INDEX i ON a (id); ALTER TABLE a RENAME TO b;",
            "ALTER TABLE a ADD COLUMN b TEXT; ALTER TABLE a ADD c BIGINT NOT NULL DEFAULT 0;",
            "CREATE INDEX i ON a (b); -- DROP TABLE a;\nINSERT INTO a VALUES ('DROP TABLE a; TRUNCATE b');",
            "ALTER TABLE a ALTER COLUMN b DROP NOT NULL; ALTER TABLE a ALTER b SET DEFAULT 1;",
        ] {
            assert_eq!(refused("0002_a.sql", text), 0, "{text}");
        }
    }

    #[test]
    fn what_takes_away_or_asks_for_more_needs_a_file_that_says_so() {
        for text in [
            "DROP TABLE a;",
            "drop index if exists i",
            "TRUNCATE a;",
            "ALTER TABLE a DROP COLUMN b;",
            "ALTER TABLE IF EXISTS a\n  RENAME COLUMN b TO c;",
            "ALTER TABLE a ALTER COLUMN b SET NOT NULL;",
            "ALTER TABLE a ALTER b SET DATA TYPE BIGINT;",
            "ALTER TABLE a ADD COLUMN b TEXT NOT NULL;",
            "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0);",
            "CREATE UNIQUE INDEX i ON a (b);",
            "ALTER INDEX i RENAME TO j;",
        ] {
            assert_eq!(refused("0002_a.sql", text), 1, "{text}");
            let since = |version: &str| format!("-- Unused since {version}: b took its place.\n{text}");
            assert_eq!(refused("0002_a_contract.sql", &since("0.3.9")), 0, "{text}");
            assert_eq!(refused("0002_a_contract.sql", &since("0.4.0")), 1, "{text}");
            assert_eq!(refused("0002_a_contract.sql", text), 1, "{text}");
        }
        assert_eq!(refused("0002_a_contract.sql", "CREATE TABLE a (id TEXT);"), 1);
    }

    #[test]
    fn a_finding_names_the_line_where_the_statement_begins() {
        let found = of_file("0002_a.sql", "-- Why.\nCREATE TABLE a (id TEXT);\n\nDROP\n  TABLE b;\n", OURS);
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [4]);
    }
}
