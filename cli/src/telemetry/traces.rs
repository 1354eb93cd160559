//! Traces: spans of what the platform does, sent by OTLP (HTTP, protobuf) to whoever collects them.
//!
//! Without a collector spans have ids all the same, so that lines of the log and events belong together, and
//! are let go of when they end. Only spans are sent, and of those only the platform's own: what a line says
//! stays in the log.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventlog::trace::{Propagation, Traceparent};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::runtime;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, Sampler, SdkTracerProvider, Span as SdkSpan, SpanData, SpanExporter as Exporter,
    SpanProcessor,
};
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use super::TelemetryError;
use super::metrics::TRACE_SPANS;

/// How many spans may wait to be sent; more are let go of.
const WAITING_MAX: usize = 4096;
/// How many are sent at once.
const BATCH_MAX: usize = 512;
/// How long spans wait for others.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How long the collector has to take a batch; then it is let go of.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last batch.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// What every tool that speaks OTLP reads its collector from.
pub(super) fn standard_setting() -> Option<Url> {
    std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok()?.parse().ok()
}

/// Spans, and where they go.
pub(super) struct Traces {
    provider: SdkTracerProvider,
    is_sent: bool,
}

impl Traces {
    /// Begins to send spans to a collector, if there is one.
    pub(super) fn new(role: &str, collector: Option<Url>) -> Result<Self, TelemetryError> {
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", "switchback"),
            KeyValue::new("service.namespace", role.to_owned()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ]);
        let builder = SdkTracerProvider::builder().with_resource(resource.build());
        let Some(collector) = collector else {
            // Whoever asks with a trace of their own finds it again; others are told that nobody keeps it.
            let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
            return Ok(Self { provider: builder.with_sampler(sampler).build(), is_sent: false });
        };
        let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
        let builder = builder.with_sampler(sampler).with_span_processor(processor(&collector)?);
        Ok(Self { provider: builder.build(), is_sent: true })
    }

    /// What makes the platform's spans part of traces.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("switchback"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span()
                    && *metadata.level() <= Level::INFO
                    && metadata.target().starts_with("switchback")
            }))
    }

    /// Sends what was not sent yet, for a moment at most.
    pub(super) async fn stop(self) {
        if !self.is_sent {
            return;
        }
        let (done, stopped) = tokio::sync::oneshot::channel();
        // It blocks until the collector has answered. A thread, because the end of the runtime waits for
        // tasks that block.
        std::thread::spawn(move || {
            let _ = self.provider.shutdown();
            let _ = done.send(());
        });
        let _ = tokio::time::timeout(STOP_LIMIT, stopped).await;
    }
}

/// How the other crates pass traces on.
pub(super) fn install() {
    eventlog::trace::install(Propagation { of, adopt });
}

fn of(span: &Span) -> Option<Traceparent> {
    let context = span.context();
    let named = context.span().span_context().clone();
    named.is_valid().then(|| Traceparent {
        trace: u128::from_be_bytes(named.trace_id().to_bytes()),
        span: u64::from_be_bytes(named.span_id().to_bytes()),
        flags: named.trace_flags().to_u8(),
    })
}

fn adopt(span: &Span, parent: Traceparent) {
    let named = SpanContext::new(
        TraceId::from_bytes(parent.trace.to_be_bytes()),
        SpanId::from_bytes(parent.span.to_be_bytes()),
        TraceFlags::new(parent.flags),
        true,
        TraceState::default(),
    );
    // It fails for a span that is not kept, which has no parent either.
    let _ = span.set_parent(Context::new().with_remote_span_context(named));
}

/// Where a collector takes traces: below the address that was given, as the specification of OTLP has it.
fn endpoint(collector: &Url) -> Result<Url, TelemetryError> {
    let refused = |problem: &str| TelemetryError::Traces {
        url: crate::compose::shown(collector),
        problem: problem.to_owned(),
    };
    if !matches!(collector.scheme(), "http" | "https") {
        return Err(refused(
            "it must be http:// or https://, as OTLP over HTTP; the port is most often 4318",
        ));
    }
    let mut endpoint = collector.clone();
    if !endpoint.path().ends_with("/v1/traces") {
        let mut path = endpoint.path_segments_mut().map_err(|()| refused("it has no path"))?;
        path.pop_if_empty().extend(["v1", "traces"]);
    }
    Ok(endpoint)
}

fn processor(collector: &Url) -> Result<Counted, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint(collector)?)
        .with_timeout(SEND_LIMIT)
        .build()
        .map_err(|error| TelemetryError::Traces {
            url: crate::compose::shown(collector),
            problem: error.to_string(),
        })?;
    let waiting = Arc::new(AtomicU64::new(0));
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(WAITING_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(BATCH_DELAY)
        .with_max_export_timeout(SEND_LIMIT)
        .build();
    let exporter = Told { exporter, waiting: Arc::clone(&waiting) };
    let batches = BatchSpanProcessor::builder(exporter, runtime::Tokio).with_batch_config(config).build();
    Ok(Counted { batches, waiting })
}

/// Counts what it gives to the queue, and what it does not because too much waits.
#[derive(Debug)]
struct Counted {
    batches: BatchSpanProcessor<runtime::Tokio>,
    /// How many spans were given to the queue and not to the collector yet.
    waiting: Arc<AtomicU64>,
}

impl SpanProcessor for Counted {
    fn on_start(&self, span: &mut SdkSpan, cx: &Context) {
        self.batches.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        // The queue's own limit is the same; it does not say when it is reached.
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX as u64 {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            TRACE_SPANS.count(["dropped"]);
        } else {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Counts what the collector took.
struct Told {
    exporter: SpanExporter,
    waiting: Arc<AtomicU64>,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}

/// Counts spans as not waiting any more, and as lost unless somebody says otherwise: a batch that takes too
/// long is dropped where it stands.
struct Batch {
    spans: u64,
    outcome: &'static str,
    waiting: Arc<AtomicU64>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.spans, Ordering::Relaxed);
        TRACE_SPANS.add(self.spans, [self.outcome]);
    }
}

impl Exporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let mut counted = Batch { spans, outcome: "failed", waiting: Arc::clone(&self.waiting) };
        let sent = self.exporter.export(batch).await;
        if sent.is_ok() {
            counted.outcome = "sent";
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_takes_traces_below_its_address() {
        let of = |url: &str| endpoint(&url.parse().unwrap()).map(String::from);
        assert_eq!(of("http://collector:4318").unwrap(), "http://collector:4318/v1/traces");
        assert_eq!(of("https://collector/otlp/").unwrap(), "https://collector/otlp/v1/traces");
        assert_eq!(of("http://collector:4318/v1/traces").unwrap(), "http://collector:4318/v1/traces");
        let refused = of("grpc://user:secret@collector:4317").unwrap_err().to_string();
        assert!(refused.contains("http://") && !refused.contains("secret"), "{refused}");
    }
}
