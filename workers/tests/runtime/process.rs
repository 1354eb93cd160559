//! Programs below their supervisors: what they are given, what they print, how they end, and that nothing stays.

use std::collections::BTreeMap;
use std::time::Duration;

use eventlog::logs::Channel;
use switchback_workers::process::{Buffer, Child, Exit, Limits, Program, Refusal, Sink, SpawnError, Supervisor};

use crate::recorder::{LIMIT, Recorder};

const STAND_IN: &str = env!("CARGO_BIN_EXE_workers-stand-in");

/// A supervisor of an installation that no other test has. At the end it sees that nothing is left of it.
struct Installation(Supervisor);

impl Installation {
    fn new() -> Self {
        Self(Supervisor::new(STAND_IN, &uuid::Uuid::now_v7().to_string()))
    }

    async fn spawn(&self, words: &[&str]) -> (std::sync::Arc<Recorder>, Child, tokio::task::JoinHandle<()>) {
        let (recorder, output, stored) = Recorder::start();
        let child = self.0.spawn(program(words), &output).await.expect("it starts");
        (recorder, child, stored)
    }

    /// Runs a program to its end.
    async fn run(&self, program: Program) -> (Exit, Vec<(Channel, String)>) {
        let (recorder, output, stored) = Recorder::start();
        let child = self.0.spawn(program, &output).await.expect("it starts");
        drop(output);
        let exit = tokio::time::timeout(LIMIT, child.wait()).await.expect("it ends");
        stored.await.expect("lines are stored");
        (exit, recorder.channels())
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.0.names().unwrap(), [].into(), "processes are left");
        }
        self.0.sweep(|_| false).unwrap();
    }
}

fn program(words: &[&str]) -> Program {
    let words = [&[STAND_IN, "program"], words].concat();
    Program::new("test/program", words).directory("/")
}

fn texts(lines: &[(Channel, String)]) -> Vec<&str> {
    lines.iter().map(|(_, text)| text.as_str()).collect()
}

#[tokio::test]
async fn a_program_runs_with_its_arguments_in_its_directory() {
    let installation = Installation::new();
    let hostile = ["a b", "", "$HOME", "; id", "`id`", "--", "ä", "\"'"];
    let (exit, lines) = installation.run(program(&[&["arguments"], &hostile[..]].concat())).await;
    assert_eq!(exit, Exit::Status(0));
    assert_eq!(texts(&lines), [format!("{hostile:?}")]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let (_, lines) = installation.run(program(&["directory"]).directory(&path)).await;
    assert_eq!(texts(&lines), [path.to_str().unwrap()]);
}
