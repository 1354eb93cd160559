//! What makes a release: `deploy`, `redeploy`, `scale`, `rollback`; and `cancel`, which stops one on its way.

use std::str::FromStr;
use std::time::Duration;

use domain::id::DeploymentId;
use domain::name::ServiceName;
use domain::service::release::ReleaseNumber;
use domain::source::GitRef;

use crate::args::moment::Moment;

const DEPLOY: &str = "\
Examples:
  switchback deploy
  switchback deploy https://github.com/example/shop --ref main
  switchback deploy ./apps/web -p shop -s web";
const REDEPLOY: &str = "\
Examples:
  switchback redeploy
  switchback redeploy v3 -p shop";
const SCALE: &str = "\
Examples:
  switchback scale 3 -s web
  switchback scale web=3";
const ROLLBACK: &str = "\
Examples:
  switchback rollback --plan
  switchback rollback v2
  switchback rollback --at \"2026-10-05 14:00\"
  switchback rollback --position 1042";

/// How a deployment is followed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Following {
    /// Do not wait for its end
    #[arg(long)]
    pub(crate) detach: bool,
    /// How long to wait; the deployment goes on when it is over
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

/// `deploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = DEPLOY)]
pub(crate) struct Deploy {
    /// A git URL (https, ssh, file, user@host:path), a git repository on this machine, or a directory
    #[arg(default_value = ".")]
    pub(crate) source: String,
    /// Branch, tag or revision [default: what is checked out, or the repository's default branch]
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) reference: Option<GitRef>,
    /// Build anew, even when this was built before
    #[arg(long)]
    pub(crate) fresh: bool,
    /// How it is followed.
    #[command(flatten)]
    pub(crate) following: Following,
}

/// `redeploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = REDEPLOY)]
pub(crate) struct Redeploy {
    /// The release whose build is run again, with today's variables [default: the live one]
    #[arg(value_name = "vN")]
    pub(crate) release: Option<ReleaseNumber>,
    /// How it is followed.
    #[command(flatten)]
    pub(crate) following: Following,
}

/// `cancel`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  switchback cancel 0199c5a0-7d3e-7c41-9d57-0f6f4f1f2a11")]
pub(crate) struct Cancel {
    /// The deployment
    #[arg(value_name = "ID", value_parser = deployment_id)]
    pub(crate) deployment: DeploymentId,
}

fn deployment_id(text: &str) -> Result<DeploymentId, &'static str> {
    text.parse().map_err(|_| "a deployment's id is wanted; `switchback deployments` lists them")
}

/// `3` or `web=3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Whose, when it is said here.
    pub(crate) service: Option<ServiceName>,
    /// How many.
    pub(crate) replicas: u16,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, number) = match text.split_once('=') {
            Some((service, number)) => (Some(service.parse().map_err(|error| format!("{error}"))?), number),
            None => (None, text),
        };
        let replicas = number.parse().map_err(|_| format!("`{number}` is not a number of instances"))?;
        Ok(Self { service, replicas })
    }
}

/// `scale`.
#[derive(Debug, clap::Args)]
#[command(after_help = SCALE)]
pub(crate) struct Scale {
    /// How many instances: 3, or web=3
    #[arg(value_name = "[SERVICE=]N")]
    pub(crate) wanted: Wanted,
    /// How it is followed.
    #[command(flatten)]
    pub(crate) following: Following,
}

/// `rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = ROLLBACK)]
pub(crate) struct Rollback {
    /// The release to bring back [default: the one before]
    #[arg(value_name = "vN", group = "target")]
    pub(crate) release: Option<ReleaseNumber>,
    /// What was live at this time
    #[arg(long, value_name = "TIME", group = "target")]
    pub(crate) at: Option<Moment>,
    /// What was live at this position of the log
    #[arg(long, value_name = "N", group = "target")]
    pub(crate) position: Option<u64>,
    /// Only show what would change
    #[arg(long)]
    pub(crate) plan: bool,
    /// How it is followed.
    #[command(flatten)]
    pub(crate) following: Following,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_a_number_with_or_without_a_service() {
        assert_eq!("3".parse(), Ok(Wanted { service: None, replicas: 3 }));
        let service = Some("web".parse().expect("valid"));
        assert_eq!("web=3".parse(), Ok(Wanted { service, replicas: 3 }));
        for text in ["", "web=", "=3", "Web=3", "web=-1", "web=3=4", "many"] {
            assert!(text.parse::<Wanted>().is_err(), "{text}");
        }
    }
}
