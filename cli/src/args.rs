//! The grammar of the command line: every command, what it takes, and an example of it.
//!
//! Nothing is done here. What is not built is not offered. A token is never an argument: arguments of a
//! process are seen by everybody on the machine.

pub(crate) mod deployment;
pub(crate) mod doctor;
pub(crate) mod file;
pub(crate) mod login;
pub(crate) mod moment;
pub(crate) mod reading;
pub(crate) mod resource;
pub(crate) mod serve;
pub(crate) mod settings;
pub(crate) mod up;
pub(crate) mod variables;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use self::deployment::{Cancel, Deploy, Redeploy, Rollback, Scale};
pub(crate) use self::doctor::Doctor;
use self::login::Login;
use self::reading::{Deployments, Events, History, Logs, Release};
use self::resource::{Environments, Projects, Services, Tokens};
pub(crate) use self::serve::{Role, Serve};
pub(crate) use self::settings::Settings;
pub(crate) use self::up::Up;
use self::variables::Variables;

/// Where a server listens unless told otherwise, and where a client looks for one.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:7070";

const EXAMPLES: &str = "\
Examples:
  switchback up                      start the platform on this machine
  switchback deploy                  deploy the directory you are in
  switchback logs -f                 follow what it prints
  switchback rollback                bring the release before back";

const COMPLETIONS: &str = "\
Example:
  switchback completions bash > ~/.local/share/bash-completion/completions/switchback";

/// Switchback: give it a repository, and it builds, runs and routes it. Every past state can be made current
/// again.
#[derive(Debug, Parser)]
#[command(name = "switchback", version, after_help = EXAMPLES, propagate_version = true)]
pub(crate) struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Answer with one JSON document, or one a line where it streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print the essential only: names, ids, addresses
    #[arg(long, short, global = true, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Do not ask
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// The project; otherwise `project` in switchback.toml, or the name of the directory
    #[arg(
        long,
        short,
        global = true,
        value_name = "NAME",
        env = "SWITCHBACK_PROJECT",
        hide_env_values = true
    )]
    pub(crate) project: Option<String>,
    /// The environment; otherwise `environment` in switchback.toml, or production
    #[arg(
        long,
        short,
        global = true,
        value_name = "NAME",
        env = "SWITCHBACK_ENVIRONMENT",
        hide_env_values = true
    )]
    pub(crate) environment: Option<String>,
    /// The service; otherwise `[service] name` in switchback.toml, the only one there is, or web
    #[arg(
        long,
        short,
        global = true,
        value_name = "NAME",
        env = "SWITCHBACK_SERVICE",
        hide_env_values = true
    )]
    pub(crate) service: Option<String>,
    /// The server; otherwise the one signed in to last
    #[arg(long, global = true, value_name = "URL", env = "SWITCHBACK_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// No colours (NO_COLOR does the same)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole platform in this process
    Up(Box<Up>),
    /// Run some roles of the platform in this process
    Serve(Box<Serve>),
    /// Look at each engine, and say what is wrong and what to do
    Doctor(Box<Doctor>),
    /// Commands about tokens on this machine.
    #[command(flatten)]
    Sign(Sign),
    /// Commands that ask a server.
    #[command(flatten)]
    Ask(Ask),
    /// Print completions for a shell
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Commands about tokens on this machine.
#[derive(Debug, Subcommand)]
pub(crate) enum Sign {
    /// Sign in to a server
    #[command(name = "login")]
    In(Login),
    /// Forget the token of a server
    #[command(name = "logout", after_help = "Example:\n  switchback logout --url https://paas.example.com")]
    Out,
}

/// Commands that ask a server.
#[derive(Debug, Subcommand)]
pub(crate) enum Ask {
    /// Show who you are to the server
    #[command(after_help = "Example:\n  switchback whoami")]
    Whoami,
    /// Tokens for programs
    #[command(subcommand)]
    Tokens(Tokens),
    /// Projects
    #[command(subcommand)]
    Projects(Projects),
    /// Environments of a project
    #[command(subcommand)]
    Environments(Environments),
    /// Services of an environment
    #[command(subcommand)]
    Services(Services),
    /// Deploy a repository or a directory
    Deploy(Deploy),
    /// List deployments, newest first
    Deployments(Deployments),
    /// Show what runs, and how it is
    #[command(after_help = "Example:\n  switchback status -p shop -e staging")]
    Status,
    /// Cancel a deployment, with everything it started
    Cancel(Cancel),
    /// Deploy again what is live, or what a release was made of
    Redeploy(Redeploy),
    /// Change how many instances run
    Scale(Scale),
    /// Open a service in the browser
    #[command(after_help = "Example:\n  switchback open -p shop -s web")]
    Open,
    /// Show what an application prints, or how something was built
    Logs(Logs),
    /// Variables of a service
    #[command(subcommand)]
    Variables(Variables),
    /// List releases, newest first
    #[command(after_help = "Example:\n  switchback releases -p shop -s web")]
    Releases,
    /// Show a release and what changed with it
    Release(Release),
    /// Bring a past release back, as a new one
    Rollback(Rollback),
    /// Show who did what, newest first
    History(History),
    /// Show the events themselves
    Events(Events),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
                let path = format!("{path} {}", inner.get_name());
                let example = inner.get_after_help().map(ToString::to_string).unwrap_or_default();
                let is_group = inner.has_subcommands();
                assert!(is_group || example.contains(&path), "{path} has no example");
                check(inner, &path);
            }
        }
        check(&Arguments::command(), "switchback");
    }

    #[test]
    fn a_token_cannot_be_an_argument() {
        for words in
            [&["switchback", "login", "--token", "sbk_x"][..], &["switchback", "--token", "sbk_x", "whoami"]]
        {
            assert!(Arguments::try_parse_from(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        for words in
            [&["switchback", "-p", "shop", "status"][..], &["switchback", "status", "--project", "shop"]]
        {
            let arguments = Arguments::try_parse_from(words).expect("valid");
            assert_eq!(arguments.global.project.as_deref(), Some("shop"));
        }
    }
}
