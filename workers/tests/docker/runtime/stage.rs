//! A runtime in an engine, programs of BusyBox, and a store for what they print.

use std::sync::Arc;
use std::time::Duration;

use domain::deployment::step::Fence;
use domain::id::{DeploymentId, OrganizationId, ServiceId};
use domain::plan::Start;
use domain::secret::Secret;
use domain::service::release::{Instance, InstanceId};
use eventlog::logs::{Channel, Limits, Line, LogName, LogStore};
use eventlog::memory::MemoryLogs;
use uuid::Uuid;
use workers::output::Output;
use workers::registry::Files;
use workers::runtime::docker::{DockerRuntime, Settings};
use workers::runtime::{Environment, Exit, InstanceRequest, Runtime};

use crate::engine::{BUSYBOX, LIMIT, TestEngine};

pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// What lines are stored under.
pub(crate) const ORIGIN: &str = "v1.0";

pub(crate) struct Stage {
    pub(crate) runtime: DockerRuntime,
    pub(crate) engine: TestEngine,
    pub(crate) service: ServiceId,
    pub(crate) logs: Arc<MemoryLogs>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let engine = TestEngine::new();
        let mut settings = settings(&engine);
        change(&mut settings);
        Self::of(engine, settings)
    }

    pub(crate) fn of(engine: TestEngine, settings: Settings) -> Self {
        Self {
            runtime: DockerRuntime::connect(settings).unwrap(),
            engine,
            service: ServiceId(Uuid::now_v7()),
            logs: Arc::new(MemoryLogs::new(Limits::default())),
        }
    }

    /// Another process of the platform with the same installation.
    pub(crate) fn other(&self) -> DockerRuntime {
        DockerRuntime::connect(settings(&self.engine)).unwrap()
    }

    pub(crate) fn log(&self) -> LogName {
        LogName::Application(self.service)
    }

    /// Where lines go.
    pub(crate) fn output(&self) -> Output {
        let logs: Arc<dyn LogStore> = Arc::<MemoryLogs>::clone(&self.logs);
        let (output, storing) = Output::to(logs, self.log(), ORIGIN);
        tokio::spawn(storing);
        output
    }

    pub(crate) async fn lines(&self) -> Vec<Line> {
        self.logs.read(self.log(), 0, 10_000).await.unwrap()
    }

    /// What was printed, on both channels.
    pub(crate) async fn printed(&self) -> Vec<String> {
        let lines = self.lines().await.into_iter();
        lines.filter(|line| line.channel != Channel::Platform).map(|line| line.text).collect()
    }

    /// Waits until a line is stored.
    pub(crate) async fn wait_for(&self, text: &str) {
        until(text, async || self.lines().await.iter().any(|line| line.text == text)).await;
    }

    pub(crate) fn environment(&self) -> Environment {
        Environment {
            organization: OrganizationId(Uuid::from_u128(5)),
            service: self.service,
            files: Files::Image(BUSYBOX.into()),
            root: String::new(),
            port: None,
            read_only: false,
            variables: [("SWITCHBACK_RELEASE".to_owned(), Secret::new("v1"))].into(),
            memory_bytes: None,
            cpu_millis: None,
        }
    }

    /// A new instance that runs a command.
    pub(crate) fn instance(&self, command: &str) -> InstanceRequest {
        InstanceRequest {
            id: InstanceId { deployment: DeploymentId(Uuid::now_v7()), ordinal: 0 },
            start: Start::Command(command.parse().expect(command)),
            environment: self.environment(),
            address: None,
        }
    }

    /// A new instance that runs a script of this test's own.
    pub(crate) fn script(&self, script: &str) -> InstanceRequest {
        let mut request = self.instance("sh -c $SCRIPT");
        request.environment.variables.insert("SCRIPT".into(), Secret::new(script));
        request
    }

    pub(crate) async fn start(&self, request: &InstanceRequest) -> Instance {
        self.runtime.start(Fence(1), request, self.output()).await.expect("it starts")
    }

    /// Runs a script in a container to its end and answers with what it printed.
    pub(crate) async fn run(&self, request: &InstanceRequest) -> (Exit, Vec<String>) {
        let mut exits = self.runtime.exits();
        self.start(request).await;
        let exit = tokio::time::timeout(LIMIT, exits.recv()).await.expect("it ends").unwrap();
        let said = format!("the program ended with {}", exit.exit);
        self.wait_for(&said).await;
        self.runtime.stop(request.id, GRACE).await.unwrap();
        (exit, self.printed().await)
    }

    /// Sees that nothing is left in the engine.
    pub(crate) async fn is_empty(&self) {
        assert_eq!(self.engine.containers().await, Vec::<String>::new(), "containers are left");
        assert_eq!(self.engine.networks().await, Vec::<String>::new(), "networks are left");
    }
}

pub(crate) fn settings(engine: &TestEngine) -> Settings {
    Settings::new(engine.url.clone(), engine.installation)
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let look = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, look).await.unwrap_or_else(|_| panic!("it is not so: {what}"));
}
