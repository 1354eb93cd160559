//! What only looks: `deployments`, `logs`, `release`, `history`, `events`.

use std::str::FromStr;

use domain::id::DeploymentId;
use domain::service::release::ReleaseNumber;

use crate::args::moment::Moment;

const LOGS: &str = "\
Examples:
  switchback logs -f
  switchback logs --since 1h -n 500
  switchback logs --build v3";
const HISTORY: &str = "\
Examples:
  switchback history --since 1d
  switchback history --type deployment --actor owner -n 20";
const EVENTS: &str = "\
Examples:
  switchback events --from 1000 --type release
  switchback events -f --json";

/// `deployments`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  switchback deployments -p shop -s web -n 5")]
pub(crate) struct Deployments {
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) number: usize,
}

/// A deployment, by its id or by the release that it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// By its id.
    Deployment(DeploymentId),
    /// By its release.
    Release(ReleaseNumber),
}

impl FromStr for Build {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(release) = text.parse() {
            return Ok(Self::Release(release));
        }
        text.parse().map(Self::Deployment).map_err(|_| {
            let hint = "`switchback deployments` lists them";
            format!("`{text}` is neither a release (v3) nor a deployment's id; {hint}")
        })
    }
}

/// `logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = LOGS)]
pub(crate) struct Logs {
    /// Go on as more is printed
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How this deployment or release was built, instead of what the application prints
    #[arg(long, value_name = "ID|vN")]
    pub(crate) build: Option<Build>,
    /// Only what is newer
    #[arg(long, value_name = "TIME", conflicts_with = "build")]
    pub(crate) since: Option<Moment>,
    /// How many lines, the last ones [default: 100; all with --since or --build]
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) number: Option<usize>,
}

/// `release`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  switchback release v3 -p shop")]
pub(crate) struct Release {
    /// Which
    #[arg(value_name = "vN")]
    pub(crate) number: ReleaseNumber,
}

/// `history`.
#[derive(Debug, clap::Args)]
#[command(after_help = HISTORY)]
pub(crate) struct History {
    /// Only what is newer
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Only what is older
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Only what this one did
    #[arg(long, value_name = "WHO")]
    pub(crate) actor: Option<String>,
    /// Only this type of event
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub(crate) number: usize,
}

/// `events`.
#[derive(Debug, clap::Args)]
#[command(after_help = EVENTS)]
pub(crate) struct Events {
    /// Go on as more happens
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// After this position of the log [default: 0; with -f, where the log is now]
    #[arg(long, value_name = "POSITION")]
    pub(crate) from: Option<u64>,
    /// Only this type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_named_by_release_or_deployment() {
        assert_eq!("v3".parse(), Ok(Build::Release(ReleaseNumber(3))));
        assert_eq!("3".parse(), Ok(Build::Release(ReleaseNumber(3))));
        let id = "0199c5a0-7d3e-7c41-9d57-0f6f4f1f2a11";
        assert!(matches!(id.parse(), Ok(Build::Deployment(found)) if found.to_string() == id));
        assert!("latest".parse::<Build>().is_err_and(|error| error.contains("switchback deployments")));
    }
}
