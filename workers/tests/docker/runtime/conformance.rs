//! What every runtime does, by containers; the other process of the platform is another runtime on the
//! engine.

use async_trait::async_trait;
use domain::command_line::CommandLine;
use workers::runtime::conformance::{Play, Stage};
use workers::runtime::docker::DockerRuntime;
use workers::runtime::{Environment, InstanceRequest, Runtime};

use crate::runtime::stage;

struct Containers {
    stage: stage::Stage,
    other: DockerRuntime,
}

impl Containers {
    fn new() -> Self {
        let stage = stage::Stage::new();
        Self { other: stage.other(), stage }
    }
}

fn words(play: Play) -> String {
    match play {
        Play::Sleep => "sleep 1000".to_owned(),
        Play::Exit(status) => format!("sh -c 'exit {status}'"),
    }
}

#[async_trait]
impl Stage for Containers {
    fn runtime(&self) -> &dyn Runtime {
        &self.stage.runtime
    }

    fn other(&self) -> Option<&dyn Runtime> {
        Some(&self.other)
    }

    fn instance(&self, play: Play) -> InstanceRequest {
        self.stage.instance(&words(play))
    }

    fn command(&self, play: Play) -> (CommandLine, Environment) {
        (words(play).parse().expect("a command"), self.stage.environment())
    }
}

workers::runtime_conformance!(Containers::new());
