//! What is told about a process: whether it is ready, and its figures.

use std::path::PathBuf;
use std::sync::Arc;

use gateway::edge::Edge;
use gateway::engine::Engine;
use gateway::operations::{Probes, ReadModels, Scrape};
use metrics_exporter_prometheus::PrometheusHandle;

use super::parts::Parts;
use crate::compose::Engines;
use crate::telemetry::metrics;
use crate::telemetry::watch::Watch;

/// What a process is looked at by.
pub(super) struct Observer {
    /// Its figures.
    pub(super) figures: PrometheusHandle,
    /// Its data directory.
    pub(super) data: PathBuf,
}

impl Observer {
    /// Begins to look at a process that is an edge and nothing else: it stands on no engine.
    pub(super) fn of_edge(self, parts: &mut Parts, edge: &Arc<Edge>) -> (Probes, Scrape) {
        let probes = Probes { engines: Arc::new([]), read_models: None };
        let watch = Watch {
            figures: self.figures.clone(),
            probes: probes.clone(),
            log: None,
            logs: None,
            queue: None,
            data: Some(self.data),
        };
        parts.follow.spawn(|stop| watch.run(stop));
        let edge = Arc::clone(edge);
        (probes, metrics::scrape(self.figures, move || gateway::measure::show_edge(&edge)))
    }

    /// Begins to look at the engines and at what else the process stands on. Answers with what `/ready` and
    /// `/metrics` say; `edge` is the one of this process.
    pub(super) fn start(
        self,
        parts: &mut Parts,
        engines: &Engines,
        others: Vec<Engine>,
        edge: Option<Arc<Edge>>,
    ) -> (Probes, Scrape) {
        let read_models = engines
            .has_reads
            .then(|| ReadModels { reads: engines.reads.clone(), log: Arc::clone(&engines.log) });
        let probes = Probes { engines: engines.probes().into_iter().chain(others).collect(), read_models };
        let watch = Watch {
            figures: self.figures.clone(),
            probes: probes.clone(),
            log: Some(Arc::clone(&engines.log)),
            logs: Some(Arc::clone(&engines.logs)),
            queue: Some(Arc::clone(&engines.queue)),
            data: Some(self.data),
        };
        parts.follow.spawn(|stop| watch.run(stop));
        let scrape = metrics::scrape(self.figures, move || {
            if let Some(edge) = &edge {
                gateway::measure::show_edge(edge);
            }
        });
        (probes, scrape)
    }
}
