//! How many steps of sagas are carried out in a second when the steps themselves cost nothing: the real log
//! and queue on disk, the real bus, router and runner, and fakes of everything else.
//!
//!     sagas_bench DIRECTORY [SERVICES]
//!
//! Each service is redeployed again and again, as many at once as there are services. A saga of a
//! redeployment has six steps and tells its service twice; the figure is given per step, and as sagas of
//! three.
#![expect(clippy::unwrap_used, reason = "a measure that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "it is what the example is for")]

extern crate switchback_workers as workers;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use commands::bus::Bus;
use commands::clock::SystemClock;
use commands::keyring::Keyring;
use commands::request::Request;
use commands::user::Installation;
use domain::context::Actor;
use domain::deployment::Event as DeploymentEvent;
use domain::deployment::step::Lane;
use domain::event::Event;
use domain::id::{OrganizationId, ServiceId, UserId};
use domain::plan::{Language, Plan, Run, Start};
use domain::project::Project;
use domain::service::Event as ServiceEvent;
use domain::source::Source;
use domain::stream::{Position, StreamId};
use eventlog::log::{Filter, SharedLog};
use eventlog::logs::Limits;
use eventlog::memory::MemoryLogs;
use eventlog::sqlite::{SqliteLog, SqliteQueue};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workers::builder::fake::FakeBuilder;
use workers::context::{Context, Settings};
use workers::ledger::Ledger;
use workers::registry::fake::FakeRegistry;
use workers::runtime::fake::FakeRuntime;
use workers::source::fake::FakeSource;
use workers::traffic::NoTraffic;

const OWNER: UserId = UserId(Uuid::from_u128(0xa));
const HOME: OrganizationId = OrganizationId(Uuid::from_u128(0xb));
const WARM_UP: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_secs(8);
const STEPS_OF_A_SMALL_SAGA: f64 = 3.0;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("a directory");
    let services = arguments.next().map_or(64, |count| count.parse().expect("how many services"));
    let directory = tempfile::tempdir_in(directory).unwrap();
    let context = context(directory.path()).await;
    let services = make_services(&context.bus, services).await;
    let stop = CancellationToken::new();
    let router = tokio::spawn(workers::router::run(context.clone(), stop.clone()));
    let runner = tokio::spawn(workers::runner::run(context.clone(), Lane::ALL.to_vec(), stop.clone()));
    let again = tokio::spawn(deploy_again_and_again(context.bus.clone()));
    for service in &services {
        let source =
            Source::Repository { url: "https://example.com/app.git".parse().unwrap(), reference: None };
        context.bus.deploy(&request(), HOME, *service, source, false).await.unwrap();
    }
    tokio::time::sleep(WARM_UP).await;
    let (steps, sagas) = count(context.bus.log()).await;
    println!(
        "{} services: {steps:.0} steps/s of {sagas:.0} redeployments/s, {:.0} sagas of three steps/s",
        services.len(),
        steps / STEPS_OF_A_SMALL_SAGA
    );
    let figure = serde_json::json!({
        "what": format!("sagas of three empty steps, {} at once, on disk", services.len()),
        "unit": "per s", "ours": steps / STEPS_OF_A_SMALL_SAGA, "goal": { "at_least": 700 },
    });
    println!("FIGURE {figure}");
    again.abort();
    stop.cancel();
    let _ = tokio::join!(router, runner);
}

fn request() -> Request {
    Request::new(Actor::user(OWNER))
}

async fn context(directory: &Path) -> Context {
    let log: SharedLog = Arc::new(SqliteLog::open(directory).await.unwrap());
    let keyring = Keyring::open(&directory.join("keys")).unwrap();
    let bus = Bus::new(log, Arc::new(SystemClock), keyring);
    bus.set_up(Installation { owner: OWNER, organization: HOME }).await.unwrap();
    let ledger = Ledger::default();
    let builder = FakeBuilder::new(ledger.clone(), directory.join("builds"));
    builder.detects(plan());
    Context {
        bus,
        queue: Arc::new(SqliteQueue::open(directory).await.unwrap()),
        logs: Arc::new(MemoryLogs::new(Limits::default())),
        source: Arc::new(FakeSource::new(ledger.clone())),
        builder: Arc::new(builder),
        registry: Arc::new(FakeRegistry::new(ledger)),
        runtime: Arc::new(FakeRuntime::default()),
        traffic: Arc::new(NoTraffic),
        settings: Settings { builds_max: 64, ..Settings::new(directory.join("builds")) },
    }
}

fn plan() -> Plan {
    let mut run = Run::new(Start::Static { directory: ".".into() });
    run.drain_ms = 0;
    let language = Language::Static;
    Plan {
        language,
        detected_by: "a fake".into(),
        root: String::new(),
        dockerfile: None,
        install: vec![],
        build: vec![],
        run,
    }
}

async fn make_services(bus: &Bus, count: usize) -> Vec<ServiceId> {
    let (project, _) = bus.create_project(&request(), HOME, "shop".parse().unwrap()).await.unwrap();
    let state = bus.state::<Project>(StreamId::project(HOME, project)).await.unwrap();
    let Project::Active { environments, .. } = state else { panic!("no project") };
    let place = (project, *environments.keys().next().unwrap());
    let mut services = vec![];
    for number in 0..count {
        let name = format!("web-{number}").parse().unwrap();
        services.push(bus.create_service(&request(), HOME, place, name, "localhost").await.unwrap().0);
    }
    services
}

/// Asks for the next deployment of a service as soon as the one before is over.
async fn deploy_again_and_again(bus: Bus) {
    let mut commits = bus.log().subscribe(Position::ZERO, Filter::all()).await;
    while let Some(commit) = commits.next().await {
        for recorded in commit.unwrap().events {
            let is_over = matches!(&recorded.event, Event::Service(ServiceEvent::DeploymentEnded { .. }));
            if is_over {
                let (bus, service) = (bus.clone(), ServiceId(recorded.stream.id));
                tokio::spawn(async move { bus.redeploy(&request(), HOME, service, None).await.unwrap() });
            }
        }
    }
}

/// Steps done and deployments gone live, per second.
async fn count(log: &SharedLog) -> (f64, f64) {
    let mut commits = log.subscribe(log.head().await.unwrap(), Filter::all()).await;
    let (begin, mut steps, mut live) = (Instant::now(), 0_u32, 0_u32);
    while begin.elapsed() < PERIOD {
        let Ok(Some(commit)) = tokio::time::timeout(PERIOD, commits.next()).await else { break };
        for recorded in commit.unwrap().events {
            let Event::Deployment(event) = recorded.event else { continue };
            steps += u32::from(matches!(event, DeploymentEvent::StepSucceeded { .. }));
            live += u32::from(matches!(event, DeploymentEvent::WentLive { .. }));
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    (f64::from(steps) / seconds, f64::from(live) / seconds)
}
