//! Looks every few seconds at what is not counted but looked at: how large the logs are, how much work waits,
//! how far the read models are behind, whether the engines answer, how full the disk is.
//!
//! What cannot be read becomes "not a number", which no alert takes for well.

use std::path::PathBuf;
use std::time::Duration;

use domain::deployment::step::Lane;
use eventlog::log::SharedLog;
use eventlog::logs::SharedLogs;
use eventlog::measure::{LOG_BYTES, LOG_MESSAGES, LOGSTORE_BYTES, Metric, QUEUE_ITEMS, QUEUE_PARKED};
use eventlog::queue::SharedQueue;
use gateway::engine;
use gateway::operations::Probes;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(10);
/// How long one look may take.
const LIMIT: Duration = Duration::from_secs(5);

const DISK_FREE: Metric =
    Metric::gauge("switchback_disk_free_bytes", &[], "Free space where the data directory is.");
const DISK_SIZE: Metric =
    Metric::gauge("switchback_disk_size_bytes", &[], "All space where the data directory is.");

/// What is measured here.
pub(super) const METRICS: &[Metric] = &[DISK_FREE, DISK_SIZE];

/// What a process looks at: what it has of these.
pub(crate) struct Watch {
    /// Draws up histograms, which would grow otherwise while nobody asks.
    pub(crate) figures: PrometheusHandle,
    /// Engines and read models.
    pub(crate) probes: Probes,
    /// The event log.
    pub(crate) log: Option<SharedLog>,
    /// The log store.
    pub(crate) logs: Option<SharedLogs>,
    /// The work queue.
    pub(crate) queue: Option<SharedQueue>,
    /// The data directory.
    pub(crate) data: Option<PathBuf>,
}

impl Watch {
    /// Looks until it is told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.look().await,
            }
        }
    }

    async fn look(&self) {
        tokio::join!(self.engines(), self.log(), self.logs(), self.queue(), self.read_models());
        self.disk();
        self.figures.run_upkeep();
    }

    async fn engines(&self) {
        engine::show(&engine::probe_all(&self.probes.engines).await);
    }

    async fn log(&self) {
        let Some(log) = &self.log else { return };
        let size = timeout(LIMIT, log.size()).await.ok().and_then(Result::ok);
        show(&LOG_MESSAGES, [], size.map(|size| size.commits));
        show(&LOG_BYTES, [], size.and_then(|size| size.bytes));
    }

    async fn logs(&self) {
        let Some(logs) = &self.logs else { return };
        let size = timeout(LIMIT, logs.size()).await.ok().and_then(Result::ok);
        show(&LOGSTORE_BYTES, [], size.flatten());
    }

    async fn queue(&self) {
        let Some(queue) = &self.queue else { return };
        for lane in Lane::ALL.map(Lane::as_str) {
            let depth = timeout(LIMIT, queue.depth(lane)).await.ok().and_then(Result::ok);
            show(&QUEUE_ITEMS, [lane], depth.map(|depth| depth as u64));
        }
        let parked = timeout(LIMIT, queue.parked()).await.ok().and_then(Result::ok);
        show(&QUEUE_PARKED, [], parked.map(|parked| parked.len() as u64));
    }

    async fn read_models(&self) {
        let Some(read_models) = &self.probes.read_models else { return };
        if let Ok(lags) = timeout(LIMIT, read_models.lag()).await {
            projections::measure::show(&lags);
        }
    }

    fn disk(&self) {
        let Some(disk) = self.data.as_ref().and_then(|data| rustix::fs::statvfs(data).ok()) else { return };
        show(&DISK_FREE, [], Some(disk.f_bavail * disk.f_frsize));
        show(&DISK_SIZE, [], Some(disk.f_blocks * disk.f_frsize));
    }
}

#[expect(clippy::cast_precision_loss, reason = "what has 2^53 bytes is not told exactly")]
fn show<const N: usize>(gauge: &Metric, labels: [&'static str; N], value: Option<u64>) {
    gauge.set(value.map_or(f64::NAN, |value| value as f64), labels);
}
