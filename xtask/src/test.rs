//! `test`: every test of the workspace, on engines of its own, with one count at the end.
//!
//! A missing engine, an ignored test and a test binary that dies are failures; nothing is skipped.

mod count;

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::engines::{Engine, Purpose, Running, tools};
use crate::failure::{Doing, Failure};
use crate::program;
use crate::test::count::Count;

/// For running, not for building. A test that hangs ends the run by this.
const LIMIT: Duration = Duration::from_mins(20);
const LINES_WAITING_MAX: usize = 1024;

/// What to run, and on what.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// None is the whole workspace.
    package: Option<String>,
    engines: Vec<Engine>,
    /// Parts of tests' names, any of which is enough.
    filters: Vec<String>,
}

impl Plan {
    fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut plan = Plan { package: None, engines: Engine::ALL.to_vec(), filters: Vec::new() };
        let mut engine = None;
        let mut words = arguments.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| Failure::usage(format!("`{word}` needs a value")));
            match word {
                "-p" | "--package" => plan.package = Some(value()?.to_owned()),
                "--engine" => engine = Some(value()?),
                flag if flag.starts_with('-') => {
                    return Err(Failure::usage(format!("test does not know `{flag}`")));
                }
                filter => plan.filters.push(filter.to_owned()),
            }
        }
        if let Some(name) = engine {
            plan.engines = match name {
                "sqlite" => vec![],
                "jetstream" => vec![Engine::Nats],
                "postgres" => vec![Engine::Postgres],
                // What is built and run there is pushed and pulled.
                "docker" => vec![Engine::Docker, Engine::Registry],
                _ => return Err(Failure::usage(format!("there is no engine `{name}`"))),
            };
            if plan.filters.is_empty() {
                plan.filters.push(name.to_owned());
            }
        }
        Ok(plan)
    }

    fn scope(&self) -> Vec<&str> {
        self.package.as_deref().map_or(vec!["--workspace"], |package| vec!["-p", package])
    }

    /// What has to be started: an engine whose every variable is set runs somewhere already.
    fn engines_to_start(&self) -> Vec<Engine> {
        let runs = |engine: &Engine| engine.variables().iter().all(|name| env::var_os(name).is_some());
        self.engines.iter().copied().filter(|engine| !runs(engine)).collect()
    }
}

/// Runs the task.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let plan = Plan::parse(arguments)?;
    tools()?;
    // The binary that the end-to-end tests drive is no test's dependency.
    program::run(program::cargo(["build", "--all-targets"]).args(plan.scope()))?;
    let mut cargo = program::cargo(["test", "--no-fail-fast"]);
    cargo.args(plan.scope()).arg("--").args(&plan.filters);

    let begin = Instant::now();
    let engines = plan.engines_to_start();
    let mut running = Running::start(&engines, Purpose::Test)?;
    cargo.envs(running.variables().iter().map(|(name, value)| (name, value)));
    let ran = run_guarded(&mut cargo, &mut running);
    let lasted = running.stop();
    let mut count = ran?;
    if let Err(failure) = lasted {
        println!("test: {failure}");
        count.blame();
    }
    println!("test: {:.0} s for the run", begin.elapsed().as_secs_f32());
    println!("{count}");
    if count.is_good() { Ok(()) } else { Err(Failure::Said) }
}

/// Runs the tests in a process group that goes when we go, whatever the reason is.
fn run_guarded(cargo: &mut Command, running: &mut Running) -> Result<Count, Failure> {
    cargo.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = cargo.spawn().doing(|| "start cargo test".to_owned())?;
    running.guard_group(child.id())?;
    let output = child.stdout.take().ok_or_else(|| Failure::new("cargo test has no output"))?;
    let mut count = Count::default();
    if count_lines(&lines(output), &mut count, LIMIT) == End::OutOfTime {
        println!("test: not done after {} minutes; ending the run", LIMIT.as_secs() / 60);
        // The guard would do the same, but only when the engines are stopped too.
        let _ = program::output(Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]));
        count.blame();
    }
    let status = child.wait().doing(|| "wait for cargo test".to_owned())?;
    running.guard_group(0)?;
    settle(&mut count, status);
    Ok(count)
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    OfOutput,
    OutOfTime,
}

fn count_lines(lines: &Receiver<String>, count: &mut Count, limit: Duration) -> End {
    let begin = Instant::now();
    loop {
        match lines.recv_timeout(limit.saturating_sub(begin.elapsed())) {
            Ok(line) => {
                println!("{line}");
                count.line(&line);
            }
            Err(RecvTimeoutError::Disconnected) => return End::OfOutput,
            Err(RecvTimeoutError::Timeout) => return End::OutOfTime,
        }
    }
}

/// The lines of an output as they come. Tests may print what is no text.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = sync_channel(LINES_WAITING_MAX);
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    lines
}

/// A run that ended badly though every test that reported was fine has a failure that nobody counted.
fn settle(count: &mut Count, status: ExitStatus) {
    count.finish();
    if !status.success() && count.is_good() {
        println!("test: cargo test ended with {status}, though no test failed");
        count.blame();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Plan, Failure> {
        Plan::parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn without_arguments_everything_runs_on_every_engine() {
        let plan = parse(&[]).unwrap();
        assert_eq!(plan.scope(), ["--workspace"]);
        assert_eq!(plan.engines, Engine::ALL);
    }

    #[test]
    fn an_engine_is_a_filter_too_unless_there_is_one() {
        assert_eq!(parse(&["--engine", "jetstream"]).unwrap().filters, ["jetstream"]);
        let plan = parse(&["--engine", "jetstream", "races"]).unwrap();
        assert_eq!((plan.engines, plan.filters), (vec![Engine::Nats], vec!["races".to_owned()]));
        assert_eq!(parse(&["--engine", "sqlite"]).unwrap().engines, []);
    }

    #[test]
    fn a_run_ends_with_its_output_or_at_its_limit() {
        let mut count = Count::default();
        assert_eq!(count_lines(&lines(&b"running 1 test\n\xff\n"[..]), &mut count, LIMIT), End::OfOutput);
        let (hangs, lines) = sync_channel(1);
        assert_eq!(count_lines(&lines, &mut count, Duration::from_millis(1)), End::OutOfTime);
        drop(hangs);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(parse(&["--fast"]).is_err());
        assert!(parse(&["--engine", "oracle"]).is_err());
        assert!(parse(&["-p"]).is_err());
    }
}
