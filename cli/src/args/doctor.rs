//! `doctor`: what is wrong with each engine, and what to do about it.

use crate::args::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  switchback doctor
  switchback doctor --config /etc/switchback.toml
  switchback doctor --log nats://127.0.0.1:4222 --read postgres://switchback@127.0.0.1/switchback

It changes nothing. It ends with 1 when something would keep the platform from working.";

/// `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// What the platform would be started with.
    #[command(flatten)]
    pub(crate) settings: Settings,
}
