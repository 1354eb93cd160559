//! What the API and the edge measure.

use std::time::{Duration, Instant};

use axum::extract::MatchedPath;
use axum::http::{Extensions, Method, StatusCode};
use eventlog::measure::{MOMENTS, Metric};

use crate::edge::Edge;
use crate::engine::ENGINE_UP;

/// How long requests take.
pub const REQUESTS: Metric = Metric::histogram(
    "switchback_http_request_duration_seconds",
    MOMENTS,
    &["method", "route", "status"],
    "Time from a request of the API to the head of its answer, by template of the route.",
);
/// Requests that the edge answered.
pub const EDGE_REQUESTS: Metric = Metric::counter(
    "switchback_edge_requests_total",
    &["class"],
    "Requests that the edge answered, by class of the status: 1xx to 5xx.",
);
/// How long applications take.
pub const EDGE_UPSTREAM: Metric = Metric::histogram(
    "switchback_edge_upstream_duration_seconds",
    MOMENTS,
    &["class"],
    "Time from a request sent to an application to the head of its answer; class: 1xx to 5xx, none.",
);
/// Answers that the edge gave itself.
pub const EDGE_FAILURES: Metric = Metric::counter(
    "switchback_edge_failures_total",
    &["code"],
    "Answers that the edge gave in an application's stead, by the code in Switchback-Error.",
);
/// Answers that broke off.
pub const EDGE_CUT: Metric = Metric::counter(
    "switchback_edge_answers_cut_total",
    &[],
    "Answers that broke off after their head: the application died, or a limit was over.",
);
/// Requests that nobody could read.
pub const EDGE_MALFORMED: Metric = Metric::counter(
    "switchback_edge_malformed_total",
    &[],
    "Requests whose head or framing could not be read.",
);
/// Connections of clients.
pub const EDGE_CONNECTIONS: Metric =
    Metric::gauge("switchback_edge_connections", &[], "Connections of clients to the edge.");
/// Requests with an application.
pub const EDGE_IN_FLIGHT: Metric = Metric::gauge(
    "switchback_edge_in_flight_requests",
    &[],
    "Requests and tunnels that are with an application now.",
);
/// Requests that wait.
pub const EDGE_HELD: Metric = Metric::gauge(
    "switchback_edge_held_requests",
    &[],
    "Requests that wait until their application accepts connections.",
);

/// What this crate measures.
pub const METRICS: &[Metric] = &[
    REQUESTS,
    EDGE_REQUESTS,
    EDGE_UPSTREAM,
    EDGE_FAILURES,
    EDGE_CUT,
    EDGE_MALFORMED,
    EDGE_CONNECTIONS,
    EDGE_IN_FLIGHT,
    EDGE_HELD,
    ENGINE_UP,
];

/// Classes of statuses; the last is for what has none.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/// Shows what can be shown before anything has happened.
pub fn begin() {
    for class in &CLASSES[1..5] {
        EDGE_REQUESTS.begin([class]);
    }
    for class in CLASSES {
        EDGE_UPSTREAM.begin([class]);
    }
}

/// Sets what the edge counts by itself.
pub fn show_edge(edge: &Edge) {
    let counters = edge.counters();
    for (code, count) in counters.failures {
        EDGE_FAILURES.counted(count, [code]);
    }
    EDGE_CUT.counted::<&str, 0>(counters.answers_cut, []);
    EDGE_MALFORMED.counted::<&str, 0>(counters.malformed, []);
    #[expect(clippy::cast_precision_loss, reason = "there are no 2^53 connections")]
    for (gauge, value) in [
        (EDGE_CONNECTIONS, counters.connections),
        (EDGE_IN_FLIGHT, counters.in_flight),
        (EDGE_HELD, counters.held),
    ] {
        gauge.set::<&str, 0>(value as f64, []);
    }
}

/// The class of a status.
const fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "none",
    }
}

/// Counts an answer of the edge.
pub(crate) fn edge_answered(status: StatusCode) {
    EDGE_REQUESTS.count([class(status.as_u16())]);
}

/// Counts what an application answered, or that it did not.
pub(crate) fn upstream_answered(status: Option<StatusCode>, took: Duration) {
    EDGE_UPSTREAM.observe(took, [status.map_or("none", |status| class(status.as_u16()))]);
}

/// The template of the route that a request took; what took none is together in one.
pub(crate) fn route(extensions: &Extensions) -> String {
    let matched = extensions.get::<MatchedPath>();
    matched.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned())
}

/// Counts an answer of the API.
pub(crate) fn answered(method: &Method, route: String, status: StatusCode, began: Instant) {
    // Methods are open: whoever asks could make up as many as they like.
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
    let method = if known.contains(method) { method.as_str() } else { "other" };
    REQUESTS.observe(began.elapsed(), [method.to_owned(), route, status.as_str().to_owned()]);
}
