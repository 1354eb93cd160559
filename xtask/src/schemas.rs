//! `schemas`: the JSON Schema of every event and a stored sample of it, written from the domain crate.
//!
//! The domain crate knows its events, so it writes them itself (`domain/examples/schemas.rs`); this task only
//! says where. With `--check` nothing is written, and a difference fails.

use crate::failure::Failure;
use crate::program;

/// The folder that others build on.
const FOLDER: &str = "schemas";

/// Runs the task.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = arguments.iter().find(|argument| *argument != "--check") {
        return Err(Failure::usage(format!("schemas does not know `{unknown}`")));
    }
    let example = [
        "run",
        "--quiet",
        "-p",
        "switchback-domain",
        "--example",
        "schemas",
        "--features",
        "testing",
        "--",
        FOLDER,
    ];
    program::run(program::cargo(example).args(arguments))
}
