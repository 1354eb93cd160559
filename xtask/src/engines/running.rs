//! The task's side of a keeper: servers that run as long as this value is there.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::engines::place::Purpose;
use crate::engines::{Engine, keeper, place};
use crate::failure::{Doing, Failure};

/// Running servers. Dropping it stops them.
pub(crate) struct Running {
    keeper: Child,
    place: PathBuf,
    variables: Vec<(String, String)>,
}

impl Running {
    /// Starts them and waits until they answer.
    pub(crate) fn start(engines: &[Engine], purpose: Purpose) -> Result<Self, Failure> {
        // The file of this program may be built anew while we run; the link leads to what is running.
        let mut command = Command::new("/proc/self/exe");
        let names: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
        let place = place::make(purpose)?;
        command.args(["engines", "keep"]).arg(&place).arg(names.join(","));
        // A group of its own: Ctrl-C is for us, and the keeper has work to do after it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let keeper = command.spawn().doing(|| "start the keeper of the engines".to_owned())?;
        let mut running = Running { keeper, place, variables: Vec::new() };
        running.read_variables()?;
        Ok(running)
    }

    /// What tests read: names and values.
    pub(crate) fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// Has this process group killed too when we are gone before it is. 0 takes that back.
    pub(crate) fn guard_group(&mut self, id: u32) -> Result<(), Failure> {
        let input = self
            .keeper
            .stdin
            .as_mut()
            .ok_or_else(|| Failure::new("the keeper of the engines was stopped"))?;
        writeln!(input, "{} {id}", keeper::GROUP).doing(|| "speak to the keeper of the engines".to_owned())
    }

    /// Waits until somebody else stops them.
    pub(crate) fn wait(mut self) -> Result<(), Failure> {
        // Not Child::wait, which closes the pipe that keeps the keeper.
        let input = self.keeper.stdin.take();
        let status = self.keeper.wait().doing(|| "wait for the keeper of the engines".to_owned())?;
        drop(input);
        if status.success() { Ok(()) } else { Err(Failure::Said) }
    }

    /// Stops them; a server that went down before it was asked to is a failure, and the keeper has said
    /// which.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let status = self.keeper.wait().doing(|| "wait for the keeper of the engines".to_owned())?;
        if status.success() { Ok(()) } else { Err(Failure::new("the engines did not last")) }
    }

    fn read_variables(&mut self) -> Result<(), Failure> {
        let output = self.keeper.stdout.take().ok_or_else(|| Failure::new("the keeper has no output"))?;
        for line in BufReader::new(output).lines() {
            let line = line.doing(|| "read what the keeper of the engines says".to_owned())?;
            if line == keeper::READY {
                return Ok(());
            }
            if let Some((name, value)) = line.split_once('=') {
                self.variables.push((name.to_owned(), value.to_owned()));
            }
        }
        Err(Failure::new("the engines did not start"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Waiting closes the pipe, and the keeper stops. It removes the folder; should it have been killed,
        // we do.
        let _ = self.keeper.wait();
        if let Err(failure) = place::remove(&self.place) {
            eprintln!("engines: {failure}");
        }
    }
}
