//! `tidy`: the house style that no compiler knows. One check is one file, and says what it refuses.
//!
//! `--fix` does what needs no thought: it wraps comments that are too long, and takes up new migrations.

mod arrows;
mod bans;
mod comments;
mod contract;
mod events;
mod features;
mod leftovers;
mod lengths;
mod migrations;
mod names;
mod opening;
mod shell;
mod source;
mod tree;

use std::path::Path;
use std::{fmt, fs};

use crate::failure::{Doing, Failure};
use crate::tidy::source::Source;
use crate::tidy::tree::Tree;

/// Something that the style refuses, or warns of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    weight: Weight,
    /// Relative to the checkout.
    path: String,
    /// Counted from 1; 0 means the file as a whole.
    line: usize,
    what: String,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Weight {
    Refused,
    Warned,
}

impl Finding {
    fn refused(path: &str, line: usize, what: impl Into<String>) -> Self {
        Finding { weight: Weight::Refused, path: path.to_owned(), line, what: what.into() }
    }

    fn warned(path: &str, line: usize, what: impl Into<String>) -> Self {
        Finding { weight: Weight::Warned, path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Refused => "error",
            Weight::Warned => "warning",
        };
        match self.line {
            0 => write!(f, "{weight}: {}: {}", self.path, self.what),
            line => write!(f, "{weight}: {}:{line}: {}", self.path, self.what),
        }
    }
}

/// Runs the task.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let (flags, folders): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|word| word.starts_with('-'));
    if let Some(unknown) = flags.iter().find(|flag| **flag != "--fix") {
        return Err(Failure::usage(format!("tidy does not know `{unknown}`")));
    }
    let mut tree = Tree::read()?;
    if !flags.is_empty() {
        fix(&mut tree, &folders)?;
    }
    let mut findings = findings(&tree)?;
    findings.retain(|finding| is_in(&finding.path, &folders));
    for finding in &findings {
        println!("{finding}");
    }
    let refused = findings.iter().filter(|finding| finding.weight == Weight::Refused).count();
    let warned = findings.len() - refused;
    println!("tidy: {} files, {refused} refused, {warned} warned", tree.sources.len());
    if refused > 0 { Err(Failure::Said) } else { Ok(()) }
}

fn fix(tree: &mut Tree, folders: &[&String]) -> Result<(), Failure> {
    if is_in(migrations::FOLDER, folders) {
        migrations::take_up_new(tree)?;
    }
    for source in tree.sources.iter_mut().filter(|source| is_in(&source.path, folders)) {
        let wrapped = comments::wrapped(&source.text);
        if wrapped != source.text {
            fs::write(tree.root.join(&source.path), &wrapped).doing(|| format!("write {}", source.path))?;
            *source = Source::new(source.path.clone(), wrapped);
        }
    }
    Ok(())
}

/// Whether a path lies in one of the folders; without a folder, everything does.
fn is_in(path: &str, folders: &[&String]) -> bool {
    folders.is_empty() || folders.iter().any(|folder| Path::new(path).starts_with(folder))
}

fn findings(tree: &Tree) -> Result<Vec<Finding>, Failure> {
    let mut findings = arrows::check()?;
    findings.extend(bans::check(tree)?);
    findings.extend(migrations::check(tree)?);
    findings.extend(contract::check(tree)?);
    findings.extend(events::check(tree)?);
    findings.extend(features::check(tree));
    for source in &tree.sources {
        findings.extend(names::check(source));
        findings.extend(opening::check(source));
        findings.extend(lengths::check(source));
        findings.extend(leftovers::check(source));
        findings.extend(shell::check(source));
    }
    Ok(findings)
}
