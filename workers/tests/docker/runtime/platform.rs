//! The platform over a real Docker Engine: the real bus, router, runner and reconciler; what is fetched,
//! built and pushed is not real, and what runs is BusyBox.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use commands::bus::Bus;
use commands::clock::SystemClock;
use commands::keyring::Keyring;
use commands::request::Request;
use commands::user::Installation;
use domain::context::Actor;
use domain::deployment::Deployment;
use domain::deployment::step::Lane;
use domain::digest::Digest;
use domain::id::{DeploymentId, OrganizationId, ServiceId, UserId};
use domain::plan::{Language, Plan, Run, Start};
use domain::project::Project;
use domain::service::release::Build;
use domain::service::{Active, Service};
use domain::source::Source;
use domain::stream::{Position, StreamId};
use eventlog::log::SharedLog;
use eventlog::logs::Limits;
use eventlog::memory::{MemoryLog, MemoryLogs, MemoryQueue};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workers::builder::BuildRequest;
use workers::builder::fake::FakeBuilder;
use workers::context::{Context, Settings};
use workers::key::StepKey;
use workers::ledger::Ledger;
use workers::reconciler::Reconciler;
use workers::registry::fake::FakeRegistry;
use workers::registry::{Files, Registry, RegistryError};
use workers::runtime::docker::DockerRuntime;
use workers::source::fake::FakeSource;
use workers::traffic::NoTraffic;

use crate::engine::{BUSYBOX, TestEngine};
use crate::runtime::stage::{settings, until};

const OWNER: UserId = UserId(Uuid::from_u128(0xa));
pub(crate) const HOME: OrganizationId = OrganizationId(Uuid::from_u128(0xb));
const PATIENCE: Duration = Duration::from_secs(120);

/// Whatever was pushed is the one image.
struct Images(FakeRegistry);

#[async_trait]
impl Registry for Images {
    async fn push(
        &self,
        key: StepKey,
        request: &BuildRequest,
        recipe: &str,
    ) -> Result<Digest, RegistryError> {
        self.0.push(key, request, recipe).await
    }

    async fn find(&self, service: ServiceId, recipe: &str) -> Result<Option<Digest>, RegistryError> {
        self.0.find(service, recipe).await
    }

    async fn locate(&self, service: ServiceId, build: &Build) -> Result<Files, RegistryError> {
        self.0.locate(service, build).await.map(|_| Files::Image(BUSYBOX.into()))
    }
}

/// What outlives the platform's processes.
pub(crate) struct World {
    pub(crate) engine: TestEngine,
    pub(crate) service: ServiceId,
    log: SharedLog,
    queue: Arc<MemoryQueue>,
    pub(crate) logs: Arc<MemoryLogs>,
    source: Arc<FakeSource>,
    builder: Arc<FakeBuilder>,
    registry: Arc<Images>,
    bus: Bus,
    directory: TempDir,
}

/// A process of the platform.
pub(crate) struct Running {
    tasks: JoinSet<()>,
    pub(crate) runtime: Arc<DockerRuntime>,
    stop: CancellationToken,
}

impl Running {
    /// Ends it; what it runs goes on.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl World {
    pub(crate) async fn new(engine: TestEngine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log: SharedLog = Arc::new(MemoryLog::new());
        let keyring = Keyring::open(&directory.path().join("keys")).unwrap();
        let bus = Bus::new(Arc::clone(&log), Arc::new(SystemClock), keyring);
        bus.set_up(Installation { owner: OWNER, organization: HOME }).await.unwrap();
        let service = make_service(&bus).await;
        let ledger = Ledger::default();
        let builder = FakeBuilder::new(ledger.clone(), directory.path().join("builds"));
        builder.detects(plan());
        Self {
            engine,
            service,
            queue: Arc::new(MemoryQueue::new()),
            logs: Arc::new(MemoryLogs::new(Limits::default())),
            source: Arc::new(FakeSource::new(ledger.clone())),
            builder: Arc::new(builder),
            registry: Arc::new(Images(FakeRegistry::new(ledger))),
            log,
            bus,
            directory,
        }
    }

    /// Starts a process whose reconciler begins with what is known at a position.
    pub(crate) fn start_at(&self, position: Position) -> Running {
        let runtime = Arc::new(DockerRuntime::connect(settings(&self.engine)).unwrap());
        let context = Context {
            bus: Bus::new(Arc::clone(&self.log), Arc::new(SystemClock), self.bus.keyring().clone()),
            queue: Arc::<MemoryQueue>::clone(&self.queue),
            logs: Arc::<MemoryLogs>::clone(&self.logs),
            source: Arc::<FakeSource>::clone(&self.source),
            builder: Arc::<FakeBuilder>::clone(&self.builder),
            registry: Arc::<Images>::clone(&self.registry),
            runtime: Arc::<DockerRuntime>::clone(&runtime),
            traffic: Arc::new(NoTraffic),
            settings: Settings {
                lease: Duration::from_secs(2),
                ..Settings::new(self.directory.path().join("builds"))
            },
        };
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let reconciler = Reconciler::new(context.clone(), vec![], position);
        tasks.spawn(workers::router::run(context.clone(), stop.clone()));
        tasks.spawn(workers::runner::run(context, Lane::ALL.to_vec(), stop.clone()));
        tasks.spawn(reconciler.run(stop.clone()));
        Running { tasks, runtime, stop }
    }

    pub(crate) fn start(&self) -> Running {
        self.start_at(Position::ZERO)
    }

    pub(crate) async fn head(&self) -> Position {
        self.log.head().await.unwrap()
    }

    fn request() -> Request {
        Request::new(Actor::user(OWNER))
    }

    /// Asks for a deployment.
    pub(crate) async fn deploy(&self) -> DeploymentId {
        self.source.advance();
        let source =
            Source::Repository { url: "https://example.com/app.git".parse().unwrap(), reference: None };
        self.bus.deploy(&Self::request(), HOME, self.service, source, false).await.unwrap().0
    }

    pub(crate) async fn active(&self) -> Box<Active> {
        let state = self.bus.state::<Service>(StreamId::service(HOME, self.service)).await.unwrap();
        let Service::Active(active) = state else { panic!("{state:?}") };
        active
    }

    /// Waits until a deployment is over and its service has been told.
    pub(crate) async fn finished(&self, id: DeploymentId) {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let state: Deployment = self.bus.state(StreamId::deployment(HOME, id)).await.unwrap();
                let is_told = self.active().await.turn.as_ref().is_none_or(|turn| turn.deployment != id);
                if matches!(state, Deployment::Over { .. }) && is_told {
                    return state;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let state = waited.await.expect("it is over in time");
        let Deployment::Over { why, .. } = state else { panic!("{state:?}") };
        assert_eq!(why, None);
    }

    /// Waits until exactly the instances of the live release run, and each answers where the log says.
    pub(crate) async fn settled(&self, runtime: &DockerRuntime) {
        use workers::runtime::{InstanceState, Runtime};
        until("what should run runs, and nothing else", async || {
            let active = self.active().await;
            let Some(live) = active.live.as_ref().filter(|live| live.instances.len() == 2) else {
                return false;
            };
            let ids: Vec<_> = live.instances.iter().map(|instance| instance.id).collect();
            if runtime.list().await.ok() != Some(ids) {
                return false;
            }
            for instance in &live.instances {
                let running = InstanceState::Running { address: instance.address };
                let state = runtime.state(instance.id).await.ok();
                if state != Some(running) || tokio::net::TcpStream::connect(instance.address).await.is_err() {
                    return false;
                }
            }
            true
        })
        .await;
    }
}

fn plan() -> Plan {
    let mut run = Run::new(Start::Command("httpd -f -p $PORT -h /etc".parse().unwrap()));
    run.release = Some("echo migrated".parse().unwrap());
    run.replicas = 2;
    run.drain_ms = 0;
    Plan {
        language: Language::Other,
        detected_by: "a fake".into(),
        root: String::new(),
        dockerfile: None,
        install: vec![],
        build: vec![],
        run,
    }
}

async fn make_service(bus: &Bus) -> ServiceId {
    let request = || World::request();
    let (project, _) = bus.create_project(&request(), HOME, "shop".parse().unwrap()).await.unwrap();
    let state = bus.state::<Project>(StreamId::project(HOME, project)).await.unwrap();
    let Project::Active { environments, .. } = state else { panic!("no project") };
    let place = (project, *environments.keys().next().unwrap());
    bus.create_service(&request(), HOME, place, "web".parse().unwrap(), "localhost").await.unwrap().0
}
