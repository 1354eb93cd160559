//! `up`: the whole platform in one process; the order in which its parts start and stop.
//!
//! Nothing is said to be ready before it serves; what is in hand when it stops is taken up by the next start.

mod demo;
mod platform;
mod signals;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Instant;

use commands::error::CommandError;
use commands::request::Request;
use domain::context::Actor;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::net::TcpListener;
use url::Url;

use self::platform::{Listeners, Platform, Watched};
use crate::args::{Global, Up};
use crate::client::failure::{Exit, Failure};
use crate::compose::{self, ComposeError};
use crate::home::{Home, HomeError};
use crate::ui::{Form, Ui};
use crate::{credentials, telemetry};

/// A start that failed. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
    /// The data directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// An engine.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// An address.
    #[error("cannot listen on {address}: {reason}; choose another with {flag}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Its flag.
        flag: &'static str,
        /// Why not, in words.
        reason: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The owner.
    #[error("cannot set this installation up")]
    SetUp(#[source] CommandError),
    /// The demonstration.
    #[error("the demonstration stopped")]
    Demo(#[from] demo::DemoError),
    /// Standard output.
    #[error("cannot say that it is ready")]
    Say(#[from] io::Error),
}

/// Runs the platform until it is told to stop.
pub(crate) async fn up(args: Up, global: &Global) -> ExitCode {
    let ui = Ui::new(global);
    let settings = telemetry::Settings { quiet: global.quiet, role: "up", otlp: None };
    let telemetry = match telemetry::start(settings) {
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

async fn run(args: Up, ui: &Ui, figures: &PrometheusHandle) -> Result<(), UpError> {
    let began = Instant::now();
    let mut stop = signals::Stop::listen();
    let home = Home::open(&args.data_directory().ok_or(HomeError::Nowhere)?)?;
    let api = listen(args.listen, "--listen").await?;
    let edge = listen(args.edge, "--edge").await?;
    let (api_address, edge_address) = (address_of(&api, args.listen), address_of(&edge, args.edge));
    let engines = compose::engines(&args, &home).await?;
    let bus = compose::bus(&engines, &home)?;
    bus.set_up(home.installation()).await.map_err(UpError::SetUp)?;
    let server = server_url(api_address);
    let token = owner_token(&bus, &home).await?;
    sign_in(&server, &token);
    let ports = compose::ports(&args, &home)?;
    let watched = Watched { figures: figures.clone(), data: home.path().to_owned() };
    let listeners = Listeners { api, edge, edge_address };
    let platform = Platform::start(&args, bus, engines, ports, listeners, watched).await?;
    ready(ui, began, &home, &server, edge_address)?;
    if args.demo {
        let demonstrated = tokio::select! {
            demonstrated = demo::run(&home, &server, &token, edge_address, ui) => demonstrated,
            () = stop.asked() => Ok(()),
        };
        if let Err(error) = demonstrated {
            platform.stop().await;
            return Err(error.into());
        }
    }
    stop.asked().await;
    ui.note("stopping: requests in flight finish; what is being deployed goes on at the next start");
    tokio::select! {
        () = platform.stop() => {}
        () = stop.asked_again() => ui.note("stopped at once"),
    }
    Ok(())
}

/// Says that it serves, and where.
fn ready(ui: &Ui, began: Instant, home: &Home, server: &Url, edge: SocketAddr) -> io::Result<()> {
    let took = began.elapsed().as_millis();
    match ui.form() {
        Form::Json => ui.record(&json!({
            "ready": true, "api": server.as_str().trim_end_matches('/'), "edge": edge,
            "data": home.path(), "took_ms": took,
        })),
        Form::Quiet => ui.line("ready"),
        Form::Human => {
            ui.line(&format!("ready in {took} ms"))?;
            ui.line(&format!("  api   {}", server.as_str().trim_end_matches('/')))?;
            ui.line(&format!("  edge  http://<service>.<project>.localhost:{}", edge.port()))?;
            ui.line(&format!("  data  {}", home.path().display()))?;
            ui.line("  stop with Ctrl-C")
        }
    }
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, UpError> {
    TcpListener::bind(address).await.map_err(|source| {
        let reason = if source.kind() == io::ErrorKind::AddrInUse {
            "another program listens there"
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            "this user may not use that port"
        } else if source.kind() == io::ErrorKind::AddrNotAvailable {
            "this machine does not have that address"
        } else {
            "it cannot be used"
        };
        UpError::Listen { address, flag, reason, source }
    })
}

/// Where it really listens, when port 0 was asked for.
fn address_of(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

fn server_url(address: SocketAddr) -> Url {
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let text = format!("http://{host}:{}", address.port());
    text.parse().expect("an address and a port make a URL")
}

/// The owner's token: the one that was given out before, or a new one when that does not work any more.
async fn owner_token(bus: &commands::bus::Bus, home: &Home) -> Result<String, UpError> {
    if let Some(token) = home.owner_token()
        && bus.authenticate(&token).await.map_err(UpError::SetUp)?.is_some()
    {
        return Ok(token);
    }
    let installation = home.installation();
    let request = Request::new(Actor::platform());
    let issued =
        bus.issue_token(&request, installation.organization, installation.owner, "command line").await;
    let (_, token, _) = issued.map_err(UpError::SetUp)?;
    home.keep_owner_token(token.reveal())?;
    Ok(token.reveal().to_owned())
}

/// Signs the local command line in. A home that cannot be written is no reason not to serve.
fn sign_in(server: &Url, token: &str) {
    if let Err(error) = credentials::save(server, token) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the local command line is not signed in; give it SWITCHBACK_TOKEN from owner.token in the data \
             directory"
        );
    }
}
