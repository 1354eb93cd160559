//! `variables`: what a service is given to run with.

use std::path::PathBuf;

use clap::Subcommand;
use domain::name::VariableName;

use crate::args::deployment::Following;

const SET: &str = "\
Examples:
  switchback variables set LOG_LEVEL=debug PAGE_SIZE=50
  switchback variables set DATABASE_URL --stdin < secret.txt";

/// What happens after variables were changed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Deploying {
    /// Leave them for the next deployment
    #[arg(long)]
    pub(crate) no_deploy: bool,
    /// How the deployment is followed.
    #[command(flatten)]
    pub(crate) following: Following,
}

/// `variables`.
#[derive(Debug, Subcommand)]
pub(crate) enum Variables {
    /// List variables; their values are masked
    #[command(after_help = "Example:\n  switchback variables list -p shop -s web")]
    List {
        /// Show the values; that you did is recorded
        #[arg(long)]
        reveal: bool,
    },
    /// Set variables, and release what is live with them
    #[command(after_help = SET)]
    Set {
        /// NAME=VALUE, as many as you like; a NAME alone with --stdin
        #[arg(value_name = "NAME=VALUE", required = true)]
        assignments: Vec<String>,
        /// Read the value of the one NAME from standard input, so that no other user of this machine sees it
        #[arg(long)]
        stdin: bool,
        /// What happens then.
        #[command(flatten)]
        deploying: Deploying,
    },
    /// Remove variables, and release what is live without them
    #[command(after_help = "Example:\n  switchback variables unset LOG_LEVEL PAGE_SIZE")]
    Unset {
        /// Which
        #[arg(required = true)]
        names: Vec<VariableName>,
        /// What happens then.
        #[command(flatten)]
        deploying: Deploying,
    },
    /// Set the variables of a .env file
    #[command(after_help = "Example:\n  switchback variables import .env --no-deploy")]
    Import {
        /// The file; - is standard input
        file: PathBuf,
        /// What happens then.
        #[command(flatten)]
        deploying: Deploying,
    },
    /// Compare the variables with those of the same service in another environment
    #[command(after_help = "Example:\n  switchback variables diff staging -p shop -s web")]
    Diff {
        /// The other environment
        #[arg(value_name = "ENV")]
        other: String,
        /// Compare and show the values too; that you did is recorded
        #[arg(long)]
        reveal: bool,
    },
}
