//! A session of BuildKit's: while a build runs, the engine asks here for the secrets that its `RUN` lines
//! mount. They are in memory only, and nothing but them is answered.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bollard::grpc::build::health::health_check_response::ServingStatus;
use bollard::grpc::build::health::health_server::{Health, HealthServer};
use bollard::grpc::build::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard::grpc::build::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard::grpc::build::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use domain::secret::Secret;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioExecutor;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use tonic::{Response, Status};
use uuid::Uuid;

use crate::builder::docker::body;
use crate::builder::docker::engine::Engine;

/// What is answered, as the engine is told when the session begins.
const METHODS: [&str; 2] = ["/moby.buildkit.secrets.v1.Secrets/GetSecret", "/grpc.health.v1.Health/Check"];

/// An open session; dropped, it is closed.
pub(super) struct Session {
    /// The name that a build gives it by.
    pub(super) id: String,
    _server: AbortOnDropHandle<()>,
}

impl Session {
    /// Opens one that has these secrets, each under its name.
    pub(super) async fn open(engine: &Engine, secrets: BTreeMap<String, Secret>) -> io::Result<Self> {
        let id = Uuid::now_v7().simple().to_string();
        let mut connection = engine.connect().await?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/session")
            .header(HOST, "docker")
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "h2c")
            .header("X-Docker-Expose-Session-Uuid", &id);
        for method in METHODS {
            request = request.header("X-Docker-Expose-Session-Grpc-Method", method);
        }
        let request = request.body(body::empty()).map_err(io::Error::other)?;
        let response = connection.requests.send_request(request).await.map_err(io::Error::other)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            return Err(io::Error::other(format!("the engine answered {status} to a session of BuildKit")));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(io::Error::other)?;
        let routes = Routes::new(SecretsServer::new(Given(Arc::new(secrets))))
            .add_service(HealthServer::new(Alive))
            .prepare();
        let serve = async move {
            // Kept for as long as it carries the session.
            let _carrier = connection.carrier;
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let mut routes = routes.clone();
                async move { tower_call(&mut routes, request).await }
            });
            let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            if let Err(error) = http2.serve_connection(upgraded, service).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a session of BuildKit ended");
            }
        };
        Ok(Self { id, _server: AbortOnDropHandle::new(tokio::spawn(serve)) })
    }
}

async fn tower_call(
    routes: &mut Routes,
    request: Request<Incoming>,
) -> Result<hyper::Response<tonic::body::Body>, std::convert::Infallible> {
    use tonic::codegen::Service as _;
    routes.call(request.map(tonic::body::Body::new)).await
}

struct Given(Arc<BTreeMap<String, Secret>>);

#[async_trait::async_trait]
impl Secrets for Given {
    async fn get_secret(
        &self,
        request: tonic::Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let secret = self.0.get(&request.get_ref().id).ok_or_else(|| Status::not_found("not given"))?;
        Ok(Response::new(GetSecretResponse { data: secret.reveal().as_bytes().to_vec() }))
    }
}

/// BuildKit asks every few seconds, and ends a build whose session does not answer.
struct Alive;

#[async_trait::async_trait]
impl Health for Alive {
    type WatchStream = futures::stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(
        &self,
        _: tonic::Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("not asked for by BuildKit"))
    }

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not asked for by BuildKit"))
    }
}
