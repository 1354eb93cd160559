//! Whether a process is alive, whether it is ready, and its figures: what load balancers, operators and
//! Prometheus ask. Nothing here needs a token, and nothing names what belongs to anybody.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::Utc;
use eventlog::log::SharedLog;
use projections::measure::{Lag, LagError, lag};
use projections::store::ReadStore;
use serde_json::{Map, Value, json};
use tracing::debug;

use crate::engine::{self, Engine, PROBE_LIMIT};

/// What Prometheus 2 and 3 read.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the figures of this process down, as Prometheus reads them.
pub type Scrape = Arc<dyn Fn() -> String + Send + Sync>;

/// What is asked before a process is said to be ready.
#[derive(Clone, Debug)]
pub struct Probes {
    /// The engines that this process stands on: one that is down makes it not ready.
    pub engines: Arc<[Engine]>,
    /// The read models, where the process reads them: how they stand is told, and keeps nothing from being
    /// ready.
    pub read_models: Option<ReadModels>,
}

/// The read models and the log that they are compared with.
#[derive(Clone)]
pub struct ReadModels {
    /// The read models.
    pub reads: ReadStore,
    /// The log.
    pub log: SharedLog,
}

impl fmt::Debug for ReadModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadModels").finish_non_exhaustive()
    }
}

impl ReadModels {
    /// How far each projection is behind the log, now.
    ///
    /// # Errors
    /// [`LagError`].
    pub async fn lag(&self) -> Result<Vec<Lag>, LagError> {
        lag(&self.reads, &self.log, Utc::now()).await
    }
}

#[derive(Clone)]
struct Asked {
    metrics: Scrape,
    probes: Probes,
}

/// `/health`, `/ready` and `/metrics`, for a process of any role.
pub fn router(metrics: Scrape, probes: Probes) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(figures))
        .with_state(Asked { metrics, probes })
}

/// Alive: this process answers.
async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Ready: every engine answers, each with its state.
async fn ready(State(Asked { probes, .. }): State<Asked>) -> Response {
    let (probed, projections) = tokio::join!(engine::probe_all(&probes.engines), projections(&probes));
    let is_ready = probed.iter().all(|engine| engine.problem.is_none());
    let engines: Map<String, Value> = probed
        .into_iter()
        .map(|engine| {
            let state = if engine.problem.is_none() { "ok" } else { "down" };
            let told = json!({ "kind": engine.kind, "state": state, "problem": engine.problem });
            (engine.name.to_owned(), told)
        })
        .collect();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if is_ready { "ready" } else { "not ready" };
    let body = json!({
        "status": word, "version": env!("CARGO_PKG_VERSION"), "engines": engines, "projections": projections,
    });
    (status, Json(body)).into_response()
}

/// How each projection stands; null where they are not read, or cannot be.
async fn projections(probes: &Probes) -> Option<Map<String, Value>> {
    let asked = tokio::time::timeout(PROBE_LIMIT, probes.read_models.as_ref()?.lag()).await.ok()?;
    match asked {
        Ok(lags) => Some(lags.iter().map(|lag| (lag.projection.to_owned(), json!(lag))).collect()),
        Err(error) => {
            debug!(error = &error as &dyn std::error::Error, "the lag of the read models is not known");
            None
        }
    }
}

/// The figures.
async fn figures(State(Asked { metrics, .. }): State<Asked>) -> Response {
    ([(header::CONTENT_TYPE, EXPOSITION)], metrics()).into_response()
}
