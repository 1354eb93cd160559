//! `deploy-check`: what Prometheus itself says of the alerts, and whether they fire when they should.
//!
//! The rest of deploy/ is looked at by the end-to-end tests (`cargo xtask test packaging`).

use std::process::Command;

use crate::failure::Failure;
use crate::{engines, program, workspace};

/// Runs the task.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = arguments.first() {
        return Err(Failure::usage(format!("deploy-check does not know `{unknown}`")));
    }
    let promtool = engines::install::promtool()?;
    for (verb, file) in [("check", "switchback.rules.yaml"), ("test", "switchback.rules.test.yaml")] {
        let mut command = Command::new(&promtool);
        command.args([verb, "rules", file]).current_dir(workspace::root().join("deploy/alerts"));
        program::output(&mut command)?;
    }
    Ok(())
}
