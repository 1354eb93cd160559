//! Lines on standard error.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use opentelemetry::trace::TraceContextExt;
use tracing::dispatcher::WeakDispatch;
use tracing::{Dispatch, Event, Subscriber};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::fmt::format::{Format, JsonFields, Writer};
use tracing_subscriber::fmt::time::ChronoUtc;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt as lines};

/// Where all layers are, once they are put together: known to a line only this way, because a line is written
/// while they work.
pub(super) type Together = Arc<OnceLock<WeakDispatch>>;

/// For a person on a terminal.
pub(super) fn for_people<S>() -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let timer = ChronoUtc::new("%H:%M:%S".into());
    lines::layer().with_writer(io::stderr).with_target(false).compact().with_timer(timer).boxed()
}

/// For a machine: one JSON object a line, with the ids of trace and span.
pub(super) fn for_machines<S>(together: Together) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let json = Format::default().json().flatten_event(true).with_span_list(false).with_target(false);
    let format = Traced { json, together };
    lines::layer().with_writer(io::stderr).fmt_fields(JsonFields::new()).event_format(format).boxed()
}

/// Learns where all layers are.
pub(super) struct Dispatched(pub(super) Together);

impl<S: Subscriber> Layer<S> for Dispatched {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        let _ = self.0.set(subscriber.downgrade());
    }
}

/// The JSON of a line, and behind it the ids.
struct Traced<F> {
    json: F,
    together: Together,
}

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some((trace, span)) = self.ids(ctx) else {
            return self.json.format_event(ctx, writer, event);
        };
        let mut line = String::new();
        self.json.format_event(ctx, Writer::new(&mut line), event)?;
        match line.trim_end().strip_suffix('}') {
            Some(open) => writeln!(writer, r#"{open},"trace_id":"{trace}","span_id":"{span}"}}"#),
            None => writer.write_str(&line),
        }
    }
}

impl<F> Traced<F> {
    /// The ids of the innermost span that has some.
    fn ids<S, N>(&self, ctx: &FmtContext<'_, S, N>) -> Option<(String, String)>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
        N: for<'a> FormatFields<'a> + 'static,
    {
        let dispatch = self.together.get()?.upgrade()?;
        ctx.lookup_current()?.scope().find_map(|span| {
            let context = get_otel_context(&span.id(), &dispatch)?;
            let named = context.span().span_context().clone();
            named.is_valid().then(|| (named.trace_id().to_string(), named.span_id().to_string()))
        })
    }
}
