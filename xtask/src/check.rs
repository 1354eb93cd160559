//! `check`: everything that is asked of the code before its tests run. The gate and the workflow call this.
//!
//! The order is from quick to slow where one does not depend on another, and the first refusal ends it.

mod deny;

use std::time::Instant;

use crate::failure::Failure;
use crate::{deploy, program, schemas, tidy};

struct Step {
    name: &'static str,
    run: fn() -> Result<(), Failure>,
    /// Whether it is asked without being named.
    always: bool,
}

const STEPS: [Step; 8] = [
    Step { name: "fmt", run: fmt, always: true },
    Step { name: "clippy", run: clippy, always: true },
    Step { name: "tidy", run: || tidy::run(&[]), always: true },
    Step { name: "doc", run: doc, always: true },
    Step { name: "deny", run: deny::bans_licenses_sources, always: true },
    Step { name: "advisories", run: deny::advisories, always: false },
    Step { name: "schemas", run: || schemas::run(&["--check".to_owned()]), always: true },
    Step { name: "deploy", run: || deploy::run(&[]), always: true },
];

/// Runs the task.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    for step in chosen(arguments)? {
        let begin = Instant::now();
        println!("check: {}", step.name);
        (step.run)()?;
        println!("check: {} is fine ({:.1} s)", step.name, begin.elapsed().as_secs_f32());
    }
    Ok(())
}

/// The steps that were named, or all that need no naming; always in the order of [`STEPS`].
fn chosen(names: &[String]) -> Result<Vec<&'static Step>, Failure> {
    if let Some(unknown) = names.iter().find(|name| !STEPS.iter().any(|step| step.name == *name)) {
        return Err(Failure::usage(format!("check has no step `{unknown}`")));
    }
    let is_chosen =
        |step: &&Step| if names.is_empty() { step.always } else { names.iter().any(|n| n == step.name) };
    Ok(STEPS.iter().filter(is_chosen).collect())
}

fn fmt() -> Result<(), Failure> {
    program::run(&mut program::cargo(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<(), Failure> {
    program::run(&mut program::cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Private items too: most of what is explained is not public, and a link that leads nowhere misleads there
/// as well.
/// For the same reason a public item may lead to a private one.
fn doc() -> Result<(), Failure> {
    let mut cargo = program::cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    program::run(cargo.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Result<Vec<&'static str>, Failure> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Ok(chosen(&words)?.iter().map(|step| step.name).collect())
    }

    #[test]
    fn without_a_name_everything_is_asked_but_for_advisories() {
        assert_eq!(names(&[]).unwrap(), ["fmt", "clippy", "tidy", "doc", "deny", "schemas", "deploy"]);
    }

    #[test]
    fn steps_are_asked_by_name_in_their_own_order() {
        assert_eq!(names(&["advisories", "fmt"]).unwrap(), ["fmt", "advisories"]);
        assert!(names(&["fmt", "format"]).is_err());
    }
}
