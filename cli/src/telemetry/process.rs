//! Figures of the process, by the names that Prometheus' own clients have for them.

use std::fs;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use eventlog::measure::Metric;
use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};

const RESIDENT: Metric =
    Metric::gauge("process_resident_memory_bytes", &[], "Memory of the process that is in use.");
const OPEN_FDS: Metric = Metric::gauge("process_open_fds", &[], "Files and connections that are open.");
const MAX_FDS: Metric =
    Metric::gauge("process_max_fds", &[], "Files and connections that may be open at once.");
const STARTED: Metric = Metric::gauge(
    "process_start_time_seconds",
    &[],
    "When the process began, in seconds since 1970; time() minus this is how long it runs.",
);
const CPU: Metric = Metric::counter(
    "process_cpu_seconds_total",
    &[],
    "Processor time that the process has used, in whole seconds.",
);
const BUILD: Metric =
    Metric::gauge("switchback_build_info", &["version"], "Always 1; the label says which version runs.");

/// What is measured here.
pub(super) const METRICS: &[Metric] = &[RESIDENT, OPEN_FDS, MAX_FDS, STARTED, CPU, BUILD];

static BEGAN: OnceLock<f64> = OnceLock::new();

/// Notes when it began.
pub(super) fn begin() {
    BEGAN.get_or_init(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
    });
    BUILD.set(1.0, [env!("CARGO_PKG_VERSION")]);
}

/// Looks. What cannot be read is not changed.
#[expect(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
pub(super) fn show() {
    STARTED.set::<&str, 0>(BEGAN.get().copied().unwrap_or_default(), []);
    if let Some(bytes) = resident_bytes() {
        RESIDENT.set::<&str, 0>(bytes as f64, []);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        OPEN_FDS.set::<&str, 0>(files.count() as f64, []);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        MAX_FDS.set::<&str, 0>(most as f64, []);
    }
    if let Some(ticks) = cpu_ticks() {
        CPU.counted::<&str, 0>(ticks / clock_ticks_per_second().max(1), []);
    }
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Fields 14 and 15 of `/proc/self/stat`; the second one, in parentheses, may have blanks.
fn cpu_ticks() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}
