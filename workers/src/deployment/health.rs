//! Whether an instance works: its port accepts, or its health path answers with a status from 200 to 399.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use domain::plan::Health;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long one question may take.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// How an instance answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// As it should.
    Healthy,
    /// Nobody listens.
    NotListening,
    /// It listens, and answers otherwise: in words.
    Unhealthy(String),
}

/// Asks once.
pub(super) async fn ask(address: SocketAddr, health: &Health) -> Answer {
    let asked = tokio::time::timeout(ASK_LIMIT, async {
        let Ok(connection) = TcpStream::connect(address).await else { return Answer::NotListening };
        match &health.path {
            None => Answer::Healthy,
            Some(path) => get(connection, address, path).await.unwrap_or_else(Answer::Unhealthy),
        }
    });
    asked
        .await
        .unwrap_or_else(|_| Answer::Unhealthy(format!("did not answer within {} s", ASK_LIMIT.as_secs())))
}

async fn get(connection: TcpStream, address: SocketAddr, path: &str) -> Result<Answer, String> {
    let broken = |error: hyper::Error| format!("broke off: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(connection)).await.map_err(broken)?;
    let request = Request::get(path)
        .header(hyper::header::HOST, address.to_string())
        .header(hyper::header::USER_AGENT, "switchback-health")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            Ok(Answer::Healthy)
        } else {
            Ok(Answer::Unhealthy(format!("{path} answered {}", status.as_u16())))
        }
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
