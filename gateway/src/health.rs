//! Whether the platform is alive, whether it is ready, and its figures.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use serde_json::{Map, Value, json};

use crate::app::App;

/// How long an engine has to answer.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Alive: this process answers.
pub(crate) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Ready: every engine answers, each with its state.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let probes = app.engines.iter().map(|engine| async move {
        let answered = tokio::time::timeout(PROBE_LIMIT, (engine.probe)()).await;
        let problem = match answered {
            Ok(Ok(())) => None,
            Ok(Err(problem)) => Some(problem),
            Err(_) => Some(format!("did not answer within {} s", PROBE_LIMIT.as_secs())),
        };
        (engine, problem)
    });
    let probed = join_all(probes).await;
    let is_ready = probed.iter().all(|(_, problem)| problem.is_none());
    let engines: Map<String, Value> = probed
        .into_iter()
        .map(|(engine, problem)| {
            let state = if problem.is_none() { "ok" } else { "down" };
            (engine.name.to_owned(), json!({ "kind": engine.kind, "state": state, "problem": problem }))
        })
        .collect();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if is_ready { "ready" } else { "not ready" };
    (status, Json(json!({ "status": word, "engines": engines }))).into_response()
}
