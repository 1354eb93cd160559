//! One build, as the engine is asked for it: `POST /build` with a context, and the report line by line.
//!
//! The connection belongs to the build alone. Dropping what is read from it closes it, and the engine ends
//! the build.

use std::collections::BTreeMap;
use std::io;

use bollard::models::BuildInfoAux;
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use serde::Deserialize;
use tokio_util::task::AbortOnDropHandle;
use url::form_urlencoded::Serializer;

use crate::builder::docker::body::Body;
use crate::builder::docker::engine::Engine;

/// How long a line of the report may be; one holds a piece of the build's output.
const LINE_MAX: usize = 32 << 20;
/// How much of a refusal is read.
const REFUSAL_MAX: usize = 64 * 1024;

/// What a build is to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    /// Where the Dockerfile is in the context.
    pub(super) dockerfile: String,
    /// The name that the image gets.
    pub(super) tag: String,
    pub(super) target: Option<String>,
    pub(super) arguments: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
    /// A name for the hosts file of every `RUN`.
    pub(super) host: String,
    pub(super) session: String,
    pub(super) fresh: bool,
}

/// What the engine says.
#[derive(Debug)]
pub(super) enum Report {
    /// How far the build is.
    Status(Box<bollard::moby::buildkit::v1::StatusResponse>),
    /// It failed.
    Failed(String),
}

/// Why there is no report, or no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildCallError {
    /// The engine is away, or went away.
    #[error("talk to the Docker Engine")]
    Lost(#[source] io::Error),
    /// It refused the build at once.
    #[error("{0}")]
    Refused(String),
}

/// The report of a build that runs.
pub(super) struct Reports {
    body: Incoming,
    buffer: BytesMut,
    _carrier: AbortOnDropHandle<()>,
}

fn lost(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BuildCallError {
    BuildCallError::Lost(io::Error::other(error))
}

/// Begins a build.
pub(super) async fn begin(engine: &Engine, order: &Order, context: Body) -> Result<Reports, BuildCallError> {
    let mut connection = engine.connect().await.map_err(BuildCallError::Lost)?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/build?{}", order.query()))
        .header(HOST, "docker")
        .header(CONTENT_TYPE, "application/x-tar")
        .body(context)
        .map_err(lost)?;
    let response = connection.requests.send_request(request).await.map_err(lost)?;
    if response.status().is_success() {
        let _carrier = connection.carrier;
        return Ok(Reports { body: response.into_body(), buffer: BytesMut::new(), _carrier });
    }
    Err(BuildCallError::Refused(refusal(response).await))
}

async fn refusal(response: Response<Incoming>) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let status = response.status();
    let limited = http_body_util::Limited::new(response.into_body(), REFUSAL_MAX);
    let bytes = limited.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    match serde_json::from_slice::<Refusal>(&bytes) {
        Ok(refusal) => refusal.message,
        Err(_) => format!("the engine answered {status}"),
    }
}

impl Order {
    fn query(&self) -> String {
        let json = |map: &BTreeMap<String, String>| serde_json::json!(map).to_string();
        let mut query = Serializer::new(String::new());
        query
            .append_pair("version", "2")
            .append_pair("session", &self.session)
            .append_pair("dockerfile", &self.dockerfile)
            .append_pair("t", &self.tag)
            .append_pair("buildargs", &json(&self.arguments))
            .append_pair("labels", &json(&self.labels))
            .append_pair("extrahosts", &format!("{}:127.0.0.1", self.host))
            .append_pair("rm", "1")
            .append_pair("forcerm", "1");
        if let Some(target) = &self.target {
            query.append_pair("target", target);
        }
        if self.fresh {
            query.append_pair("nocache", "1");
        }
        query.finish()
    }
}

impl Reports {
    /// The next one; none when the build is over.
    pub(super) async fn next(&mut self) -> Result<Option<Report>, BuildCallError> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if let Some(report) = read(&line) {
                    return Ok(Some(report));
                }
            }
            if self.buffer.len() > LINE_MAX {
                return Err(lost("a line of the report is too long"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(lost(error)),
                None => return Ok(None),
            }
        }
    }
}

#[derive(Deserialize)]
struct Line {
    id: Option<String>,
    aux: Option<serde_json::Value>,
    error: Option<String>,
}

/// Forms that newer engines may add say nothing.
fn read(line: &[u8]) -> Option<Report> {
    let line: Line = serde_json::from_slice(line).ok()?;
    if let Some(error) = line.error {
        return Some(Report::Failed(error));
    }
    if line.id.as_deref() != Some("moby.buildkit.trace") {
        return None;
    }
    match serde_json::from_value(line.aux?).ok()? {
        BuildInfoAux::BuildKit(status) => Some(Report::Status(Box::new(status))),
        BuildInfoAux::Default(_) => None,
    }
}
