//! `serve`: some roles, in a process of their own.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use commands::bus::Bus;
use domain::deployment::step::Lane;
use eventlog::entries::{EntryError, Key};
use eventlog::installation::Installation;
use gateway::app::App;
use gateway::route::file::RouteFile;
use projections::wait::Watermark;

use super::parts::Parts;
use super::ready::Addresses;
use super::worker::Lead;
use super::{StartError, edge, gateway as api, projector, ready, signals, worker};
use crate::args::{Global, Role, Serve, Settings};
use crate::client::failure::{Exit, Failure};
use crate::compose::{self, Engines, Ports, calls};
use crate::home::{Home, HomeError};
use crate::telemetry;
use crate::ui::Ui;

/// Says that the owner's token was given out, and by whom.
const TOKEN_GIVEN: &str = "owner-token-given-by";

/// Runs the roles until it is told to stop.
pub(crate) async fn serve(args: Serve, global: &Global) -> ExitCode {
    let ui = Ui::new(global);
    telemetry::start(global.quiet);
    match Box::pin(run(args, &ui)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::of(Exit::Failed, &error).report(&ui),
    }
}

async fn run(args: Serve, ui: &Ui) -> Result<(), StartError> {
    let (began, roles, settings) = (Instant::now(), args.roles(), &args.settings);
    check(&roles, settings)?;
    let mut stop = signals::Stop::listen();
    let home = Home::open(&settings.data_directory().ok_or(HomeError::Nowhere)?)?;
    let mut starting = Starting::bind(roles, settings).await?;
    let engines = compose::engines(settings, &home).await?;
    let process = Process { settings, home: &home, engines: &engines, began };
    let mut parts = Parts::default();
    let ports = tokio::select! {
        started = process.start(&mut parts, &mut starting) => started?,
        () = stop.asked() => None,
    };
    if !stop.was_asked() {
        ready::roles(ui, began, &starting.roles, &starting.addresses)?;
        stop.asked().await;
        ui.note("stopping: requests in flight finish; work in hand goes to another worker");
    }
    tokio::select! {
        () = parts.stop(async { drop(ports) }) => engines.close().await,
        () = stop.asked_again() => ui.note("stopped at once"),
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
    let docker = |url: &Option<url::Url>| url.as_ref().is_some_and(|url| matches!(url.scheme(), "docker" | "unix"));
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
    api: Option<tokio::net::TcpListener>,
    edges: Option<edge::Listeners>,
    operations: Option<tokio::net::TcpListener>,
}

impl Starting {
    async fn bind(roles: BTreeSet<Role>, settings: &Settings) -> Result<Self, StartError> {
        let mut addresses = Addresses::default();
        let (mut api, mut edges, mut operations) = (None, None, None);
        if roles.contains(&Role::Gateway) {
            let listener = super::listen(settings.listen, "--listen").await?;
            addresses.api = Some(super::address_of(&listener, settings.listen));
            api = Some(listener);
        }
        if roles.contains(&Role::Edge) {
            let listeners = edge::Listeners::bind(settings).await?;
            addresses.edge = Some(listeners.address(settings));
            edges = Some(listeners);
        }
        if let Some(address) = settings.operations {
            let listener = super::listen(address, "--operations").await?;
            addresses.operations = Some(super::address_of(&listener, address));
            operations = Some(listener);
        }
        Ok(Self { roles, addresses, api, edges, operations })
    }
}

/// What all roles of a process are given.
struct Process<'a> {
    settings: &'a Settings,
    home: &'a Home,
    engines: &'a Engines,
    began: Instant,
}

impl Process<'_> {
    /// Starts the roles: first what follows the log, then what works, then what serves.
    async fn start(&self, parts: &mut Parts, starting: &mut Starting) -> Result<Option<Ports>, StartError> {
        let (settings, engines) = (self.settings, self.engines);
        let installation = compose::installation(engines, settings, self.home).await?;
        let has = |role| starting.roles.contains(&role);
        let watermark = if has(Role::Projector) {
            projector::start(parts, engines)
        } else {
            Watermark::polling(engines.reads.clone())
        };
        let edge = starting.edges.is_some().then(|| self.follow_routes(parts, installation));
        let ports = if has(Role::Worker) || has(Role::Gateway) {
            let bus = compose::bus(engines, settings, self.home).await?;
            if has(Role::Gateway) {
                super::set_up(&bus, installation).await?;
                self.give_out_token(&bus, installation).await?;
            }
            let ports = compose::ports(settings, self.home, engines, installation.id).await?;
            if has(Role::Worker) {
                self.start_worker(parts, &ports, bus.clone());
            }
            if let Some(listener) = starting.api.take() {
                let app = self.app(parts, &ports, bus, watermark);
                api::start(parts, app, listener);
            }
            Some(ports)
        } else {
            None
        };
        if let (Some(edge), Some(listeners)) = (edge, starting.edges.take()) {
            edge::serve(parts, &edge, listeners)?;
        }
        Ok(ports)
    }

    fn follow_routes(&self, parts: &mut Parts, installation: Installation) -> Arc<gateway::edge::Edge> {
        let file = RouteFile::new(self.home.join("routes.json"), installation.id);
        let known = file.read().unwrap_or_default();
        let (edge, current) = edge::follow(parts, self.engines, known, Some(file));
        calls::answer(parts_of(parts), self.engines, &edge, current);
        edge
    }

    fn start_worker(&self, parts: &mut Parts, ports: &Ports, bus: Bus) {
        let traffic = Arc::new(calls::RemoteTraffic::new(self.engines));
        let context = ports.context(self.settings, bus, self.engines, traffic);
        let lanes = super::lanes(self.settings);
        let lead = lanes.contains(&Lane::Rollout).then(|| Lead::Elected {
            entries: Arc::clone(&self.engines.entries),
            holder: self.home.process_name(),
            engines: self.engines.clone(),
        });
        worker::start(parts, &context, lanes, lead);
    }

    fn app(&self, parts: &Parts, ports: &Ports, bus: Bus, watermark: Watermark) -> App {
        App {
            bus,
            reads: self.engines.reads.clone(),
            watermark,
            logs: Arc::clone(&self.engines.logs),
            uploads: Arc::clone(&ports.uploads),
            engines: self.engines.probes(),
            settings: Arc::new(super::api_settings(self.settings, self.settings.traffic.edge)),
            shutdown: parts.serve.token(),
        }
    }

    /// The first gateway of an installation gives out the owner's token; whoever names a file for it does so
    /// again when there is none.
    async fn give_out_token(&self, bus: &Bus, installation: Installation) -> Result<(), StartError> {
        let file = super::token_file(self.settings, self.home);
        let is_named = self.settings.keys.owner_token.is_some();
        let key: Key = TOKEN_GIVEN.parse().expect("it is a key");
        let by = self.home.process_name();
        if !is_named && !file.exists() {
            match self.engines.entries.create(&key, by.into_bytes().into()).await {
                Ok(_) => {}
                Err(EntryError::Exists { .. } | EntryError::Changed { .. }) => return Ok(()),
                Err(EntryError::Store(error)) => return Err(compose::ComposeError::Shared(error).into()),
            }
        }
        match super::owner_token(bus, installation, &file).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // Otherwise nobody would ever give it out.
                let _ = self.engines.entries.delete(&key).await;
                Err(error)
            }
        }
    }
}
