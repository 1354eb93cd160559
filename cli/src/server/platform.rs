//! The parts of the platform as tasks: what follows the log, what works, what serves.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use commands::bus::Bus;
use domain::deployment::step::Lane;
use domain::id::ServiceId;
use domain::stream::Position;
use futures::future::join_all;
use gateway::app::{App, Settings};
use gateway::edge::Edge;
use gateway::operations::{Probes, ReadModels};
use gateway::route::{RouteFollower, ServiceRoutes};
use metrics_exporter_prometheus::PrometheusHandle;
use projections::projection::ALL;
use projections::projector::Projector;
use projections::route::{self, Route};
use projections::store::QueryError;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use workers::context::Context;
use workers::reconciler::{Reconciler, Wanted};

use crate::args::Up;
use crate::compose::{ComposeError, EdgeTraffic, Engines, Ports};
use crate::telemetry::metrics;
use crate::telemetry::watch::Watch;

/// How long the API may take to finish what is in flight.
const API_STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long the start waits for read models that are not there yet.
const FIRST_READ_LIMIT: Duration = Duration::from_secs(1);
/// How long an instance has to end when the platform stops.
const INSTANCE_GRACE: Duration = Duration::from_secs(5);

/// Where it serves.
pub(super) struct Listeners {
    /// The API.
    pub(super) api: TcpListener,
    /// The edge.
    pub(super) edge: TcpListener,
    /// The edge's address.
    pub(super) edge_address: SocketAddr,
}

/// What is looked at beside.
pub(super) struct Watched {
    /// The figures of the process.
    pub(super) figures: PrometheusHandle,
    /// The data directory.
    pub(super) data: PathBuf,
}

/// The platform, running.
pub(super) struct Platform {
    /// Ends what works: nothing new is taken up.
    work: CancellationToken,
    /// Ends what serves.
    serve: CancellationToken,
    /// Ends what follows the log.
    follow: CancellationToken,
    working: Vec<JoinHandle<()>>,
    serving: Vec<JoinHandle<()>>,
    following: Vec<JoinHandle<()>>,
    ports: Ports,
    engines: Engines,
}

impl Platform {
    /// Starts everything: first what follows the log, then what works, then what serves.
    pub(super) async fn start(
        args: &Up,
        bus: Bus,
        engines: Engines,
        ports: Ports,
        listeners: Listeners,
        watched: Watched,
    ) -> Result<Self, ComposeError> {
        let Listeners { api, edge: edge_listener, edge_address } = listeners;
        let (work, serve, follow) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let projector = Projector::new(Arc::clone(&engines.log), engines.reads.clone(), ALL);
        let watermark = projector.watermark();
        let mut following = vec![spawn(follow.clone(), |stop| async move {
            projector.run(stop.cancelled_owned()).await;
        })];
        // Read models that are nearly there are waited for, so that the first questions are answered.
        let head = engines.log.head().await.unwrap_or(Position::ZERO);
        let _ = watermark.wait_until(head, FIRST_READ_LIMIT).await;
        let (routes, position) = known_routes(&engines).await;
        let edge = Edge::new(gateway::edge::settings::Settings::default());
        let (follower, current) = RouteFollower::new(Arc::clone(&edge), by_service(&routes), position);
        following.push(spawn(follow.clone(), {
            let log = Arc::clone(&engines.log);
            move |stop| follower.run(stop, log)
        }));
        let traffic = Arc::new(EdgeTraffic::new(Arc::clone(&edge), current));
        let context = ports.context(args, bus.clone(), &engines, traffic);
        let working = start_work(&context, wanted(&routes.routes), position, &work);
        let probes = probes(&engines);
        following.push(spawn(follow.clone(), {
            let watch = watch(&watched, &engines, probes.clone());
            |stop| watch.run(stop)
        }));
        let metrics = metrics::scrape(watched.figures, {
            let edge = Arc::clone(&edge);
            move || gateway::measure::show_edge(&edge)
        });
        let app = App {
            bus,
            reads: engines.reads.clone(),
            watermark,
            logs: Arc::clone(&engines.logs),
            uploads: Arc::clone(&ports.uploads),
            probes,
            metrics,
            settings: Arc::new(settings(args, edge_address)),
            shutdown: serve.clone(),
        };
        let router = gateway::router::api(app);
        let serving = vec![
            spawn(serve.clone(), |stop| async move {
                let served = axum::serve(api, router).with_graceful_shutdown(stop.cancelled_owned()).await;
                if let Err(error) = served {
                    warn!(error = &error as &dyn std::error::Error, "the API stopped serving");
                }
            }),
            spawn(serve.clone(), |stop| edge.serve(edge_listener, stop)),
        ];
        Ok(Self { work, serve, follow, working, serving, following, ports, engines })
    }

    /// Stops everything, in the opposite order; what serves stays until requests in flight have ended.
    pub(super) async fn stop(self) {
        self.work.cancel();
        join_all(self.working).await;
        self.serve.cancel();
        let _ = tokio::time::timeout(API_STOP_LIMIT, join_all(self.serving)).await;
        self.ports.stop_instances(INSTANCE_GRACE).await;
        self.follow.cancel();
        join_all(self.following).await;
        self.engines.close().await;
    }
}

fn spawn<F, T>(stop: CancellationToken, part: F) -> JoinHandle<()>
where
    F: FnOnce(CancellationToken) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(part(stop))
}

fn start_work(
    context: &Context,
    wanted: Vec<Wanted>,
    position: Position,
    work: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let (router, runner) = (context.clone(), context.clone());
    let reconciler = Reconciler::new(context.clone(), wanted, position);
    vec![
        spawn(work.clone(), |stop| workers::router::run(router, stop)),
        spawn(work.clone(), |stop| workers::runner::run(runner, Lane::ALL.to_vec(), stop)),
        spawn(work.clone(), |stop| reconciler.run(stop)),
    ]
}

fn probes(engines: &Engines) -> Probes {
    let read_models = ReadModels { reads: engines.reads.clone(), log: Arc::clone(&engines.log) };
    Probes { engines: engines.probes(), read_models: Some(read_models) }
}

fn watch(watched: &Watched, engines: &Engines, probes: Probes) -> Watch {
    Watch {
        figures: watched.figures.clone(),
        probes,
        log: Some(Arc::clone(&engines.log)),
        logs: Some(Arc::clone(&engines.logs)),
        queue: Some(Arc::clone(&engines.queue)),
        data: Some(watched.data.clone()),
    }
}

/// What the read model says of routes.
#[derive(Default)]
struct Known {
    hostnames: Vec<route::Name>,
    routes: Vec<Route>,
}

/// The routes that the read model has. When it cannot be read, the log is read from its first position
/// instead.
async fn known_routes(engines: &Engines) -> (Known, Position) {
    let read = async {
        // The position first: what is read after it may be ahead of it, and is then applied again, which
        // changes nothing.
        let (routes, position) = route::all(&engines.reads).await?;
        Ok::<_, QueryError>((Known { hostnames: route::hostnames(&engines.reads).await?, routes }, position))
    };
    match read.await {
        Ok(known) => known,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "routes are read from the log itself");
            (Known::default(), Position::ZERO)
        }
    }
}

fn by_service(known: &Known) -> HashMap<ServiceId, ServiceRoutes> {
    let mut services: HashMap<ServiceId, ServiceRoutes> = HashMap::new();
    for name in &known.hostnames {
        services.entry(name.service).or_default().hostnames.insert(name.hostname.clone());
    }
    for route in &known.routes {
        // What ran when this was recorded ended with the platform, and its ports may be somebody else's by
        // now: requests wait until the reconciler says where the instances are.
        services.entry(route.service).or_default().live = Some((route.release, vec![]));
    }
    services
}

fn wanted(routes: &[Route]) -> Vec<Wanted> {
    let mut seen = BTreeSet::new();
    let first = routes.iter().filter(|route| seen.insert(route.service));
    first
        .map(|route| Wanted {
            organization: route.organization,
            service: route.service,
            release: route.release,
            deployment: route.deployment,
            instances: route.instances.clone(),
        })
        .collect()
}

fn settings(args: &Up, edge: SocketAddr) -> Settings {
    Settings {
        edge_port: (edge.port() != 80).then_some(edge.port()),
        local_repositories: args.listen.ip().is_loopback(),
        ..Settings::default()
    }
}
