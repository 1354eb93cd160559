//! The one binary: the server's roles and the client's commands.
//!
//! [`args`] is the grammar; [`server`] runs the platform, put together in [`compose`]; [`client`] asks a
//! platform that runs. Two words are no commands of people's: the platform calls itself by them to run what
//! it runs.

mod args;
mod client;
mod compose;
mod credentials;
mod doctor;
mod home;
mod server;
mod telemetry;
mod ui;

use std::env;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::args::{Arguments, Command, Global};
use crate::client::failure::{Exit, Failure};
use crate::ui::Ui;

fn main() -> ExitCode {
    // There is one supervisor for each program that runs: it is small because nothing else was set up before
    // it.
    match env::args_os().nth(1).as_deref().and_then(|word| word.to_str()) {
        Some("supervise") => return workers::supervise::main(),
        Some("serve-static") => {
            let rest = env::args_os().skip(2).map(|word| word.to_string_lossy().into_owned());
            return workers::static_files::main(rest);
        }
        _ => {}
    }
    let Arguments { global, command } = match args::file::parse(env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(error) => return ui::grammar(&error),
    };
    #[cfg(feature = "kurrentdb")]
    if let Command::Up(up) = &command
        && up.settings.log.log.iter().any(compose::is_kurrentdb)
    {
        // Its client has to choose before anybody else does.
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(eventlog::kurrentdb::prepare()),
            Err(error) => return no_runtime(&error),
        };
    }
    // The first to choose counts; there is no other.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match command {
        Command::Up(up) => serve(server::up(*up, &global)),
        Command::Serve(roles) => serve(server::serve(*roles, &global)),
        Command::Completions { shell } => completions(shell, &global),
        Command::Doctor(doctor) => serve(doctor::doctor(*doctor, &global)),
        Command::Sign(sign) => finish(&Ui::new(&global), client::sign(sign, &global)),
        Command::Ask(ask) => finish(&Ui::new(&global), client::ask(ask, global)),
    }
}

fn serve(server: impl Future<Output = ExitCode>) -> ExitCode {
    raise_open_files();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(Box::pin(server)),
        Err(error) => no_runtime(&error),
    }
}

/// Runs a command of the client, and reports how it ended.
fn finish(ui: &Ui, command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return no_runtime(&error),
    };
    let command = Box::pin(command);
    let done = runtime.block_on(async {
        tokio::select! {
            // A command that can say more about being interrupted does.
            biased;
            done = command => done,
            _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "interrupted")),
        }
    });
    // A question that nobody answers any more is not waited for.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(ui),
    }
}

fn no_runtime(error: &std::io::Error) -> ExitCode {
    ui::error_chain(error);
    Exit::Failed.into()
}

fn completions(shell: Shell, global: &Global) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "switchback", &mut script);
    let ui = Ui::new(global);
    match ui.line(String::from_utf8_lossy(&script).trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::from(error).report(&ui),
    }
}

/// Every connection and every program that runs takes some; the soft limit is often made for interactive
/// shells.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What cannot be raised stays as it is.
    let _ = setrlimit(Resource::Nofile, limit);
}
