//! A platform that starts one program and then waits to be killed.

use std::io::{self, Write};
use std::process::ExitCode;

use switchback_workers::process::{Limits, Program, Sink, Supervisor};

pub(crate) fn run(installation: &str, words: &[&str]) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
    else {
        return ExitCode::from(70);
    };
    runtime.block_on(async {
        let supervisor = Supervisor::new("/proc/self/exe", installation);
        let program = Program::new("test/program", words.iter().copied()).directory("/");
        // For the sake of the control group that comes with it.
        let program = program.limits(Limits { processes_max: Some(1000), ..Limits::default() });
        let Ok(child) = supervisor.spawn_into(program, Sink::Nothing, Sink::Nothing).await else {
            return ExitCode::from(71);
        };
        let _ = writeln!(io::stdout(), "{} {}", child.supervisor_pid(), child.pid());
        child.wait().await;
        ExitCode::SUCCESS
    })
}
