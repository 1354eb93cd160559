//! The server: the whole platform in one process (`up`), or some of its roles (`serve`); the order in which
//! their parts start and stop.
//!
//! Nothing is said to be ready before it serves; what is in hand when it stops is taken up by the next start.

mod demo;
mod edge;
mod gateway;
mod observe;
mod parts;
mod projector;
mod ready;
mod routes;
mod serve;
mod signals;
mod up;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ::gateway::app::Settings as ApiSettings;
use ::gateway::edge::tls::TlsError;
use commands::bus::Bus;
use commands::error::CommandError;
use commands::request::Request;
use domain::context::Actor;
use domain::deployment::step::Lane;
use eventlog::error::ReadError;
use eventlog::installation::Installation;
use tokio::net::TcpListener;
use url::Url;

use crate::args::Settings;
use crate::args::settings::WorkLane;
use crate::compose::ComposeError;
use crate::home::{self, Home, HomeError};
use crate::telemetry::TelemetryError;

pub(crate) use self::serve::serve;
pub(crate) use self::up::up;

/// A start that failed. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
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
    /// A setting that processes of their own need.
    #[error("{0}")]
    Missing(String),
    /// Certificates.
    #[error("the certificates of --edge-tls cannot be used")]
    Certificates(#[from] TlsError),
    /// TLS itself.
    #[error("TLS cannot be spoken")]
    Tls(#[source] rustls::Error),
    /// The owner.
    #[error("cannot set this installation up")]
    SetUp(#[source] CommandError),
    /// The event log.
    #[error("the event log cannot be read")]
    Read(#[source] ReadError),
    /// What is told about it.
    #[error("what is told about this process cannot be told")]
    Telemetry(#[from] TelemetryError),
    /// The demonstration.
    #[error("the demonstration stopped")]
    Demo(#[from] demo::DemoError),
    /// Standard output.
    #[error("cannot say that it is ready")]
    Say(#[from] io::Error),
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
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
        StartError::Listen { address, flag, reason, source }
    })
}

/// Where health and figures are asked for besides.
async fn bind_operations(settings: &Settings) -> Result<Option<TcpListener>, StartError> {
    match settings.operations {
        Some(address) => listen(address, "--operations").await.map(Some),
        None => Ok(None),
    }
}

/// Where it really listens, when port 0 was asked for.
fn address_of(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

/// Where a server on this machine is asked.
fn server_url(address: SocketAddr) -> Url {
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let text = format!("http://{host}:{}", address.port());
    text.parse().expect("an address and a port make a URL")
}

/// What the API shows and allows.
fn api_settings(settings: &Settings, edge: SocketAddr) -> ApiSettings {
    let url = settings.traffic.edge_url.as_ref();
    let is_secure = url.is_some_and(|url| url.scheme() == "https");
    let port = match url {
        Some(url) => url.port(),
        None => (edge.port() != 80).then_some(edge.port()),
    };
    ApiSettings {
        hostname_suffix: settings.traffic.hostname_suffix.clone(),
        edge_port: port,
        is_secure,
        local_repositories: settings.listen.ip().is_loopback(),
        ..ApiSettings::default()
    }
}

/// The lanes that were chosen.
fn lanes(settings: &Settings) -> Vec<Lane> {
    let chosen = |lane: &Lane| {
        let wanted = match lane {
            Lane::Build => WorkLane::Build,
            Lane::Rollout => WorkLane::Rollout,
        };
        settings.work.lane.contains(&wanted)
    };
    Lane::ALL.into_iter().filter(chosen).collect()
}

/// Makes the owner, unless there is one.
async fn set_up(bus: &Bus, installation: Installation) -> Result<(), StartError> {
    let Installation { owner, organization, .. } = installation;
    let installation = commands::user::Installation { owner, organization };
    bus.set_up(installation).await.map_err(StartError::SetUp)?;
    Ok(())
}

/// Where the owner's token is kept.
fn token_file(settings: &Settings, home: &Home) -> PathBuf {
    settings.keys.owner_token.clone().unwrap_or_else(|| home.join("owner.token"))
}

/// The owner's token: the one that was given out before, or a new one when that does not work any more.
async fn owner_token(bus: &Bus, installation: Installation, file: &Path) -> Result<String, StartError> {
    if let Some(token) = home::read_token(file)
        && bus.authenticate(&token).await.map_err(StartError::SetUp)?.is_some()
    {
        return Ok(token);
    }
    let request = Request::new(Actor::platform());
    let Installation { organization, owner, .. } = installation;
    let issued = bus.issue_token(&request, organization, owner, "command line").await;
    let (_, token, _) = issued.map_err(StartError::SetUp)?;
    home::write_private(file, token.reveal().as_bytes())?;
    Ok(token.reveal().to_owned())
}
