//! The recorder of figures, and those of the process itself.

use eventlog::measure::{Kind, Metric};
use gateway::operations::Scrape;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::process;

/// Spans that ended.
pub(crate) const TRACE_SPANS: Metric = Metric::counter(
    "switchback_trace_spans_total",
    &["outcome"],
    "Spans for the collector; outcome: sent, failed, dropped (too many waited).",
);

/// What this crate measures.
const METRICS: &[Metric] = &[TRACE_SPANS];

/// Every metric of every crate.
pub(crate) fn all() -> impl Iterator<Item = &'static Metric> {
    let crates = [
        eventlog::measure::METRICS,
        commands::measure::METRICS,
        projections::measure::METRICS,
        workers::measure::METRICS,
        gateway::measure::METRICS,
        process::METRICS,
        super::watch::METRICS,
        METRICS,
    ];
    crates.into_iter().flatten()
}

/// Begins to keep figures.
pub(super) fn start() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in all() {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let handle = builder.install_recorder()?;
    all().for_each(Metric::describe);
    eventlog::measure::begin();
    commands::measure::begin();
    workers::measure::begin();
    gateway::measure::begin();
    process::begin();
    for outcome in ["sent", "failed", "dropped"] {
        TRACE_SPANS.begin([outcome]);
    }
    Ok(handle)
}

/// Writes all figures down; before that, `look` sets those that are looked at and not counted.
pub(crate) fn scrape(handle: PrometheusHandle, look: impl Fn() + Send + Sync + 'static) -> Scrape {
    std::sync::Arc::new(move || {
        process::show();
        look();
        handle.render()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The lines of the table in the guide: `| name | kind | labels | what it says |`.
    fn documented() -> BTreeMap<String, (String, String)> {
        let guide = include_str!("../../../docs/guide/operations.md");
        let rows = guide.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.filter_map(|row| {
            let (name, rest) = row.split_once('`')?;
            let mut cells = rest.split('|').map(str::trim).skip(1);
            let (kind, labels) = (cells.next()?, cells.next()?);
            let is_metric = ["counter", "gauge", "histogram"].contains(&kind);
            is_metric.then(|| (name.to_owned(), (kind.to_owned(), labels.to_owned())))
        })
        .collect()
    }

    #[test]
    fn the_guide_lists_every_metric_and_no_other() {
        let known = all().map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            (metric.name.to_owned(), (kind.to_owned(), metric.labels.join(", ")))
        });
        assert_eq!(documented(), known.collect());
    }

    #[test]
    fn names_end_in_their_unit_and_labels_name_nothing_that_belongs_to_anybody() {
        for metric in all() {
            let name = metric.name;
            assert!(name.starts_with("switchback_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(name.ends_with("_seconds"), "{name}");
                assert!(buckets.is_sorted() && buckets.len() <= 20, "{name}");
            }
            for label in metric.labels {
                let is_open = ["organization", "project", "service", "deployment", "user", "path", "id"];
                assert!(!is_open.contains(label), "{name} {label}");
            }
        }
    }
}
