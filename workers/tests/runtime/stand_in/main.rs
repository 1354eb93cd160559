//! Stands in for the platform's executable in tests: it knows the hidden subcommands, plays the programs that
//! the tests start (among them those that do not want to end), and plays a platform that can be killed.

use std::process::ExitCode;

mod platform;
mod programs;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["supervise", ..] => switchback_workers::supervise::main(),
        ["serve-static", ..] => switchback_workers::static_files::main(arguments.into_iter().skip(1)),
        ["platform", installation, rest @ ..] => platform::run(installation, rest),
        ["program", name, rest @ ..] => programs::run(name, rest),
        _ => ExitCode::from(64),
    }
}
