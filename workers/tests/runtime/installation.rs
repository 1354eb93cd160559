//! An installation of its own for each test, which sees at the end that nothing is left of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::id::{DeploymentId, OrganizationId, ServiceId};
use domain::plan::Start;
use domain::secret::Secret;
use domain::service::release::InstanceId;
use eventlog::logs::Channel;
use switchback_workers::process::{Child, Exit, Program, Supervisor};
use switchback_workers::registry::Files;
use switchback_workers::runtime::process::{ProcessRuntime, Settings};
use switchback_workers::runtime::{Environment, InstanceRequest};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::recorder::Recorder;

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// The platform's executable.
pub(crate) const STAND_IN: &str = env!("CARGO_BIN_EXE_workers-stand-in");

pub(crate) struct Installation {
    pub(crate) id: String,
    pub(crate) supervisor: Supervisor,
    /// `instances` is where the runtime keeps theirs; `files` is what was built, with the stand-in as a
    /// program `@`.
    pub(crate) data: TempDir,
}

impl Installation {
    pub(crate) fn new() -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        let data = tempfile::tempdir().unwrap();
        let bin = data.path().join("files/.switchback/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink(STAND_IN, bin.join("@")).unwrap();
        Self { supervisor: Supervisor::new(STAND_IN, &id), id, data }
    }

    /// Starts one of the stand-in's programs.
    pub(crate) async fn spawn(&self, words: &[&str]) -> (Arc<Recorder>, Child, JoinHandle<()>) {
        let (recorder, output, stored) = Recorder::start();
        let child = self.supervisor.spawn(program(words), &output).await.expect("it starts");
        (recorder, child, stored)
    }

    /// Runs a program to its end.
    pub(crate) async fn run(&self, program: Program) -> (Exit, Vec<(Channel, String)>) {
        let (recorder, output, stored) = Recorder::start();
        let child = self.supervisor.spawn(program, &output).await.expect("it starts");
        drop(output);
        let exit = tokio::time::timeout(LIMIT, child.wait()).await.expect("it ends");
        stored.await.expect("lines are stored");
        (exit, recorder.channels())
    }

    /// Waits until nothing of it runs.
    pub(crate) async fn gone(&self) {
        until("nothing of it runs", || self.supervisor.names().unwrap().is_empty()).await;
    }

    /// The process runtime.
    pub(crate) fn runtime(&self) -> ProcessRuntime {
        let settings = Settings::new(self.data.path().join("instances"), "/usr/bin:/bin");
        ProcessRuntime::open(settings, self.supervisor.clone()).expect("it opens")
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.data.path().join("files")
    }

    /// What is given to an instance or a command.
    pub(crate) fn environment(&self, variables: &[(&str, &str)]) -> Environment {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
        Environment {
            organization: OrganizationId(uuid::Uuid::now_v7()),
            service: ServiceId(uuid::Uuid::now_v7()),
            files: Files::Directory(self.files()),
            root: String::new(),
            port: None,
            read_only: false,
            variables: variables.collect::<BTreeMap<_, _>>(),
            memory_bytes: None,
            cpu_millis: None,
        }
    }

    /// A new instance that runs `@ program <words>`.
    pub(crate) fn instance(&self, words: &str) -> InstanceRequest {
        let command = format!("@ program {words}").parse().expect("a command");
        InstanceRequest {
            id: InstanceId { deployment: DeploymentId(uuid::Uuid::now_v7()), ordinal: 0 },
            start: Start::Command(command),
            environment: self.environment(&[]),
            address: None,
        }
    }

    /// What instances and commands have left, by name.
    pub(crate) fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.data.path().join("instances")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let left = self.supervisor.sweep(|_| false).unwrap();
        if !std::thread::panicking() {
            assert_eq!(left, [].into(), "processes were left");
            assert_eq!(groups(&self.id), Vec::<String>::new(), "control groups were left");
        }
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let look = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, look).await.unwrap_or_else(|_| panic!("it is not so: {what}"));
}

/// The control groups of an installation, wherever they are.
pub(crate) fn groups(id: &str) -> Vec<String> {
    let mut waiting = vec![PathBuf::from("/sys/fs/cgroup")];
    let mut found = vec![];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().contains(id) {
                found.push(entry.path().display().to_string());
            }
            waiting.push(entry.path());
        }
    }
    found
}

/// One of the stand-in's programs.
pub(crate) fn program(words: &[&str]) -> Program {
    let words = [&[STAND_IN, "program"], words].concat();
    Program::new("test/program", words).directory("/")
}
