//! What every runtime does: the process runtime, and the one in memory.

mod process {
    use async_trait::async_trait;
    use domain::command_line::CommandLine;
    use switchback_workers::runtime::conformance::{Play, Stage};
    use switchback_workers::runtime::process::ProcessRuntime;
    use switchback_workers::runtime::{Environment, InstanceRequest, Runtime};

    use crate::installation::Installation;

    struct Processes {
        runtime: ProcessRuntime,
        installation: Installation,
    }

    impl Processes {
        fn new() -> Self {
            let installation = Installation::new();
            Self { runtime: installation.runtime(), installation }
        }
    }

    fn words(play: Play) -> String {
        match play {
            Play::Sleep => "sleep".to_owned(),
            Play::Exit(status) => format!("exit {status}"),
        }
    }

    #[async_trait]
    impl Stage for Processes {
        fn runtime(&self) -> &dyn Runtime {
            &self.runtime
        }

        fn instance(&self, play: Play) -> InstanceRequest {
            self.installation.instance(&words(play))
        }

        fn command(&self, play: Play) -> (CommandLine, Environment) {
            let command = format!("@ program {}", words(play)).parse().expect("a command");
            (command, self.installation.environment(&[]))
        }
    }

    switchback_workers::runtime_conformance!(Processes::new());
}

mod fake {
    use async_trait::async_trait;
    use domain::command_line::CommandLine;
    use domain::service::release::InstanceId;
    use switchback_workers::runtime::conformance::{Play, Stage};
    use switchback_workers::runtime::fake::FakeRuntime;
    use switchback_workers::runtime::fake::ledger::{Fault, Operation};
    use switchback_workers::runtime::{Environment, InstanceRequest, Runtime};

    use crate::installation::Installation;

    struct Fakes {
        runtime: FakeRuntime,
        installation: Installation,
    }

    impl Fakes {
        fn new() -> Self {
            Self { runtime: FakeRuntime::default(), installation: Installation::new() }
        }
    }

    #[async_trait]
    impl Stage for Fakes {
        fn runtime(&self) -> &dyn Runtime {
            &self.runtime
        }

        fn instance(&self, _play: Play) -> InstanceRequest {
            self.installation.instance("sleep")
        }

        fn command(&self, play: Play) -> (CommandLine, Environment) {
            self.runtime.faults(move |operation, _| {
                let hangs = play == Play::Sleep && matches!(operation, Operation::Run(..));
                hangs.then_some(Fault::Hang { done: false })
            });
            ("migrate".parse().expect("a command"), self.installation.environment(&[]))
        }

        fn let_end(&self, id: InstanceId) {
            self.runtime.end(id, "exit status 3");
        }
    }

    switchback_workers::runtime_conformance!(Fakes::new());
}
