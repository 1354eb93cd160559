//! A migration that was released is never edited: a database somewhere has run it as it was.
//!
//! `projections/migrations/checksums.txt` holds the SHA-256 of each, in the format of `sha256sum --check`.
//! New ones are taken up by `tidy --fix`, which never changes or drops a line. Before a release, a line may
//! be deleted by hand and taken up again, and the reviewer sees it; a line that stood there at the last tag
//! has to stay.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::failure::{Doing, Failure};
use crate::program;
use crate::tidy::Finding;
use crate::tidy::tree::{Tree, list};

pub(super) const FOLDER: &str = "projections/migrations";
const CHECKSUMS: &str = "projections/migrations/checksums.txt";

/// File, relative to [`FOLDER`], to checksum.
type Checksums = BTreeMap<String, String>;

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>, Failure> {
    let recorded = recorded(tree)?;
    let mut findings = compare(&recorded, &present(tree)?);
    if let Some(released) = released(tree) {
        findings.extend(dropped(&released, &recorded));
    }
    Ok(findings)
}

/// Writes down the migrations that are not recorded yet.
pub(super) fn take_up_new(tree: &Tree) -> Result<(), Failure> {
    let present = present(tree)?;
    if present.is_empty() {
        return Ok(());
    }
    let mut all = recorded(tree)?;
    for (name, sum) in present {
        all.entry(name).or_insert(sum);
    }
    let text = all.iter().fold(String::new(), |mut text, (name, sum)| {
        let _ = writeln!(text, "{sum}  {name}"); // Writing to a String cannot fail.
        text
    });
    fs::write(tree.root.join(CHECKSUMS), text).doing(|| format!("write {CHECKSUMS}"))
}

fn compare(recorded: &Checksums, present: &Checksums) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, sum) in present {
        let path = format!("{FOLDER}/{name}");
        match recorded.get(name) {
            None => findings.push(Finding::refused(&path, 0, "is new: `cargo xtask tidy --fix` takes it up")),
            Some(known) if known != sum => {
                let what = "was edited: write a new one. If it was never released, delete its line in \
                            checksums.txt and run `cargo xtask tidy --fix`";
                findings.push(Finding::refused(&path, 0, what));
            }
            Some(_) => {}
        }
    }
    for name in recorded.keys().filter(|name| !present.contains_key(*name)) {
        findings.push(Finding::refused(
            &format!("{FOLDER}/{name}"),
            0,
            "is recorded in checksums.txt and is gone",
        ));
    }
    findings
}

/// Lines of the last release that are not there any more.
fn dropped(released: &Checksums, recorded: &Checksums) -> Vec<Finding> {
    let lost = released.iter().filter(|(name, sum)| recorded.get(*name) != Some(*sum));
    lost.map(|(name, _)| Finding::refused(CHECKSUMS, 0, format!("{name} was released with another checksum")))
        .collect()
}

/// What the last tag recorded; none where there is no tag, no git, or no such file yet.
fn released(tree: &Tree) -> Option<Checksums> {
    let git = |arguments: &[&str]| {
        program::output(Command::new("git").current_dir(&tree.root).args(arguments)).ok()
    };
    let tag = git(&["describe", "--tags", "--abbrev=0"])?;
    let text = git(&["show", &format!("{}:{CHECKSUMS}", tag.trim())])?;
    Some(parse(&text))
}

fn recorded(tree: &Tree) -> Result<Checksums, Failure> {
    let path = tree.root.join(CHECKSUMS);
    if !path.exists() {
        return Ok(Checksums::new());
    }
    Ok(parse(&fs::read_to_string(path).doing(|| format!("read {CHECKSUMS}"))?))
}

fn present(tree: &Tree) -> Result<Checksums, Failure> {
    let folder = tree.root.join(FOLDER);
    let mut sums = Checksums::new();
    for name in list(&folder, ".sql")? {
        let bytes = fs::read(folder.join(&name)).doing(|| format!("read {FOLDER}/{name}"))?;
        sums.insert(name, checksum(&bytes));
    }
    Ok(sums)
}

fn parse(text: &str) -> Checksums {
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    lines.map(|(sum, name)| (name.to_owned(), sum.to_owned())).collect()
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // Writing to a String cannot fail.
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(lines: &[(&str, &str)]) -> Checksums {
        lines.iter().map(|&(name, sum)| (name.to_owned(), sum.to_owned())).collect()
    }

    #[test]
    fn a_new_an_edited_and_a_lost_migration_are_refused() {
        let recorded =
            sums(&[("sqlite/0001_a.sql", "1"), ("sqlite/0002_b.sql", "2"), ("sqlite/0003_c.sql", "3")]);
        let present =
            sums(&[("sqlite/0001_a.sql", "1"), ("sqlite/0002_b.sql", "x"), ("sqlite/0004_d.sql", "4")]);
        let paths: Vec<_> = compare(&recorded, &present).into_iter().map(|finding| finding.path).collect();
        let expected = ["sqlite/0002_b.sql", "sqlite/0004_d.sql", "sqlite/0003_c.sql"];
        assert_eq!(paths, expected.map(|name| format!("{FOLDER}/{name}")));
    }

    #[test]
    fn a_released_line_may_not_be_taken_up_anew() {
        let released = sums(&[("sqlite/0001_a.sql", "1")]);
        assert_eq!(dropped(&released, &released), []);
        assert_eq!(dropped(&released, &sums(&[("sqlite/0001_a.sql", "2")])).len(), 1);
    }

    #[test]
    fn a_checksum_is_what_sha256sum_prints() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(checksum(b""), empty);
        assert_eq!(parse(&format!("{empty}  sqlite/0001_a.sql\n")), sums(&[("sqlite/0001_a.sql", empty)]));
    }
}
