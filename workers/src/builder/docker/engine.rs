//! The Docker Engine: where it is, and how it is talked to.
//!
//! Bollard speaks to it for everything but builds: those need a session of BuildKit's that hands out secrets
//! from memory, and a connection of their own, because closing it is what ends a build.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bollard::{ClientVersion, Docker};
use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OnceCell;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::builder::docker::body::{self, Body};

/// Where it is when nothing is said.
const SOCKET: &str = "/var/run/docker.sock";
/// How long it has to begin an answer, in seconds; reports of progress have no limit of their own.
const ANSWER_LIMIT_SECS: u64 = 120;
/// How much of an answer about the version is read.
const VERSION_BYTES: usize = 64 * 1024;

/// Where an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Socket(PathBuf),
    Tcp(String),
}

/// A text that is no address of an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not where a Docker Engine is; write docker: for the usual socket, unix:///path/to/docker.sock, \
     or tcp://127.0.0.1:2375"
)]
pub struct InvalidAddress(pub String);

/// An engine that several parts of a program share.
#[derive(Clone)]
pub struct Engine {
    address: Address,
    client: Arc<OnceCell<Docker>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({:?})", self.address)
    }
}

/// A connection, for as long as it is kept.
pub(super) struct Connection {
    /// Takes one request.
    pub(super) requests: SendRequest<Body>,
    /// Carries it; dropped, it closes the connection.
    pub(super) carrier: AbortOnDropHandle<()>,
}

impl Engine {
    /// By its address; it is not asked yet, and may be away.
    ///
    /// # Errors
    /// [`InvalidAddress`].
    pub fn at(address: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(address.chars().take(200).collect());
        let socket = |path: &str| if path.is_empty() { SOCKET.into() } else { PathBuf::from(path) };
        let address = if let Some(path) = address.strip_prefix("unix://") {
            Address::Socket(socket(path))
        } else if let Some(path) = address.strip_prefix("docker:") {
            Address::Socket(socket(path.trim_start_matches("//")))
        } else {
            let url = Url::parse(address).map_err(|_| invalid())?;
            let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
            // Whoever reaches it unencrypted is root of that machine.
            match (url.scheme(), url.host_str()) {
                ("tcp" | "http", Some(host)) if here => {
                    Address::Tcp(format!("{host}:{}", url.port().unwrap_or(2375)))
                }
                _ => return Err(invalid()),
            }
        };
        Ok(Self { address, client: Arc::default() })
    }

    /// Bollard's client, with the newest version of the interface that both know.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn client(&self) -> Result<&Docker, bollard::errors::Error> {
        let connect = || async {
            let (theirs, ours) = (self.version().await?, bollard::API_DEFAULT_VERSION);
            let older = |a: &ClientVersion, b: &ClientVersion| {
                (a.major_version, a.minor_version) < (b.major_version, b.minor_version)
            };
            let version = if older(&theirs, ours) { &theirs } else { ours };
            match &self.address {
                Address::Socket(path) => {
                    Docker::connect_with_unix(&path.to_string_lossy(), ANSWER_LIMIT_SECS, version)
                }
                Address::Tcp(host) => Docker::connect_with_http(host, ANSWER_LIMIT_SECS, version),
            }
        };
        self.client.get_or_try_init(connect).await
    }

    /// The newest version of the interface that the engine knows. Asked without a version, because an old
    /// engine refuses a newer one even for this question.
    async fn version(&self) -> io::Result<ClientVersion> {
        #[derive(serde::Deserialize)]
        struct Answer {
            #[serde(rename = "ApiVersion")]
            version: String,
        }
        let mut connection = self.connect().await?;
        let request = Request::get("/version").header(HOST, "docker").body(body::empty());
        let request = request.map_err(io::Error::other)?;
        let response = connection.requests.send_request(request).await.map_err(io::Error::other)?;
        let answer = Limited::new(response.into_body(), VERSION_BYTES).collect().await;
        let answer: Answer = serde_json::from_slice(&answer.map_err(io::Error::other)?.to_bytes())?;
        let parts = answer.version.split_once('.').and_then(|(major, minor)| {
            Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
        });
        parts.ok_or_else(|| io::Error::other("the Docker Engine names no version of its interface"))
    }

    /// A connection for one request; one that is upgraded can be.
    pub(super) async fn connect(&self) -> io::Result<Connection> {
        match &self.address {
            Address::Socket(path) => handshake(UnixStream::connect(path).await?).await,
            Address::Tcp(host) => handshake(TcpStream::connect(host).await?).await,
        }
    }
}

async fn handshake<S>(stream: S) -> io::Result<Connection>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (requests, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let carry = async {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection to Docker ended");
        }
    };
    Ok(Connection { requests, carrier: AbortOnDropHandle::new(tokio::spawn(carry)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_at_a_socket_or_on_this_machine() {
        for (text, address) in [
            ("docker:", Address::Socket(SOCKET.into())),
            ("unix:///x/docker.sock", Address::Socket("/x/docker.sock".into())),
            ("tcp://127.0.0.1:2375", Address::Tcp("127.0.0.1:2375".into())),
        ] {
            assert_eq!(Engine::at(text).expect(text).address, address);
        }
        for text in ["", "x", "tcp://example.com:2375", "ssh://host", "https://127.0.0.1"] {
            assert!(Engine::at(text).is_err(), "{text}");
        }
    }
}
