//! Programs that the platform starts: git, the tools of a build, release commands, instances. The only place
//! where any is started.
//!
//! A program is an argument list, a directory and a complete environment; it inherits nothing of the
//! platform, and no shell reads any of it. It runs below a [supervisor](crate::supervise) and ends with
//! everything it started, when it ends itself, when it is stopped, when its [`Child`] is dropped and when the
//! platform dies. What is left by a supervisor that was killed is found by its mark in the environment, see
//! [`Supervisor::sweep`].

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use domain::command_line::Invocation;
use eventlog::logs::Channel;
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::output::Output;
use crate::supervise::protocol::{self, Launch, Report, Specification};

pub use crate::process::child::Child;
pub use crate::process::lines::{Buffer, Sink};
pub(crate) use crate::process::lines::{CUT, Splitter};
pub use crate::process::mark::SweepError;
pub use crate::supervise::protocol::{Exit, Limits, Refusal};

pub(crate) mod cgroup;
mod child;
mod exit;
mod lines;
mod mark;
pub(crate) mod tree;

/// The environment variable that every started process carries: `<installation>/<name>+<a number of its
/// own>`.
pub const MARK: &str = "SWITCHBACK_PROCESS";
/// The longest name of a program, in bytes: it is part of a file name.
const MAX_NAME_BYTES: usize = 150;

/// A program to be started.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// What it is called among the programs of this installation, such as `build/<deployment>`: letters,
    /// digits, `-`, `_`, `.` and `/`. Two that run at once may share a name; a sweep ends both.
    pub name: String,
    /// What is run, one after the other, each only when the one before succeeded; at least one. Their
    /// directories are relative to `directory`, and their environments are added to `environment`.
    pub invocations: Vec<Invocation>,
    /// Where it runs.
    pub directory: PathBuf,
    /// All of its environment, save the mark. Programs are looked for along its `PATH`.
    pub environment: BTreeMap<String, String>,
    /// What it may use up.
    pub limits: Limits,
}

impl Program {
    /// One program by its arguments, the first of which is its name or its file.
    #[must_use]
    pub fn new(name: impl Into<String>, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        let invocation = Invocation { arguments, ..Invocation::default() };
        Self { name: name.into(), invocations: vec![invocation], ..Self::default() }
    }

    /// In a directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// With an environment.
    #[must_use]
    pub fn environment(mut self, environment: BTreeMap<String, String>) -> Self {
        self.environment = environment;
        self
    }

    /// With limits.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// A program that was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// It cannot be. The text is for the person who deploys.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A program without a name of the right form, or without arguments.
    #[error("start a program that is not described: `{0}`")]
    Undescribed(String),
    /// Its supervisor did not come up.
    #[error("start the supervisor of `{name}`")]
    Supervisor {
        /// The program's name.
        name: String,
        /// What was seen.
        #[source]
        source: std::io::Error,
    },
}

/// Starts programs, each below a supervisor of its own.
#[derive(Clone, Debug)]
pub struct Supervisor {
    executable: Arc<PathBuf>,
    installation: Arc<str>,
}

impl Supervisor {
    /// `executable` is run as `<executable> supervise` and must then call [`crate::supervise::main`]. The
    /// platform passes `/proc/self/exe`, which is itself even when its file is replaced while it runs.
    /// `installation` tells the processes of this installation from those of others on the machine: letters,
    /// digits and `-`.
    #[must_use]
    pub fn new(executable: impl Into<PathBuf>, installation: &str) -> Self {
        Self { executable: Arc::new(executable.into()), installation: installation.into() }
    }

    /// The executable that supervises, which other subcommands can be asked of as well.
    #[must_use]
    pub fn executable(&self) -> &std::path::Path {
        &self.executable
    }

    /// Starts a program whose output becomes lines of `output`. Returns when it runs.
    ///
    /// # Errors
    /// [`SpawnError`]; then nothing of it runs.
    pub async fn spawn(&self, program: Program, output: &Output) -> Result<Child, SpawnError> {
        let sink = |channel| Sink::Lines(output.clone(), channel);
        self.spawn_into(program, sink(Channel::Out), sink(Channel::Err)).await
    }

    /// Starts a program with a place for each of its outputs. Returns when it runs. When this is given up
    /// half-way, nothing of the program stays.
    ///
    /// # Errors
    /// [`SpawnError`]; then nothing of it runs.
    pub async fn spawn_into(&self, program: Program, out: Sink, err: Sink) -> Result<Child, SpawnError> {
        let name = program.name.clone();
        let specification = self.specification(program)?;
        let failed = |source| SpawnError::Supervisor { name: name.clone(), source };
        let message = protocol::message(&specification).map_err(failed)?;

        let (ours, theirs) = StdUnixStream::pair().map_err(failed)?;
        let mut command = Command::new(self.executable.as_path());
        command.arg0("switchback").arg("supervise").env_clear().env(MARK, &specification.mark);
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(failed)?;
        drop(command); // It holds their end of the socket.
        ours.set_nonblocking(true).map_err(failed)?;
        let control = UnixStream::from_std(ours).map_err(failed)?;

        let pipes = [
            process.stdout.take().map(|pipe| tokio::spawn(lines::drain(pipe, out))),
            process.stderr.take().map(|pipe| tokio::spawn(lines::drain(pipe, err))),
        ];
        let mut link = child::Link::new(control, process, pipes, self.clone(), specification.mark.into());
        let report = match link.send(&message).await {
            Ok(()) => link.report().await,
            Err(error) => Err(error),
        };
        match report {
            Ok(Report::Started { pid, unlimited }) => Ok(link.into_child(pid, unlimited)),
            Ok(Report::Ended { exit: Exit::NotStarted(refusal), .. }) => {
                link.end().await;
                Err(refusal.into())
            }
            Ok(Report::Ended { exit, .. }) => {
                link.end().await;
                Err(failed(std::io::Error::other(format!("the program ended at once with {exit}"))))
            }
            Err(error) => {
                link.end().await;
                Err(failed(error))
            }
        }
    }

    fn specification(&self, program: Program) -> Result<Specification, SpawnError> {
        let Program { name, invocations, directory, environment, limits } = program;
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let is_name = !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_letter);
        let is_program = !invocations.is_empty() && invocations.iter().all(|i| !i.arguments.is_empty());
        if !is_name || !is_program {
            return Err(SpawnError::Undescribed(name));
        }
        let mark = self.new_mark(&name);
        // An empty one is where the platform is, and stays it.
        let directory = std::path::absolute(&directory).unwrap_or(directory);
        let programs = invocations.into_iter().map(|invocation| {
            let mut environment = environment.clone();
            environment.extend(invocation.environment);
            environment.insert(MARK.to_owned(), mark.clone());
            let directory = directory.join(invocation.directory);
            Launch { arguments: invocation.arguments, directory, environment }
        });
        Ok(Specification { programs: programs.collect(), mark, limits })
    }
}
