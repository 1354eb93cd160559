//! Every route, one line each: the table of contents of the API.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use domain::stream::Position;
use eventlog::trace::{self, Traceparent};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, error, info, info_span};
use uuid::Uuid;

use crate::answer::{Answer, POSITION};
use crate::app::App;
use crate::error::ApiError;
use crate::{
    audit, auth, deployment, events, logs, measure, operations, project, release, rollback, service, source,
    variable,
};

/// How long a request may take, streams and uploads aside.
const LIMIT: Duration = Duration::from_secs(30);
/// The header of W3C Trace Context, with a request and with its answer.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The answer's header with the request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The API.
pub fn api(app: App) -> Router {
    let limited = Router::new()
        .route("/auth/me", get(auth::me))
        .route("/auth/tokens", get(auth::tokens).post(auth::issue))
        .route("/auth/tokens/{token}", delete(auth::revoke))
        .route("/projects", get(project::list).post(project::create))
        .route("/projects/{project}", get(project::show).patch(project::rename).delete(project::delete))
        .route("/projects/{project}/environments", get(project::environments).post(project::add_environment))
        .route("/projects/{project}/environments/{environment}", delete(project::remove_environment))
        .route("/projects/{project}/environments/{environment}/status", get(service::status))
        .nest("/projects/{project}/environments/{environment}/services", services())
        .route("/deployments/{deployment}", get(deployment::show))
        .route("/deployments/{deployment}/cancel", post(deployment::cancel))
        .route("/history", get(audit::history))
        .route("/events", get(events::list))
        .layer(from_fn(limit));
    let unlimited = Router::new()
        .route("/deployments/{deployment}/logs", get(deployment::log))
        .route(
            "/projects/{project}/environments/{environment}/services/{service}/logs",
            get(logs::of_service),
        )
        .route(
            "/projects/{project}/environments/{environment}/services/{service}/sources",
            post(source::upload),
        )
        .route("/events/stream", get(events::stream));
    let v1 = limited.merge(unlimited).layer(from_fn_with_state(app.clone(), at_position));
    Router::new()
        .nest("/api/v1", v1)
        .merge(operations::router(Arc::clone(&app.metrics), app.probes.clone()).with_state(()))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::disable()) // Each body is limited where it is read.
        .layer(CatchPanicLayer::custom(panicked))
        .layer(CompressionLayer::new().compress_when(compressible()))
        .layer(from_fn(complete))
        .with_state(app)
}

/// Below `/projects/{project}/environments/{environment}/services`.
fn services() -> Router<App> {
    Router::new()
        .route("/", get(service::list).post(service::create))
        .route("/{service}", get(service::show).delete(service::delete))
        .route("/{service}/variables", get(variable::list).merge(patch(variable::change)))
        .route("/{service}/scale", post(service::scale))
        .route("/{service}/deployments", get(deployment::list).post(deployment::create))
        .route("/{service}/releases", get(release::list))
        .route("/{service}/releases/{release}", get(release::show))
        .route("/{service}/rollback", post(rollback::roll_back))
}

/// Streams are not compressed: what is compressed waits until there is enough of it.
fn compressible() -> impl Predicate {
    SizeAbove::new(1024).and(NotForContentType::SSE)
}

async fn not_found(uri: Uri) -> ApiError {
    ApiError::route_not_found(uri.path())
}

async fn method_not_allowed() -> ApiError {
    ApiError::method_not_allowed()
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    error!("a handler panicked: {said}");
    ApiError::internal().into_response()
}

async fn limit(request: Request, next: Next) -> Response {
    match tokio::time::timeout(LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::timed_out().into_response(),
    }
}

/// Who says which position they have seen is answered from read models that have it too; every answer says
/// how far those were that it was read from.
async fn at_position(State(app): State<App>, request: Request, next: Next) -> Result<Response, ApiError> {
    if let Some(value) = request.headers().get(POSITION) {
        let invalid = || ApiError::parameter("Switchback-Position", "a position is a whole number");
        let position = value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(invalid)?;
        app.reached(Position(position)).await?;
    }
    let reached = app.watermark.reached().await;
    let mut response = next.run(request).await;
    Ok(match response.extensions_mut().remove::<Answer>() {
        Some(answer) => answer.complete(reached),
        None => response,
    })
}

/// Gives every request an id, completes failures with it, adds the headers that every answer has, and says in
/// the log how it went.
async fn complete(mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    request.extensions_mut().insert(id.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (began, route) = (Instant::now(), measure::route(request.extensions()));
    let span = span(&request, &id, &route);
    let passed_on = trace::of(&span);
    let traced = span.clone();
    async move {
        let response = next.run(request).await;
        let failure = response.extensions().get::<ApiError>().cloned();
        let mut response = failure.map_or(response, |failure| failure.answer(&id));
        let status = response.status().as_u16();
        span.record("http.response.status_code", status);
        if status >= 500 {
            span.record("otel.status_code", "ERROR");
        }
        measure::answered(&method, route, response.status(), began);
        if method.is_safe() && status < 400 {
            debug!(status, "{method} {path} answered {status}");
        } else {
            info!(status, "{method} {path} answered {status}");
        }
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("unknown")));
        if let Some(Ok(value)) = passed_on.map(|named| HeaderValue::from_str(&named.to_string())) {
            headers.insert(TRACEPARENT, value);
        }
        for (name, value) in SECURITY_HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
    .instrument(traced)
    .await
}

/// The span of a request, as a part of the caller's trace when it says which. It names the route and not the
/// path: what a path says is nobody's who reads traces.
fn span(request: &Request, id: &str, route: &str) -> Span {
    let method = request.method();
    let span = info_span!(
        "request",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        request.id = %id,
        %method,
        http.route = %route,
        http.response.status_code = Empty,
    );
    trace::continued(span, trace_of(request.headers()))
}

/// The trace that a request says it belongs to.
pub(crate) fn trace_of(headers: &HeaderMap) -> Option<Traceparent> {
    headers.get(TRACEPARENT)?.to_str().ok()?.parse().ok()
}

/// What the OWASP REST Security Cheat Sheet asks of every answer of an API.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// The caller's own id, when it is one that can stand in a log; a new one otherwise.
fn request_id(request: &Request) -> String {
    let plain = |text: &&str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
    given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}
