//! `up`: every role in one process.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::stream::Position;
use gateway::app::App;
use gateway::operations;
use metrics_exporter_prometheus::PrometheusHandle;

use super::observe::Observer;
use super::parts::Parts;
use super::worker::Lead;
use super::{StartError, edge, gateway as api, projector, ready, routes, signals, worker};
use crate::args::{Global, Up};
use crate::client::failure::{Exit, Failure};
use crate::compose::{self, EdgeTraffic};
use crate::home::{Home, HomeError};
use crate::ui::Ui;
use crate::{credentials, telemetry};

/// How long the start waits for read models that are not there yet.
const FIRST_READ_LIMIT: Duration = Duration::from_secs(1);
/// How long an instance has to end when the platform stops.
const INSTANCE_GRACE: Duration = Duration::from_secs(5);

/// Runs the platform until it is told to stop.
pub(crate) async fn up(args: Up, global: &Global) -> ExitCode {
    let ui = Ui::new(global);
    let otlp = args.settings.otlp.clone();
    let telemetry = match telemetry::start(telemetry::Settings { quiet: global.quiet, role: "up", otlp }) {
        Ok(telemetry) => telemetry,
        Err(error) => return Failure::of(Exit::Failed, &error).report(&ui),
    };
    let ran = run(args, &ui, telemetry.figures()).await;
    telemetry.stop().await;
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::of(Exit::Failed, &error).report(&ui),
    }
}

async fn run(args: Up, ui: &Ui, figures: &PrometheusHandle) -> Result<(), StartError> {
    let (began, settings) = (Instant::now(), &args.settings);
    let mut stop = signals::Stop::listen();
    let home = Home::open(&settings.data_directory().ok_or(HomeError::Nowhere)?)?;
    let listener = super::listen(settings.listen, "--listen").await?;
    let edges = edge::Listeners::bind(settings).await?;
    let operations = super::bind_operations(settings).await?;
    let (api_address, edge_address) =
        (super::address_of(&listener, settings.listen), edges.address(settings));
    let engines = compose::engines(settings, &home).await?;
    let installation = compose::installation(&engines, settings, &home).await?;
    let bus = compose::bus(&engines, settings, &home).await?;
    super::set_up(&bus, installation).await?;
    let server = super::server_url(api_address);
    let token = super::owner_token(&bus, installation, &super::token_file(settings, &home)).await?;
    sign_in(&server, &token);
    let ports = compose::ports(settings, &home, &engines, installation.id)?;

    let mut parts = Parts::default();
    let watermark = projector::start(&mut parts, &engines);
    // Read models that are nearly there are waited for, so that the first questions are answered.
    let head = engines.log.head().await.unwrap_or(Position::ZERO);
    let _ = watermark.wait_until(head, FIRST_READ_LIMIT).await;
    let seen = routes::seen(&engines).await;
    let (edge, current) = edge::follow(&mut parts, &engines, seen.known(ports.instances_survive()));
    let traffic = Arc::new(EdgeTraffic::new(Arc::clone(&edge), current));
    let context = ports.context(settings, bus.clone(), &engines, traffic);
    worker::start(&mut parts, &context, super::lanes(settings), Some(Lead::Alone(seen)));
    let observer = Observer { figures: figures.clone(), data: home.path().to_owned() };
    let others = ports.probes();
    let (probes, metrics) = observer.start(&mut parts, &engines, others, Some(Arc::clone(&edge)));
    if let Some(listener) = operations {
        api::serve(&mut parts, operations::router(Arc::clone(&metrics), probes.clone()), listener);
    }
    let app = App {
        bus,
        reads: engines.reads.clone(),
        watermark,
        logs: Arc::clone(&engines.logs),
        uploads: compose::uploads(&engines),
        probes,
        metrics,
        settings: Arc::new(super::api_settings(settings, edge_address)),
        shutdown: parts.serve.token(),
    };
    api::start(&mut parts, app, listener);
    edge::serve(&mut parts, &edge, edges)?;

    for warning in ports.warnings().await {
        tracing::warn!("{warning}");
    }
    ready::up(ui, began, &home, &server, edge_address)?;
    let demonstrated = if args.demo {
        tokio::select! {
            demonstrated = super::demo::run(&home, &server, &token, edge_address, ui) => demonstrated,
            () = stop.asked() => Ok(()),
        }
    } else {
        Ok(())
    };
    if demonstrated.is_ok() {
        stop.asked().await;
        ui.note("stopping: requests in flight finish; what is being deployed goes on at the next start");
    }
    tokio::select! {
        () = parts.stop(ports.stop_instances(INSTANCE_GRACE)) => engines.close().await,
        () = stop.asked_again() => ui.note("stopped at once"),
    }
    Ok(demonstrated?)
}

/// Signs the local command line in. A home that cannot be written is no reason not to serve.
fn sign_in(server: &url::Url, token: &str) {
    if let Err(error) = credentials::save(server, token) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the local command line is not signed in; give it SWITCHBACK_TOKEN from owner.token in the data \
             directory"
        );
    }
}
