//! What an operator can choose about the platform, whichever of its roles run: by flag, by environment
//! variable (`SWITCHBACK_` and the flag's name), or in a file (the flag's name), in this order.
//!
//! `docs/guide/settings.md` lists them all; a test compares the two.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use url::Url;

use crate::args::DEFAULT_LISTEN;

/// The shortest time that a worker may be silent: it says that it is there three times in it.
const LEASE_MIN: Duration = Duration::from_secs(1);

/// The settings of the platform.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Settings {
    /// Read settings from a file: the names of these flags, in TOML
    #[arg(long, value_name = "FILE", env = "SWITCHBACK_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept that is this process's own [default: ~/.local/share/switchback]
    #[arg(long, value_name = "DIR", env = "SWITCHBACK_DATA", hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,
    /// Where the API listens
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = DEFAULT_LISTEN,
        env = "SWITCHBACK_LISTEN",
        hide_env_values = true
    )]
    pub(crate) listen: SocketAddr,
    /// Where /health, /ready and /metrics are answered besides the API [default: nowhere]
    #[arg(long, value_name = "ADDRESS", env = "SWITCHBACK_OPERATIONS", hide_env_values = true)]
    pub(crate) operations: Option<SocketAddr>,
    /// Where traces are sent, by OTLP over HTTP [default: nowhere]
    #[arg(long, value_name = "URL", env = "SWITCHBACK_OTLP", hide_env_values = true)]
    pub(crate) otlp: Option<Url>,
    /// The edge.
    #[command(flatten)]
    pub(crate) traffic: Traffic,
    /// The event log.
    #[command(flatten)]
    pub(crate) log: Log,
    /// The read models.
    #[command(flatten)]
    pub(crate) read: Read,
    /// Keys.
    #[command(flatten)]
    pub(crate) keys: Keys,
    /// What builds, keeps and runs.
    #[command(flatten)]
    pub(crate) work: Work,
}

/// How services are reached.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Traffic")]
pub(crate) struct Traffic {
    /// Where the services are reached
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        env = "SWITCHBACK_EDGE",
        hide_env_values = true
    )]
    pub(crate) edge: SocketAddr,
    /// Where the services are reached by HTTPS [default: nowhere]
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "edge_tls",
        env = "SWITCHBACK_EDGE_HTTPS",
        hide_env_values = true
    )]
    pub(crate) edge_https: Option<SocketAddr>,
    /// Certificates for HTTPS: a directory of NAME.crt and NAME.key, looked at again every few seconds
    #[arg(
        long,
        value_name = "DIR",
        requires = "edge_https",
        env = "SWITCHBACK_EDGE_TLS",
        hide_env_values = true
    )]
    pub(crate) edge_tls: Option<PathBuf>,
    /// What the hostnames of services end with
    #[arg(
        long,
        value_name = "NAME",
        default_value = "localhost",
        env = "SWITCHBACK_HOSTNAME_SUFFIX",
        hide_env_values = true
    )]
    pub(crate) hostname_suffix: String,
    /// How the services are reached from outside, for the addresses that are shown [default: by --edge]
    #[arg(long, value_name = "URL", env = "SWITCHBACK_EDGE_URL", hide_env_values = true)]
    pub(crate) edge_url: Option<Url>,
}

/// The event log.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Event log")]
pub(crate) struct Log {
    /// The event log: nats://HOST or tls://HOST, of a cluster several [default: a file in the data directory]
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "SWITCHBACK_LOG", hide_env_values = true)]
    pub(crate) log: Vec<Url>,
    /// Where the NATS server of --log can be asked whether it syncs before it answers (its monitoring
    /// address); give it once for each server
    #[arg(
        long,
        value_name = "URL",
        env = "SWITCHBACK_LOG_MONITOR",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(crate) log_monitor: Vec<Url>,
    /// How many servers of a NATS cluster keep each event
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = copies(),
        env = "SWITCHBACK_LOG_REPLICAS",
        hide_env_values = true
    )]
    pub(crate) log_replicas: usize,
    /// Credentials for NATS: a .creds file
    #[arg(long, value_name = "FILE", env = "SWITCHBACK_LOG_CREDENTIALS", hide_env_values = true)]
    pub(crate) log_credentials: Option<PathBuf>,
    /// Who signed the certificate of NATS: a file of certificates [default: who this machine trusts]
    #[arg(long, value_name = "FILE", env = "SWITCHBACK_LOG_CA", hide_env_values = true)]
    pub(crate) log_ca: Option<PathBuf>,
    /// This platform's own certificate and its key for NATS, when the server asks for one: two files, with a
    /// comma between them
    #[arg(
        long,
        value_name = "FILE",
        value_delimiter = ',',
        num_args = 1..=2,
        env = "SWITCHBACK_LOG_CERTIFICATE",
        hide_env_values = true
    )]
    pub(crate) log_certificate: Vec<PathBuf>,
    /// How long NATS keeps what builds and applications print
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30d",
        value_parser = humantime::parse_duration,
        env = "SWITCHBACK_LINES_AGE",
        hide_env_values = true
    )]
    pub(crate) lines_age: Duration,
    /// How much of what builds and applications print NATS keeps, in bytes; the oldest falls away
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 4_000_000_000,
        env = "SWITCHBACK_LINES_BYTES",
        hide_env_values = true
    )]
    pub(crate) lines_bytes: u64,
    /// How much of uploaded sources NATS keeps, in bytes; more is refused
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 20_000_000_000,
        env = "SWITCHBACK_UPLOADS_BYTES",
        hide_env_values = true
    )]
    pub(crate) uploads_bytes: u64,
    /// Accept a NATS server that answers before its disk has the data: a power cut may then lose commands
    /// that were acknowledged
    #[arg(long, env = "SWITCHBACK_ACCEPT_LAX_LOG", hide_env_values = true)]
    pub(crate) accept_lax_log: bool,
}

/// The read models.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Read models")]
pub(crate) struct Read {
    /// The read models: postgres://USER@HOST/DATABASE [default: a file in the data directory]
    #[arg(long, value_name = "URL", env = "SWITCHBACK_READ", hide_env_values = true)]
    pub(crate) read: Option<Url>,
    /// A replica of that database, which queries ask
    #[arg(
        long,
        value_name = "URL",
        requires = "read",
        env = "SWITCHBACK_READ_REPLICA",
        hide_env_values = true
    )]
    pub(crate) read_replica: Option<Url>,
}

/// Keys.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Keys")]
pub(crate) struct Keys {
    /// The key that wraps all keys: a file with 64 hexadecimal digits, for this user only [default: made in
    /// the data directory]
    #[arg(long, value_name = "FILE", env = "SWITCHBACK_MASTER_KEY", hide_env_values = true)]
    pub(crate) master_key: Option<PathBuf>,
    /// Where the owner's token is written on the first start [default: owner.token in the data directory]
    #[arg(long, value_name = "FILE", env = "SWITCHBACK_OWNER_TOKEN", hide_env_values = true)]
    pub(crate) owner_token: Option<PathBuf>,
}

/// What builds, keeps and runs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Builds and instances")]
pub(crate) struct Work {
    /// Which steps of deployments a worker takes on; builder hosts take builds only
    #[arg(
        long,
        value_name = "LANE",
        value_delimiter = ',',
        default_values = ["build", "rollout"],
        env = "SWITCHBACK_LANE",
        hide_env_values = true
    )]
    pub(crate) lane: Vec<WorkLane>,
    /// What builds: `docker:`, `docker:///PATH/docker.sock` or `process:` [default: what --runtime is]
    #[arg(long, value_name = "URL", env = "SWITCHBACK_BUILDER", hide_env_values = true)]
    pub(crate) builder: Option<Url>,
    /// Where images are kept: oci://HOST/PREFIX, or `docker:` for the engine itself [default: the engine, or the
    /// data directory without one]
    #[arg(long, value_name = "URL", env = "SWITCHBACK_REGISTRY", hide_env_values = true)]
    pub(crate) registry: Option<Url>,
    /// User and password (or token) for the registry: a file with both on one line, by a colon between them
    #[arg(
        long,
        value_name = "FILE",
        requires = "registry",
        env = "SWITCHBACK_REGISTRY_CREDENTIALS",
        hide_env_values = true
    )]
    pub(crate) registry_credentials: Option<PathBuf>,
    /// What runs services: `docker:`, `docker:///PATH/docker.sock` or `process:` [default: processes on this
    /// machine]
    #[arg(long, value_name = "URL", env = "SWITCHBACK_RUNTIME", hide_env_values = true)]
    pub(crate) runtime: Option<Url>,
    /// The image that a language is built and run in, instead of the usual, such as
    /// node=registry.example.com/node:22
    #[arg(
        long,
        value_name = "LANGUAGE=IMAGE",
        env = "SWITCHBACK_BASE_IMAGE",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(crate) base_image: Vec<String>,
    /// How long a worker may be silent before its work, and its lead, go to another
    #[arg(
        long,
        value_name = "TIME",
        default_value = "15s",
        value_parser = lease,
        env = "SWITCHBACK_LEASE",
        hide_env_values = true
    )]
    pub(crate) lease: Duration,
    /// How long a build may take
    #[arg(
        long,
        value_name = "TIME",
        default_value = "15m",
        value_parser = humantime::parse_duration,
        env = "SWITCHBACK_BUILD_TIMEOUT",
        hide_env_values = true
    )]
    pub(crate) build_timeout: Duration,
    /// How many builds run at once
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        value_parser = slots(),
        env = "SWITCHBACK_BUILDS",
        hide_env_values = true
    )]
    pub(crate) builds: usize,
    /// How many releases of a service are kept so that they can be rolled back to without building again
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        value_parser = slots(),
        env = "SWITCHBACK_KEEP_RELEASES",
        hide_env_values = true
    )]
    pub(crate) keep_releases: usize,
}

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkLane {
    /// Fetching, building, pushing.
    Build,
    /// Everything from the release command on, and keeping what should run running.
    Rollout,
}

/// How many copies a NATS cluster can keep.
fn copies() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=5)
}

/// A time in which a healthy worker is certainly heard.
fn lease(text: &str) -> Result<Duration, String> {
    let lease = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if lease < LEASE_MIN { Err(format!("it is at least {} s", LEASE_MIN.as_secs())) } else { Ok(lease) }
}

/// A number that is at least one.
fn slots() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1000)
}

impl Settings {
    /// The data directory: as it was given, or that of the user by the rules of XDG. `None` without a home.
    pub(crate) fn data_directory(&self) -> Option<PathBuf> {
        let given = self.data.clone().filter(|path| !path.as_os_str().is_empty());
        given.or_else(|| crate::credentials::user_directory("XDG_DATA_HOME", ".local/share"))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::fs;
    use std::path::Path;

    use clap::CommandFactory;

    use crate::args::Arguments;

    const BEGIN: &str = "compared by that test -->\n";
    const END: &str = "<!-- /settings -->";

    /// The settings as the guide lists them.
    fn table() -> String {
        let command = Arguments::command();
        let serve = command.find_subcommand("serve").unwrap();
        let mut text = String::new();
        let mut heading = None;
        for argument in serve.get_arguments().filter(|argument| !argument.is_global_set()) {
            let (Some(long), Some(env)) = (argument.get_long(), argument.get_env()) else { continue };
            let group = argument.get_help_heading().unwrap_or("The process").to_owned();
            if heading.as_ref() != Some(&group) {
                write!(
                    text,
                    "\n## {group}\n\n| setting | environment | what | default |\n|---|---|---|---|\n"
                )
                .unwrap();
                heading = Some(group);
            }
            let value = argument.get_value_names().and_then(|names| names.first());
            let value = value.map(|name| format!(" {name}")).unwrap_or_default();
            let help = argument.get_help().unwrap().to_string();
            let (what, default) = match help.split_once(" [default: ") {
                Some((what, default)) => (what.to_owned(), default.trim_end_matches(']').to_owned()),
                None => {
                    let values = argument.get_default_values().iter();
                    let values: Vec<_> =
                        values.map(|value| format!("`{}`", value.to_string_lossy())).collect();
                    (help, values.join(", "))
                }
            };
            let value = if argument.get_action().takes_values() { value } else { String::new() };
            writeln!(text, "| `--{long}{value}` | `{}` | {what} | {default} |", env.to_string_lossy())
                .unwrap();
        }
        text.push('\n');
        text
    }

    #[test]
    fn the_guide_lists_the_settings_that_there_are() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/settings.md");
        let guide = fs::read_to_string(&path).unwrap();
        let (before, rest) = guide.split_once(BEGIN).unwrap();
        let (listed, after) = rest.split_once(END).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
            return;
        }
        assert_eq!(listed, table(), "run UPDATE_DOCS=1 cargo test -p switchback settings");
    }
}
