//! `check`: everything that is asked of the code before its tests run. The gate and the workflow call this.
//!
//! The order is from quick to slow where one does not depend on another, and the first refusal ends it.

mod deny;

use std::time::Instant;

use crate::failure::Failure;
use crate::{program, schemas, tidy};

type Step = (&'static str, fn() -> Result<(), Failure>);

const STEPS: [Step; 6] = [
    ("fmt", fmt),
    ("clippy", clippy),
    ("tidy", || tidy::run(&[])),
    ("doc", doc),
    ("deny", deny::bans_licenses_sources),
    ("schemas", || schemas::run(&["--check".to_owned()])),
];

/// Runs the task.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    match arguments {
        [] => everything(),
        [word] if word == "advisories" => deny::advisories(),
        _ => Err(Failure::usage(format!("check does not know `{}`", arguments.join(" ")))),
    }
}

fn everything() -> Result<(), Failure> {
    for (name, step) in STEPS {
        let begin = Instant::now();
        println!("check: {name}");
        step()?;
        println!("check: {name} is fine ({:.1} s)", begin.elapsed().as_secs_f32());
    }
    Ok(())
}

fn fmt() -> Result<(), Failure> {
    program::run(&mut program::cargo(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<(), Failure> {
    program::run(&mut program::cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Private items too: most of what is explained is not public, and a link that leads nowhere misleads there
/// as well.
fn doc() -> Result<(), Failure> {
    let mut cargo = program::cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    program::run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}
