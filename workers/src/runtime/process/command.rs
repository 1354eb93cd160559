//! Release commands: programs that are run to their end.

use std::collections::BTreeMap;

use domain::command_line::CommandLine;
use tokio_util::sync::CancellationToken;

use crate::key::StepKey;
use crate::output::Output;
use crate::process::{Exit, Program};
use crate::runtime::process::{Shared, directories, environment, failed, refused};
use crate::runtime::{Environment, RuntimeError};

/// What the names of commands among the programs begin with.
pub(super) const COMMAND: &str = "command/";

impl Shared {
    /// Runs a command to its end, once: when an earlier attempt of the step has run it with success, and
    /// nobody got to know, that is the answer. Given up half-way, the command is killed.
    pub(super) async fn run(
        &self,
        key: StepKey,
        command: &CommandLine,
        given: &Environment,
        output: Output,
        cancel: &CancellationToken,
    ) -> Result<(), RuntimeError> {
        self.admit(key)?;
        let step = format!("{}.{}", key.deployment, key.step);
        let name = format!("{COMMAND}{step}");
        self.end(vec![name.clone()]).await?;
        let root = &self.settings.directory;
        if directories::is_done(root, &step) {
            output.say("it was run to its end by an earlier attempt").await;
            return Ok(());
        }
        // Each attempt has its own, so that one that was replaced takes nothing from the next when it
        // notices.
        let attempt = format!("{step}.{}", key.fence.0);
        let own = directories::make(root, &attempt).map_err(|error| failed("make directories", error))?;
        let variables: BTreeMap<String, String> = environment::build(&self.settings.path, given, &own, None);
        let program = Program {
            name,
            invocations: command.invocations(&variables),
            directory: environment::directory(given)?.join(&given.root),
            environment: variables,
            limits: self.limits(given),
        };
        let exit = self.run_to_the_end(program, &output, cancel).await;
        let is_success = exit.as_ref().is_ok_and(|exit| exit.as_ref().is_some_and(Exit::is_success));
        if is_success {
            directories::note_done(root, &step).map_err(|error| failed("note its success", error))?;
        }
        self.remove(attempt).await?;
        if is_success {
            return Ok(());
        }
        self.admit(key)?; // It may have been ended by the next attempt.
        Err(match exit? {
            Some(exit) => ended("release_command_failed", command, &format!("ended with {exit}")),
            None => ended("release_command_cancelled", command, "was cancelled"),
        })
    }

    /// How it ended; nothing when it was cancelled.
    async fn run_to_the_end(
        &self,
        program: Program,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Option<Exit>, RuntimeError> {
        let child = self.supervisor.spawn(program, output).await.map_err(refused)?;
        let ended = tokio::select! {
            exit = child.wait() => Some(exit),
            () = cancel.cancelled() => None,
        };
        if ended.is_none() {
            child.kill().await;
        }
        Ok(ended)
    }
}

fn ended(code: &'static str, command: &CommandLine, how: &str) -> RuntimeError {
    let message = format!("the release command `{command}` {how}");
    RuntimeError { code, message, permanent: true, source: None }
}
