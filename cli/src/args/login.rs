//! `login`: which server, and where its token is read from.

const EXAMPLES: &str = "\
Examples:
  switchback login https://paas.example.com
  switchback login https://paas.example.com --token-stdin < token.txt";

/// `login`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Login {
    /// The server's address [default: --url, or http://127.0.0.1:7070]
    #[arg(value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Read the token from standard input, even on a terminal
    #[arg(long)]
    pub(crate) token_stdin: bool,
}
