//! The project's own tasks: `cargo xtask` lists them.
//!
//! Nothing of this is shipped. A task is a file of its name; what several of them use is [`program`] (how
//! other programs are run), [`workspace`] (where things lie) and [`failure`] (how a task says that it did not
//! succeed).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the terminal")]

mod bench;
mod check;
mod deploy;
mod engines;
mod failure;
mod program;
mod schemas;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use crate::failure::Failure;

const HELP: &str = "\
cargo xtask TASK

  check [STEP...]             what CI asks before the tests: fmt, clippy, tidy, doc, deny, schemas;
                              and by name only: advisories, known holes in what we depend on (needs GitHub)
  tidy [--fix] [FOLDER...]    the house style that no compiler knows; --fix wraps comments that are too long
                              and takes up new migrations
  test [-p CRATE] [--engine sqlite|jetstream|postgres|docker] [FILTER...]
                              starts the engines that tests need, runs every test, stops the engines
  bench [PART...]             the figures of docs/benchmarks.md, of a release build, with their ratios:
                              logs, commands, rebuild, sagas, edge, deployments; wants a quiet machine
  engines up|down             the same engines to work with: prints their variables, stays until Ctrl-C
  deploy-check                asks promtool whether the alerts of deploy/ are sound and fire when they should
  schemas [--check]           writes schemas/ from the domain crate, or says what would change
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    match run(&task, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &str, arguments: &[String]) -> Result<(), Failure> {
    match task {
        "bench" => bench::run(arguments),
        "check" => check::run(arguments),
        "deploy-check" => deploy::run(arguments),
        "engines" => engines::run(arguments),
        "schemas" => schemas::run(arguments),
        "test" => test::run(arguments),
        "tidy" => tidy::run(arguments),
        "" | "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        unknown => Err(Failure::usage(format!("there is no task `{unknown}`"))),
    }
}
