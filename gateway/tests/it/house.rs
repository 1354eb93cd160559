//! A gateway with its owner, and a client for it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use commands::bus::Bus;
use commands::clock::SystemClock;
use commands::keyring::Keyring;
use commands::request::Request as CommandRequest;
use commands::user::Installation;
use domain::context::Actor;
use domain::digest::Digest;
use domain::id::{OrganizationId, UserId};
use eventlog::log::SharedLog;
use eventlog::logs::{Limits, SharedLogs};
use eventlog::memory::{MemoryLog, MemoryLogs};
use futures::StreamExt;
use futures::stream::BoxStream;
use gateway::app::{App, Settings};
use gateway::engine::Engine;
use gateway::error::ApiError;
use gateway::operations::{Probes, ReadModels};
use gateway::upload::Uploads;
use http_body_util::BodyExt;
use projections::projection::ALL;
use projections::projector::Projector;
use projections::store::ReadStore;
use serde_json::Value;
use sha2::Digest as _;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

pub(crate) const OWNER: UserId = UserId(Uuid::from_u128(0xa));
pub(crate) const HOME: OrganizationId = OrganizationId(Uuid::from_u128(0xb));

/// Keeps nothing, and knows digests.
struct Discarded;

#[async_trait]
impl Uploads for Discarded {
    async fn receive(
        &self,
        mut body: BoxStream<'static, Result<Bytes, axum::Error>>,
    ) -> Result<Digest, ApiError> {
        let mut hash = sha2::Sha256::new();
        while let Some(chunk) = body.next().await {
            hash.update(chunk.map_err(|_| ApiError::upload_invalid("broke off"))?);
        }
        Ok(Digest::from_sha256(hash.finalize().into()))
    }
}

/// A gateway.
pub(crate) struct House {
    pub(crate) bus: Bus,
    pub(crate) logs: SharedLogs,
    pub(crate) token: String,
    router: Router,
    stop: CancellationToken,
    _keys: TempDir,
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Value,
}

impl Answered {
    /// The stable word of a failure.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn data(&self) -> &Value {
        assert!(self.status.is_success(), "{self:?}");
        &self.body["data"]
    }
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::over(Arc::new(MemoryLog::new()), vec![]).await
    }

    pub(crate) async fn over(log: SharedLog, engines: Vec<Engine>) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let bus = Bus::new(Arc::clone(&log), Arc::new(SystemClock), Keyring::open(keys.path()).unwrap());
        bus.set_up(Installation { owner: OWNER, organization: HOME }).await.unwrap();
        let platform = CommandRequest::new(Actor::platform());
        let (_, token, _) = bus.issue_token(&platform, HOME, OWNER, "test").await.unwrap();
        let reads = ReadStore::sqlite_in_memory().await.unwrap();
        let projector = Projector::new(log, reads.clone(), ALL);
        let watermark = projector.watermark();
        let stop = CancellationToken::new();
        tokio::spawn({
            let stop = stop.clone();
            async move { projector.run(stop.cancelled_owned()).await }
        });
        let logs: SharedLogs = Arc::new(MemoryLogs::new(Limits::default()));
        let app = App {
            bus: bus.clone(),
            reads: reads.clone(),
            watermark,
            logs: Arc::clone(&logs),
            uploads: Arc::new(Discarded),
            probes: Probes {
                engines: engines.into(),
                read_models: Some(ReadModels { reads: reads.clone(), log: Arc::clone(bus.log()) }),
            },
            metrics: Arc::new(|| "switchback_test 1\n".to_owned()),
            settings: Arc::new(Settings { local_repositories: true, ..Settings::default() }),
            shutdown: stop.clone(),
        };
        let token = token.reveal().to_owned();
        Self { bus, logs, token, router: gateway::router::api(app), stop, _keys: keys }
    }

    /// Sends anything.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.raw(request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answered { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    /// Sends anything, and leaves the body to be read.
    pub(crate) async fn raw(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// A request of the owner's, which sees everything that happened before.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answered {
        self.send(self.request(method, path, body).await).await
    }

    pub(crate) async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Request<Body> {
        let head = self.bus.log().head().await.unwrap();
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header("switchback-position", head.0);
        match body {
            Some(body) => {
                request.header(header::CONTENT_TYPE, "application/json").body(body.to_string().into())
            }
            None => request.body(Body::empty()),
        }
        .unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answered {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// A project with a service `web` in production; the path of the service.
    pub(crate) async fn web(&self) -> String {
        self.post("/projects", serde_json::json!({ "name": "shop" })).await.data();
        let services = "/projects/shop/environments/production/services";
        self.post(services, serde_json::json!({ "name": "web" })).await.data();
        format!("{services}/web")
    }
}
