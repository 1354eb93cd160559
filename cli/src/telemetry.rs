//! What the server says about itself: lines on standard error ([`logs`]), figures ([`metrics`]), and traces
//! ([`traces`]).
//!
//! None of it can slow or stop what it tells of: queues are bounded, and what does not fit is counted and
//! let go.

mod logs;
pub(crate) mod metrics;
mod process;
mod traces;
pub(crate) mod watch;

use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};

use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use url::Url;

use self::traces::Traces;

/// What is said when `SWITCHBACK_LOG_LEVEL` does not say otherwise. To a person: trouble, and what was done
/// without being asked for. To a machine: every command and every failure as well; every question with
/// `debug`.
const FOR_PEOPLE: &str = "warn,switchback_workers::reconciler=info";
const FOR_MACHINES: &str = "warn,switchback=info,switchback_projections=warn";

/// What an operator can choose.
pub(crate) struct Settings<'a> {
    /// Only failures are said.
    pub(crate) quiet: bool,
    /// What the process is in traces: `up`, or its role.
    pub(crate) role: &'a str,
    /// Where traces go; none by default, and then by `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) otlp: Option<Url>,
}

/// Something of it that could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// Traces.
    #[error("traces cannot be sent to {url}: {problem}")]
    Traces {
        /// Where to, without its password.
        url: String,
        /// Why not, and what to do.
        problem: String,
    },
    /// Metrics.
    #[error("metrics cannot be kept")]
    Metrics(#[from] BuildError),
}

/// What was begun.
pub(crate) struct Telemetry {
    figures: PrometheusHandle,
    traces: Traces,
}

/// Begins: lines for a person on a terminal, JSON otherwise. Within a runtime.
pub(crate) fn start(settings: Settings<'_>) -> Result<Telemetry, TelemetryError> {
    let setting = std::env::var("SWITCHBACK_LOG_LEVEL").ok();
    let is_terminal = io::stderr().is_terminal();
    let default = match (settings.quiet, is_terminal) {
        (true, _) => "error",
        (false, true) => FOR_PEOPLE,
        (false, false) => FOR_MACHINES,
    };
    let filter = EnvFilter::new(setting.unwrap_or_else(|| default.to_owned()));
    let traces = Traces::new(settings.role, settings.otlp.or_else(traces::standard_setting))?;
    let dispatch = Arc::new(OnceLock::new());
    let lines = if is_terminal { logs::for_people() } else { logs::for_machines(Arc::clone(&dispatch)) };
    tracing_subscriber::registry()
        .with(traces.layer())
        .with(logs::Dispatched(dispatch))
        .with(lines.with_filter(filter))
        .init();
    traces::install();
    Ok(Telemetry { figures: metrics::start()?, traces })
}

impl Telemetry {
    /// The figures.
    pub(crate) fn figures(&self) -> &PrometheusHandle {
        &self.figures
    }

    /// Sends what was not sent yet, for a moment at most.
    pub(crate) async fn stop(self) {
        self.traces.stop().await;
    }
}
