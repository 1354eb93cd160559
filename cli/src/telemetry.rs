//! What the server says about itself, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::ChronoUtc;

/// What is said when `SWITCHBACK_LOG_LEVEL` does not say otherwise. To a person: trouble, and what was done
/// without being asked for. To a machine: every command and every failure as well; every question with
/// `debug`.
const FOR_PEOPLE: &str = "warn,switchback_workers::reconciler=info";
const FOR_MACHINES: &str = "warn,switchback=info,switchback_projections=warn";

/// Begins to say it: lines for a person on a terminal, JSON otherwise.
pub(crate) fn start(quiet: bool) {
    let setting = std::env::var("SWITCHBACK_LOG_LEVEL").ok();
    let is_terminal = io::stderr().is_terminal();
    let default = match (quiet, is_terminal) {
        (true, _) => "error",
        (false, true) => FOR_PEOPLE,
        (false, false) => FOR_MACHINES,
    };
    let filter = setting.unwrap_or_else(|| default.to_owned());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_target(false);
    if is_terminal {
        builder.compact().with_timer(ChronoUtc::new("%H:%M:%S".into())).init();
    } else {
        builder.json().flatten_event(true).with_span_list(false).init();
    }
}
