//! Whether what the platform stands on can be reached.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventlog::measure::Metric;
use futures::future::{BoxFuture, join_all};

/// How long an engine has to answer.
pub const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Whether engines answer.
pub const ENGINE_UP: Metric = Metric::gauge(
    "switchback_engine_up",
    &["engine", "kind"],
    "1 while an engine answers, else 0; engine: log, queue, read, and what the process uses besides.",
);

/// Asks an engine whether it is there; answers with what is wrong, in words.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// An engine that the platform stands on.
#[derive(Clone)]
pub struct Engine {
    /// What it is for: `log`, `read`, `queue`.
    pub name: &'static str,
    /// What it is: `sqlite`, `jetstream`, `postgres`.
    pub kind: &'static str,
    /// Asks it.
    pub probe: Probe,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.kind)
    }
}

/// What an engine answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What it is for.
    pub name: &'static str,
    /// What it is.
    pub kind: &'static str,
    /// What is wrong with it, in words; nothing when it is well.
    pub problem: Option<String>,
    /// How long it took to answer.
    pub took: Duration,
}

/// Asks all engines at once; none is waited for longer than [`PROBE_LIMIT`].
pub async fn probe_all(engines: &[Engine]) -> Vec<Probed> {
    join_all(engines.iter().map(probe)).await
}

async fn probe(engine: &Engine) -> Probed {
    let began = Instant::now();
    let problem = match tokio::time::timeout(PROBE_LIMIT, (engine.probe)()).await {
        Ok(Ok(())) => None,
        Ok(Err(problem)) => Some(problem),
        Err(_) => Some(format!("did not answer within {} s", PROBE_LIMIT.as_secs())),
    };
    Probed { name: engine.name, kind: engine.kind, problem, took: began.elapsed() }
}

/// Sets the gauges.
pub fn show(probed: &[Probed]) {
    for engine in probed {
        ENGINE_UP.set(f64::from(u8::from(engine.problem.is_none())), [engine.name, engine.kind]);
    }
}
