//! `up`: the whole platform in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use url::Url;

use crate::args::DEFAULT_LISTEN;

const EXAMPLES: &str = "\
Examples:
  switchback up
  switchback up --demo
  switchback up --data /srv/switchback --log nats://127.0.0.1:4222 --read postgres:///switchback";

/// `up`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Up {
    /// Where everything is kept [default: ~/.local/share/switchback]
    #[arg(long, value_name = "DIR", env = "SWITCHBACK_DATA", hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,
    /// Where the API listens
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_LISTEN)]
    pub(crate) listen: SocketAddr,
    /// Where the services are reached
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) edge: SocketAddr,
    /// The event log [default: a file in the data directory]
    #[arg(long, value_name = "URL", env = "SWITCHBACK_LOG", hide_env_values = true)]
    pub(crate) log: Option<Url>,
    /// Where the NATS server of --log can be asked whether it syncs before it answers (its monitoring
    /// address); give it once for each server
    #[arg(long, value_name = "URL", env = "SWITCHBACK_LOG_MONITOR", value_delimiter = ',')]
    pub(crate) log_monitor: Vec<Url>,
    /// How many servers of a NATS cluster keep each event
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = copies())]
    pub(crate) log_replicas: usize,
    /// The read models [default: a file in the data directory]
    #[arg(long, value_name = "URL", env = "SWITCHBACK_READ", hide_env_values = true)]
    pub(crate) read: Option<Url>,
    /// What builds [default: processes on this machine]
    #[arg(long, value_name = "URL")]
    pub(crate) builder: Option<Url>,
    /// Where built things are kept [default: the data directory]
    #[arg(long, value_name = "URL", env = "SWITCHBACK_REGISTRY", hide_env_values = true)]
    pub(crate) registry: Option<Url>,
    /// What runs services [default: processes on this machine]
    #[arg(long, value_name = "URL")]
    pub(crate) runtime: Option<Url>,
    /// Deploy the bundled example, change it, roll it back, and say what was done
    #[arg(long)]
    pub(crate) demo: bool,
    /// Accept a NATS server that answers before its disk has the data: a power cut may then lose commands
    /// that were acknowledged
    #[arg(long)]
    pub(crate) accept_lax_log: bool,
    /// How long a build may take
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    pub(crate) build_timeout: Duration,
}

/// How many copies a NATS cluster can keep.
fn copies() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=5)
}

impl Up {
    /// The data directory: as it was given, or that of the user by the rules of XDG. `None` without a home.
    pub(crate) fn data_directory(&self) -> Option<PathBuf> {
        let given = self.data.clone().filter(|path| !path.as_os_str().is_empty());
        given.or_else(|| crate::credentials::user_directory("XDG_DATA_HOME", ".local/share"))
    }
}
