//! `serve`: some roles of the platform, in as many processes on as many machines as one likes.

use std::collections::BTreeSet;

use clap::ValueEnum;

use crate::args::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  switchback serve --role gateway --role projector --config /etc/switchback.toml
  switchback serve --role worker --config /etc/switchback.toml
  switchback serve --role edge --edge 0.0.0.0:80 --config /etc/switchback.toml

The processes share nothing but what --log, --read, --registry and --runtime name, and the master key.";

/// `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    /// What this process does; give it once for each role
    #[arg(
        long,
        value_name = "ROLE",
        required = true,
        env = "SWITCHBACK_ROLE",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(crate) role: Vec<Role>,
    /// What an operator can choose.
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Role {
    /// Answers the API.
    Gateway,
    /// Writes the read models.
    Projector,
    /// Deploys, and keeps what should run running.
    Worker,
    /// Routes requests to services.
    Edge,
}

impl Serve {
    /// The roles, each once.
    pub(crate) fn roles(&self) -> BTreeSet<Role> {
        self.role.iter().copied().collect()
    }
}
