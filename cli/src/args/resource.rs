//! What is made, shown and deleted by name: tokens, projects, environments, services.

use clap::Subcommand;
use domain::name::{EnvironmentName, ProjectName, ServiceName};

/// `tokens`.
#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// List tokens; what they are is never shown again
    #[command(after_help = "Example:\n  switchback tokens list")]
    List,
    /// Make a token and print it, once
    #[command(after_help = "Example:\n  switchback tokens create ci --quiet > token.txt")]
    Create {
        /// What it is for
        name: String,
    },
    /// Make a token useless
    #[command(after_help = "Example:\n  switchback tokens delete 0199c5a0-7d3e-7c41-9d57-0f6f4f1f2a11")]
    Delete {
        /// Its id
        id: String,
    },
}

/// `projects`.
#[derive(Debug, Subcommand)]
pub(crate) enum Projects {
    /// List projects
    #[command(after_help = "Example:\n  switchback projects list")]
    List,
    /// Make a project, with the environments production and staging
    #[command(after_help = "Example:\n  switchback projects create shop")]
    Create {
        /// Its name
        name: ProjectName,
    },
    /// Show a project
    #[command(after_help = "Example:\n  switchback projects show shop")]
    Show {
        /// Its name [default: -p]
        name: Option<String>,
    },
    /// Give a project another name
    #[command(after_help = "Example:\n  switchback projects rename shop store")]
    Rename {
        /// Its name
        name: String,
        /// Its new name
        to: ProjectName,
    },
    /// Delete a project that has no services
    #[command(after_help = "Example:\n  switchback projects delete shop")]
    Delete {
        /// Its name
        name: String,
    },
}

/// `environments`.
#[derive(Debug, Subcommand)]
pub(crate) enum Environments {
    /// List the environments of a project
    #[command(after_help = "Example:\n  switchback environments list -p shop")]
    List,
    /// Make an environment
    #[command(after_help = "Example:\n  switchback environments create preview -p shop")]
    Create {
        /// Its name
        name: EnvironmentName,
    },
    /// Show an environment and its services
    #[command(after_help = "Example:\n  switchback environments show staging -p shop")]
    Show {
        /// Its name [default: -e]
        name: Option<String>,
    },
    /// Delete an environment that has no services
    #[command(after_help = "Example:\n  switchback environments delete preview -p shop")]
    Delete {
        /// Its name
        name: String,
    },
}

/// `services`.
#[derive(Debug, Subcommand)]
pub(crate) enum Services {
    /// List the services of an environment
    #[command(after_help = "Example:\n  switchback services list -p shop -e staging")]
    List,
    /// Make a service; `deploy` gives it something to run
    #[command(after_help = "Example:\n  switchback services create api -p shop")]
    Create {
        /// Its name
        name: ServiceName,
    },
    /// Show a service
    #[command(after_help = "Example:\n  switchback services show web -p shop")]
    Show {
        /// Its name [default: -s]
        name: Option<String>,
    },
    /// Delete a service and stop what runs of it
    #[command(after_help = "Example:\n  switchback services delete api -p shop")]
    Delete {
        /// Its name
        name: String,
    },
}
