//! The last step before a program runs: a process that sets its own limits, joins its control groups, and
//! becomes the program by exec(2).
//!
//! It stands between supervisor and program because all of that can only be done by a process to itself,
//! between fork(2) and exec(2), and our code does nothing there (that would be unsafe).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::supervise::protocol::{Launch, Order, Refusal};
use crate::supervise::{read_message, restrict_self, take_control, write_message};

/// How much sooner than the platform a program is killed when the machine runs out of memory (proc(5),
/// `oom_score_adj`).
const OOM_SCORE: &str = "500";
/// How often a program is tried whose file somebody still has open to write.
const BUSY_ATTEMPTS: u32 = 20;
/// The pause before it is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Becomes the program; returns when that fails, after saying why to the supervisor.
pub(super) fn main() -> io::Result<()> {
    let mut supervisor = take_control()?;
    let order: Order = read_message(&mut supervisor)?;
    // Killed with its supervisor, even when that is killed. The program keeps this: exec(2) does.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(order.parent) {
        return Err(io::ErrorKind::NotFound.into()); // It died before we asked for the signal.
    }
    restrict_self(&order.limits);
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    for group in &order.join {
        let _ = fs::write(group, "0");
    }
    let refusal = become_program(&order.launch);
    write_message(&mut supervisor, &refusal)
}

fn become_program(launch: &Launch) -> Refusal {
    let program = launch.arguments.first().map_or("", String::as_str).to_owned();
    if let Err(error) = fs::read_dir(&launch.directory) {
        let directory = launch.directory.display().to_string();
        return Refusal::Directory { program, directory, reason: error.to_string() };
    }
    let file = match find(&program, &launch.directory, &launch.environment) {
        Ok(file) => file,
        Err(refusal) => return refusal,
    };
    let mut command = Command::new(&file);
    command.arg0(&program).args(launch.arguments.iter().skip(1));
    command.env_clear().envs(&launch.environment).current_dir(&launch.directory);
    let mut error = command.exec(); // Returns only when it failed.
    for _ in 0..BUSY_ATTEMPTS {
        // Just written, and still held open by another process that is between fork(2) and exec(2) itself.
        if error.kind() == io::ErrorKind::ExecutableFileBusy {
            std::thread::sleep(BUSY_PAUSE);
            error = command.exec();
        }
    }
    let file = file.display().to_string();
    if error.kind() == io::ErrorKind::NotFound {
        Refusal::NoInterpreter { program, file }
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        Refusal::NotExecutable { program, file }
    } else {
        Refusal::Failed { program, reason: error.to_string() }
    }
}

/// Finds the file of a program as execvp(3) does: a name with a slash is a file; any other is looked for
/// along `PATH`.
fn find(program: &str, directory: &Path, environment: &BTreeMap<String, String>) -> Result<PathBuf, Refusal> {
    let candidates: Vec<PathBuf> = if program.contains('/') {
        vec![directory.join(program)]
    } else {
        let path = environment.get("PATH").map_or("", String::as_str);
        path.split(':')
            .filter(|part| !part.is_empty())
            .map(|part| directory.join(part).join(program))
            .collect()
    };
    let mut not_executable = None;
    for file in &candidates {
        let Ok(found) = fs::metadata(file) else { continue };
        if found.is_file() && found.permissions().mode() & 0o111 != 0 {
            return Ok(file.clone());
        }
        not_executable = not_executable.or_else(|| found.is_file().then(|| file.display().to_string()));
    }
    let program = program.to_owned();
    if let Some(file) = not_executable {
        return Err(Refusal::NotExecutable { program, file });
    }
    let searched = if program.contains('/') {
        candidates.iter().map(|file| file.display().to_string()).collect()
    } else {
        candidates.iter().filter_map(|file| Some(file.parent()?.display().to_string())).collect()
    };
    Err(Refusal::NotFound { program, searched })
}
