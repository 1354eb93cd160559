//! An installation of its own for each test, which sees at the end that nothing is left of it.

use std::sync::Arc;
use std::time::Duration;

use eventlog::logs::Channel;
use switchback_workers::process::{Child, Exit, Program, Supervisor};
use tokio::task::JoinHandle;

use crate::recorder::Recorder;

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// The platform's executable.
pub(crate) const STAND_IN: &str = env!("CARGO_BIN_EXE_workers-stand-in");

pub(crate) struct Installation {
    pub(crate) id: String,
    pub(crate) supervisor: Supervisor,
}

impl Installation {
    pub(crate) fn new() -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        Self { supervisor: Supervisor::new(STAND_IN, &id), id }
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
        let look = async {
            while !self.supervisor.names().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, look).await.expect("nothing of it runs");
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

/// The control groups of an installation, wherever they are.
pub(crate) fn groups(id: &str) -> Vec<String> {
    let mut waiting = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
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
