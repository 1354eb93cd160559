//! `up`: the whole platform in one process.

use crate::args::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  switchback up
  switchback up --demo
  switchback up --runtime docker:
  switchback up --data /srv/switchback --log nats://127.0.0.1:4222 --read postgres:///switchback";

/// `up`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Up {
    /// Deploy the bundled example, change it, roll it back, and say what was done
    #[arg(long)]
    pub(crate) demo: bool,
    /// What an operator can choose.
    #[command(flatten)]
    pub(crate) settings: Settings,
}
