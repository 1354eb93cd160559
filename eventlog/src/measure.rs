//! What is measured: how a metric is written down, and those of the log, the queue and the log store.
//!
//! Every crate has such a table; `docs/guide/operations.md` lists them all, and a test compares the two with
//! what `/metrics` shows. A label has few values: never an id, never a name that somebody chose.

use std::time::Duration;

use metrics::{Label, SharedString};

use crate::commit::Commit;
use crate::error::AppendError;

/// For what takes a moment: an append, a command, a request. Half a millisecond is a write to a local disk;
/// ten seconds is what nobody waits for.
pub const MOMENTS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// For what takes its time: a step, a build, a deployment. From a static site to the limit of a build and
/// that of a drain.
pub const WORK: &[f64] =
    &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows, from zero at the start of the process.
    Counter,
    /// What is true now.
    Gauge,
    /// How values are spread, in seconds, over buckets with these upper ends.
    Histogram(&'static [f64]),
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name, with the unit at the end.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl Metric {
    /// A counter.
    #[must_use]
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, labels, help }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, labels, help }
    }

    /// A histogram of seconds.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        buckets: &'static [f64],
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram(buckets), labels, help }
    }

    /// Tells the recorder of this process what it is.
    pub fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.help),
            Kind::Histogram(_) => metrics::describe_histogram!(self.name, self.help),
        }
    }

    /// Shows it before anything has happened, so that the first time is seen as a change.
    pub fn begin<const N: usize>(&self, labels: [&'static str; N]) {
        match self.kind {
            Kind::Counter => self.add(0, labels),
            Kind::Gauge => self.set(0.0, labels),
            Kind::Histogram(_) => drop(metrics::histogram!(self.name, self.labelled(labels))),
        }
    }

    /// Counts one more. Labels have the values in the order of their names.
    pub fn count<L: Into<SharedString>, const N: usize>(&self, labels: [L; N]) {
        self.add(1, labels);
    }

    /// Counts several more.
    pub fn add<L: Into<SharedString>, const N: usize>(&self, more: u64, labels: [L; N]) {
        metrics::counter!(self.name, self.labelled(labels)).increment(more);
    }

    /// Says what something else has counted since the start.
    pub fn counted<L: Into<SharedString>, const N: usize>(&self, total: u64, labels: [L; N]) {
        metrics::counter!(self.name, self.labelled(labels)).absolute(total);
    }

    /// Says what is true now.
    pub fn set<L: Into<SharedString>, const N: usize>(&self, value: f64, labels: [L; N]) {
        metrics::gauge!(self.name, self.labelled(labels)).set(value);
    }

    /// Adds to a histogram.
    pub fn observe<L: Into<SharedString>, const N: usize>(&self, took: Duration, labels: [L; N]) {
        metrics::histogram!(self.name, self.labelled(labels)).record(took.as_secs_f64());
    }

    fn labelled<L: Into<SharedString>, const N: usize>(&self, values: [L; N]) -> Vec<Label> {
        debug_assert_eq!(self.labels.len(), N, "{} has other labels", self.name);
        self.labels.iter().copied().zip(values).map(|(name, value)| Label::new(name, value)).collect()
    }
}

/// How long appends take.
pub const APPENDS: Metric = Metric::histogram(
    "switchback_log_append_duration_seconds",
    MOMENTS,
    &["outcome"],
    "Time from an append to its answer; outcome: appended, conflict, unknown, unavailable, too_large.",
);
/// How many commits the log has.
pub const LOG_MESSAGES: Metric =
    Metric::gauge("switchback_log_messages", &[], "Commits in the event log, each one message.");
/// How large the log is.
pub const LOG_BYTES: Metric = Metric::gauge("switchback_log_bytes", &[], "Size of the event log as stored.");
/// How large the log store is.
pub const LOGSTORE_BYTES: Metric = Metric::gauge(
    "switchback_logstore_bytes",
    &[],
    "Size of what builds and applications printed, as stored.",
);
/// How much work waits.
pub const QUEUE_ITEMS: Metric = Metric::gauge(
    "switchback_queue_items",
    &["lane"],
    "Items of work that wait or are leased; lane: build, rollout.",
);
/// How much work was given up.
pub const QUEUE_PARKED: Metric =
    Metric::gauge("switchback_queue_parked_items", &[], "Items of work that an operator has to look at.");

/// What this crate measures.
pub const METRICS: &[Metric] = &[APPENDS, LOG_MESSAGES, LOG_BYTES, LOGSTORE_BYTES, QUEUE_ITEMS, QUEUE_PARKED];

/// Shows what can be shown before anything has happened.
pub fn begin() {
    for outcome in ["appended", "conflict", "unknown", "unavailable", "too_large"] {
        APPENDS.begin([outcome]);
    }
}

/// The word for how an append ended.
pub(crate) const fn outcome<T>(appended: &Result<T, AppendError>) -> &'static str {
    match appended {
        Ok(_) => "appended",
        Err(AppendError::Conflict { .. }) => "conflict",
        Err(AppendError::Unknown { .. }) => "unknown",
        Err(AppendError::Unavailable { .. }) => "unavailable",
        Err(AppendError::TooLarge { .. }) => "too_large",
    }
}

/// Is told of each commit that this process appended, once, after it was acknowledged.
pub type Observer = Box<dyn Fn(&Commit) + Send + Sync>;
