//! A platform in memory: the real bus, router, runner and reconciler over fakes that outlive it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commands::bus::Bus;
use commands::clock::SystemClock;
use commands::keyring::Keyring;
use commands::request::Request;
use commands::service::VariableChange;
use commands::user::Installation;
use domain::context::Actor;
use domain::deployment::Deployment;
use domain::deployment::step::{Lane, Step};
use domain::id::{DeploymentId, OrganizationId, ServiceId, UserId};
use domain::plan::{Language, Plan, Run, Start};
use domain::project::Project;
use domain::rollback::Target;
use domain::secret::Secret;
use domain::service::release::ReleaseNumber;
use domain::service::{Active, Service};
use domain::source::Source;
use domain::stream::{Position, StreamId};
use eventlog::crash::{INJECTOR, Injector, Verdict};
use eventlog::log::SharedLog;
use eventlog::logs::{Limits, LogName, LogStore};
use eventlog::memory::{MemoryLog, MemoryLogs, MemoryQueue};
use eventlog::queue::SharedQueue;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workers::builder::fake::FakeBuilder;
use workers::context::{Context, Settings};
use workers::ledger::Ledger;
use workers::reconciler::Reconciler;
use workers::registry::fake::FakeRegistry;
use workers::runtime::fake::FakeRuntime;
use workers::source::fake::FakeSource;
use workers::traffic::NoTraffic;

pub(crate) const OWNER: UserId = UserId(Uuid::from_u128(0xa));
pub(crate) const HOME: OrganizationId = OrganizationId(Uuid::from_u128(0xb));
/// A value that must not be found anywhere.
pub(crate) const CANARY: &str = "canary-31c0ffee-value";
/// How long anything may take (the invariants say 60 s).
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a worker that died keeps its work from others.
const LEASE: Duration = Duration::from_millis(300);

/// The world: what outlives the platform.
pub(crate) struct World {
    pub(crate) log: SharedLog,
    pub(crate) queue: SharedQueue,
    pub(crate) ledger: Ledger,
    pub(crate) runtime: Arc<FakeRuntime>,
    pub(crate) service: ServiceId,
    source: Arc<FakeSource>,
    builder: Arc<FakeBuilder>,
    pub(crate) registry: Arc<FakeRegistry>,
    logs: Arc<MemoryLogs>,
    bus: Bus,
    pub(crate) directory: TempDir,
    limits: BTreeMap<Step, Duration>,
}

/// The platform, running.
pub(crate) struct Running {
    tasks: JoinSet<()>,
    died: Arc<Notify>,
    pub(crate) reached: Arc<Mutex<BTreeSet<String>>>,
}

impl World {
    pub(crate) async fn new() -> Self {
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
            queue: Arc::new(MemoryQueue::new()),
            runtime: Arc::new(FakeRuntime::default()),
            source: Arc::new(FakeSource::new(ledger.clone())),
            builder: Arc::new(builder),
            registry: Arc::new(FakeRegistry::new(ledger.clone())),
            logs: Arc::new(MemoryLogs::new(Limits::default())),
            log,
            ledger,
            service,
            bus,
            directory,
            limits: BTreeMap::new(),
        }
    }

    /// Shortens every step's limit, for tests in which something hangs.
    pub(crate) fn limit_steps(&mut self, limit: Duration) {
        self.limits = Step::ALL.into_iter().map(|step| (step, limit)).collect();
    }

    pub(crate) fn context(&self) -> Context {
        // A bus of its own: a platform that starts remembers nothing.
        let keyring = self.bus.keyring().clone();
        let settings = Settings::new(self.directory.path().join("builds"));
        Context {
            bus: Bus::new(Arc::clone(&self.log), Arc::new(SystemClock), keyring),
            queue: Arc::clone(&self.queue),
            logs: Arc::<MemoryLogs>::clone(&self.logs),
            source: Arc::<FakeSource>::clone(&self.source),
            builder: Arc::<FakeBuilder>::clone(&self.builder),
            registry: Arc::<FakeRegistry>::clone(&self.registry),
            runtime: Arc::<FakeRuntime>::clone(&self.runtime),
            traffic: Arc::new(NoTraffic),
            settings: Settings { lease: LEASE, limits: self.limits.clone(), rollouts_max: 4, ..settings },
        }
    }

    /// Starts the platform.
    pub(crate) fn start(&self) -> Running {
        self.start_to_die(None)
    }

    /// Starts the platform; it dies when it comes to a point the first time.
    pub(crate) fn start_to_die(&self, at: Option<&str>) -> Running {
        let (died, reached) = (Arc::new(Notify::new()), Arc::<Mutex<BTreeSet<String>>>::default());
        let injector: Injector = Arc::new({
            let (died, reached, at) = (Arc::clone(&died), Arc::clone(&reached), at.map(str::to_owned));
            move |name: &str| {
                reached.lock().unwrap().insert(name.to_owned());
                if at.as_deref() == Some(name) {
                    died.notify_one();
                    return Verdict::Die;
                }
                Verdict::GoOn
            }
        });
        let context = self.context();
        let mut tasks = JoinSet::new();
        let stop = CancellationToken::new();
        let reconciler = Reconciler::new(context.clone(), vec![], Position::ZERO);
        tasks.spawn(
            INJECTOR.scope(Arc::clone(&injector), workers::router::run(context.clone(), stop.clone())),
        );
        let runner = workers::runner::run(context, Lane::ALL.to_vec(), stop.clone());
        tasks.spawn(INJECTOR.scope(Arc::clone(&injector), runner));
        tasks.spawn(INJECTOR.scope(injector, reconciler.run(stop)));
        Running { tasks, died, reached }
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

    /// Asks for what an earlier release ran.
    pub(crate) async fn roll_back(&self, to: ReleaseNumber) -> DeploymentId {
        self.bus.roll_back(&Self::request(), HOME, self.service, Target::Release(to)).await.unwrap().0
    }

    /// What a deployment said.
    pub(crate) async fn lines(&self, deployment: DeploymentId) -> Vec<String> {
        let lines = self.logs.read(LogName::Build(deployment), 0, 1_000).await.unwrap();
        lines.into_iter().map(|line| line.text).collect()
    }

    /// Asks for another value of a variable.
    pub(crate) async fn set_variable(&self, value: &str) -> Option<DeploymentId> {
        let set = BTreeMap::from([("TOKEN".parse().unwrap(), Secret::new(value))]);
        let change = VariableChange { set, unset: BTreeSet::new(), deploy: true };
        self.bus.change_variables(&Self::request(), HOME, self.service, change).await.unwrap().0
    }

    /// Asks to stop a deployment.
    pub(crate) async fn cancel(&self, deployment: DeploymentId) -> Result<(), commands::error::CommandError> {
        self.bus.cancel(&Self::request(), HOME, self.service, deployment).await.map(|_| ())
    }

    /// The service as it is in the log.
    pub(crate) async fn active(&self) -> Box<Active> {
        let state = self.bus.state::<Service>(StreamId::service(HOME, self.service)).await.unwrap();
        let Service::Active(active) = state else { panic!("{state:?}") };
        active
    }

    /// The deployment as it is in the log.
    pub(crate) async fn deployment(&self, id: DeploymentId) -> Deployment {
        self.bus.state(StreamId::deployment(HOME, id)).await.unwrap()
    }

    /// Waits until a deployment is over and its service has been told.
    pub(crate) async fn finished(&self, id: DeploymentId) -> Deployment {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let state = self.deployment(id).await;
                let is_told = self.active().await.turn.as_ref().is_none_or(|turn| turn.deployment != id);
                if matches!(state, Deployment::Over { .. }) && is_told {
                    return state;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        match waited.await {
            Ok(state) => state,
            Err(_) => panic!("never over: {:?}", self.deployment(id).await),
        }
    }

    /// Waits until a deployment is over and no worker has anything in hand.
    pub(crate) async fn all_done(&self, id: DeploymentId) {
        self.finished(id).await;
        for lane in Lane::ALL {
            while self.queue.depth(lane.as_str()).await.unwrap() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        // The last thing a worker does comes after its item is gone.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Running {
    /// Waits until it has died where it was told to, or something else is so. Whether it died.
    pub(crate) async fn died_before(&self, other: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = self.died.notified() => true,
            () = other => false,
        }
    }

    /// Kills it: nothing of it goes on.
    pub(crate) async fn kill(mut self) -> BTreeSet<String> {
        self.tasks.shutdown().await;
        std::mem::take(&mut *self.reached.lock().unwrap())
    }
}

fn plan() -> Plan {
    let mut run = Run::new(Start::Static { directory: ".".into() });
    run.release = Some("./migrate".parse().unwrap());
    run.replicas = 2;
    run.drain_ms = 0;
    Plan {
        language: Language::Static,
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
