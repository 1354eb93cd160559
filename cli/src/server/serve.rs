//! `serve`: some roles, in a process of their own.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;
use commands::bus::Bus;
use domain::deployment::step::Lane;
use eventlog::entries::{EntryError, Key};
use eventlog::installation::Installation;
use gateway::app::App;
use gateway::operations::router as operations_router;
use metrics_exporter_prometheus::PrometheusHandle;
use projections::wait::Watermark;
use tokio::net::TcpListener;

use super::observe::Observer;
use super::parts::Parts;
use super::ready::Addresses;
use super::worker::Lead;
use super::{StartError, edge, gateway as api, projector, ready, signals, worker};
use crate::args::{Global, Role, Serve, Settings};
use crate::client::failure::{Exit, Failure};
use crate::compose::{self, Engines, Ports, RemoteTraffic};
use crate::home::{Home, HomeError};
use crate::telemetry;
use crate::ui::Ui;

/// Says that the owner's token was given out, and by whom.
const TOKEN_GIVEN: &str = "owner-token-given-by";

/// Runs the roles until it is told to stop.
pub(crate) async fn serve(args: Serve, global: &Global) -> ExitCode {
    let ui = Ui::new(global);
    let roles: Vec<_> = args.roles().into_iter().filter_map(|role| role.to_possible_value()).collect();
    let role = roles.iter().map(|role| role.get_name()).collect::<Vec<_>>().join("+");
    let otlp = args.settings.otlp.clone();
    let telemetry = match telemetry::start(telemetry::Settings { quiet: global.quiet, role: &role, otlp }) {
        Ok(telemetry) => telemetry,
        Err(error) => return Failure::of(Exit::Failed, &error).report(&ui),
    };
    let ran = Box::pin(run(args, &ui, telemetry.figures())).await;
    telemetry.stop().await;
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::of(Exit::Failed, &error).report(&ui),
    }
}

async fn run(args: Serve, ui: &Ui, figures: &PrometheusHandle) -> Result<(), StartError> {
    let (began, roles, settings) = (Instant::now(), args.roles(), &args.settings);
    check(&roles, settings)?;
    let mut stop = signals::Stop::listen();
    let home = Home::open(&settings.data_directory().ok_or(HomeError::Nowhere)?)?;
    let starting = Starting::bind(roles.clone(), settings).await?;
    let addresses = starting.addresses.clone();
    let observer = Observer { figures: figures.clone(), data: home.path().to_owned() };
    let process = Process { settings, home: &home };
    let mut parts = Parts::default();
    let started = tokio::select! {
        started = process.start(&mut parts, starting, observer) => Some(started?),
        () = stop.asked() => None,
    };
    if started.is_some() {
        ready::roles(ui, began, &roles, &addresses)?;
        stop.asked().await;
        ui.note("stopping: requests in flight finish; work in hand goes to another worker");
    }
    tokio::select! {
        () = parts.stop(async {}) => {}
        () = stop.asked_again() => ui.note("stopped at once"),
    }
    if let Some(engines) = started.flatten() {
        engines.close().await;
    }
    Ok(())
}

/// What roles in processes of their own cannot do without.
fn check(roles: &BTreeSet<Role>, settings: &Settings) -> Result<(), StartError> {
    let missing = |flag: &str, why: &str| Err(StartError::Missing(format!("{flag} is missing: {why}")));
    if settings.log.log.is_empty() {
        return missing(
            "--log",
            "processes share the event log of a NATS server, as in --log nats://host:4222; everything in one \
             process is `switchback up`",
        );
    }
    if let Some(url) = settings.log.log.iter().find(|url| !matches!(url.scheme(), "nats" | "tls")) {
        let said =
            "--log of processes that share it is that of a NATS server, as in nats://host:4222, and not";
        return Err(StartError::Missing(format!("{said} {}", compose::shown(url))));
    }
    let reads = [Role::Gateway, Role::Projector, Role::Worker].iter().any(|role| roles.contains(role));
    if reads && settings.read.read.is_none() {
        return missing(
            "--read",
            "processes share the read models of a PostgreSQL server, as in --read postgres://user@host/database",
        );
    }
    let opens = [Role::Gateway, Role::Worker].iter().any(|role| roles.contains(role));
    if opens && settings.keys.master_key.is_none() {
        return missing(
            "--master-key",
            "processes share keys that are wrapped by one; make it once with `openssl rand -hex 32 > FILE`, \
             chmod it to 0600, and give the same to all",
        );
    }
    let docker =
        |url: &Option<url::Url>| url.as_ref().is_some_and(|url| matches!(url.scheme(), "docker" | "unix"));
    if roles.contains(&Role::Worker) && !docker(&settings.work.runtime) {
        return missing(
            "--runtime docker:",
            "what runs as processes of a worker ends with it, so workers of their own run containers",
        );
    }
    Ok(())
}

/// The roles, and the addresses that they have taken.
struct Starting {
    roles: BTreeSet<Role>,
    addresses: Addresses,
    api: Option<TcpListener>,
    edges: Option<edge::Listeners>,
    operations: Option<TcpListener>,
}

impl Starting {
    async fn bind(roles: BTreeSet<Role>, settings: &Settings) -> Result<Self, StartError> {
        let mut addresses = Addresses::default();
        let (mut api, mut edges) = (None, None);
        if roles.contains(&Role::Gateway) {
            let listener = super::listen(settings.listen, "--listen").await?;
            addresses.api = Some(super::address_of(&listener, settings.listen));
            api = Some(listener);
        }
        if roles.contains(&Role::Edge) {
            let listeners = edge::Listeners::bind(settings).await?;
            addresses.edge = Some(listeners.address(settings));
            addresses.https = listeners.https();
            edges = Some(listeners);
        }
        let operations = super::bind_operations(settings).await?;
        addresses.operations = operations.as_ref().and_then(|listener| listener.local_addr().ok());
        Ok(Self { roles, addresses, api, edges, operations })
    }
}

/// What all roles of a process are given.
struct Process<'a> {
    settings: &'a Settings,
    home: &'a Home,
}

impl Process<'_> {
    /// Starts the roles. Answers with the engines, unless an edge alone needs none to serve.
    async fn start(
        &self,
        parts: &mut Parts,
        mut starting: Starting,
        observer: Observer,
    ) -> Result<Option<Engines>, StartError> {
        let apart = starting.edges.take().map(|listeners| {
            (edge::Apart::new(self.home.join("routes.json"), self.home.process_name()), listeners)
        });
        match apart {
            Some((apart, listeners)) if starting.roles.len() == 1 => {
                self.start_edge_alone(parts, apart, listeners, starting.operations, observer).await?;
                Ok(None)
            }
            apart => self.start_on_engines(parts, starting, apart, observer).await.map(Some),
        }
    }

    /// An edge that has routes serves at once, whatever is away; one without waits for the log.
    async fn start_edge_alone(
        &self,
        parts: &mut Parts,
        apart: edge::Apart,
        listeners: edge::Listeners,
        operations: Option<TcpListener>,
        observer: Observer,
    ) -> Result<(), StartError> {
        let edge = Arc::clone(apart.edge());
        if apart.has_routes {
            apart.follow_later(parts, self.settings);
        } else {
            let (heard, installation) = compose::hear(self.settings).await?;
            apart.follow(parts, heard, installation).await.map_err(StartError::Read)?;
        }
        let (probes, metrics) = observer.of_edge(parts, &edge);
        if let Some(listener) = operations {
            api::serve(parts, operations_router(metrics, probes), listener);
        }
        edge::serve(parts, &edge, listeners)
    }

    /// First what follows the log, then what works, then what serves.
    async fn start_on_engines(
        &self,
        parts: &mut Parts,
        starting: Starting,
        apart: Option<(edge::Apart, edge::Listeners)>,
        observer: Observer,
    ) -> Result<Engines, StartError> {
        let (settings, has) = (self.settings, |role| starting.roles.contains(&role));
        let engines = compose::engines(settings, self.home).await?;
        let installation = compose::installation(&engines, settings, self.home).await?;
        let watermark = if has(Role::Projector) {
            projector::start(parts, &engines)
        } else {
            Watermark::polling(engines.reads.clone())
        };
        let edge = apart.as_ref().map(|(apart, _)| Arc::clone(apart.edge()));
        if let Some((apart, listeners)) = apart {
            let edge = Arc::clone(apart.edge());
            apart.follow(parts, engines.heard(), installation.id).await.map_err(StartError::Read)?;
            edge::serve(parts, &edge, listeners)?;
        }
        // Only a worker comes near to what runs.
        let ports = has(Role::Worker)
            .then(|| compose::ports(settings, self.home, &engines, installation.id))
            .transpose()?;
        let others = ports.as_ref().map(Ports::probes).unwrap_or_default();
        let (probes, metrics) = observer.start(parts, &engines, others, edge);
        if let Some(listener) = starting.operations {
            api::serve(parts, operations_router(Arc::clone(&metrics), probes.clone()), listener);
        }
        if ports.is_none() && starting.api.is_none() {
            return Ok(engines);
        }
        let bus = compose::bus(&engines, settings, self.home).await?;
        if has(Role::Gateway) {
            super::set_up(&bus, installation).await?;
            self.give_out_token(&engines, &bus, installation).await?;
        }
        if let Some(ports) = &ports {
            for warning in ports.warnings().await {
                tracing::warn!("{warning}");
            }
            self.start_worker(parts, &engines, ports, bus.clone());
        }
        if let Some(listener) = starting.api {
            let app = App {
                bus,
                reads: engines.reads.clone(),
                watermark,
                logs: Arc::clone(&engines.logs),
                uploads: compose::uploads(&engines),
                probes,
                metrics,
                settings: Arc::new(super::api_settings(settings, settings.traffic.edge)),
                shutdown: parts.serve.token(),
            };
            api::start(parts, app, listener);
        }
        Ok(engines)
    }

    fn start_worker(&self, parts: &mut Parts, engines: &Engines, ports: &Ports, bus: Bus) {
        let traffic = Arc::new(RemoteTraffic::new(Arc::clone(&engines.calls)));
        let context = ports.context(self.settings, bus, engines, traffic);
        let lanes = super::lanes(self.settings);
        let lead = lanes
            .contains(&Lane::Rollout)
            .then(|| Lead::Elected { holder: self.home.process_name(), engines: engines.clone() });
        worker::start(parts, &context, lanes, lead);
    }

    /// The first gateway of an installation gives out the owner's token; whoever names a file for it does so
    /// again when there is none.
    async fn give_out_token(
        &self,
        engines: &Engines,
        bus: &Bus,
        installation: Installation,
    ) -> Result<(), StartError> {
        let file = super::token_file(self.settings, self.home);
        let is_named = self.settings.keys.owner_token.is_some();
        let key: Key = TOKEN_GIVEN.parse().expect("it is a key");
        let by = self.home.process_name();
        if !is_named && !file.exists() {
            match engines.entries.create(&key, by.into_bytes().into()).await {
                Ok(_) => {}
                Err(EntryError::Exists { .. } | EntryError::Changed { .. }) => return Ok(()),
                Err(EntryError::Store(error)) => return Err(compose::ComposeError::Shared(error).into()),
            }
        }
        match super::owner_token(bus, installation, &file).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // Otherwise nobody would ever give it out.
                let _ = engines.entries.delete(&key).await;
                Err(error)
            }
        }
    }
}
