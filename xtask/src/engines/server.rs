//! One server that a keeper started.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::engines::poll;
use crate::failure::{Doing, Failure};
use crate::program;

/// How many lines of a server's log are shown when it went down.
const LOG_LINES_SHOWN: usize = 15;

/// How long a server may take to stop once it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How a server is ended.
pub(crate) enum End {
    /// At once. Its data is thrown away.
    Kill,
    /// By SIGTERM, since it has servers and mounts of its own to clear away; before that, what would keep it
    /// from doing so at once.
    Terminate(Box<dyn Fn()>),
    /// By a program of its own, since it holds shared memory that outlives a kill.
    Ask(Command),
}

/// Another user of this machine.
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) group: u32,
}

impl User {
    /// Looks a user up in the text of `/etc/passwd`.
    pub(crate) fn named(name: &str, known: &str) -> Option<Self> {
        let mut users = known.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = users.find(|fields| fields.first() == Some(&name))?;
        Some(User { id: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
    }

    /// For `setpriv`.
    pub(crate) fn arguments(&self) -> [String; 3] {
        [format!("--reuid={}", self.id), format!("--regid={}", self.group), "--clear-groups".to_owned()]
    }
}

/// A running server.
pub(crate) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
    end: End,
}

impl Server {
    /// Starts `command` so that the kernel sends it `on_orphaned` when this thread, that is this process, is
    /// gone.
    pub(crate) fn start(
        name: &str,
        place: &Path,
        on_orphaned: &str,
        user: Option<&User>,
        command: &Command,
        end: End,
    ) -> Result<Self, Failure> {
        let log = place.join(format!("{name}.log"));
        let file = File::create(&log).doing(|| format!("make {}", log.display()))?;
        let errors = file.try_clone().doing(|| format!("open {} twice", log.display()))?;
        let mut bound = Command::new("setpriv");
        // A change of user clears the signal, so both are the business of one program, which knows the order.
        bound.args(["--pdeathsig", on_orphaned]).args(user.map(User::arguments).into_iter().flatten());
        bound.arg("--").arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => bound.env(key, value),
                None => bound.env_remove(key),
            };
        }
        bound.current_dir(place).stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = bound.spawn().doing(|| format!("start {}", program::describe(&bound)))?;
        Ok(Server { name: name.to_owned(), child, log, end })
    }

    /// What it left when it is down already, though nobody asked it to be.
    pub(crate) fn post_mortem(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(format!("{} went down with {status}:\n{}", self.name, self.log_end())),
            Err(error) => Some(format!("{} cannot be waited for: {error}", self.name)),
        }
    }

    /// Ends it and waits until it is gone.
    pub(crate) fn stop(mut self) {
        let child = &mut self.child;
        let asked = match &mut self.end {
            End::Kill => None,
            End::Terminate(first) => {
                first();
                Some(program::output(Command::new("kill").args(["-TERM", "--", &child.id().to_string()])))
            }
            End::Ask(command) => Some(program::output(command)),
        };
        // Some answer before they have stopped: who kills them then leaves their workers behind.
        let is_late = |is_asked: bool| !is_asked || poll::until(STOP_LIMIT, || child.try_wait()).is_err();
        if asked.map(|asked| asked.is_ok()).is_some_and(is_late) {
            eprintln!("engines: {} does not stop when asked; killing it", self.name);
        }
        // Gone already is what we want, and of a failed wait nothing follows.
        let _: io::Result<()> = self.child.kill();
        let _ = self.child.wait();
    }

    fn log_end(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        shown.iter().map(|line| format!("    {line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_asked_to_stop_has_the_time_for_it() {
        const SERVER: &str = "import os, time\nwhile not os.path.exists('stop'): time.sleep(0.01)\n\
                              time.sleep(0.3)\nopen('stopped', 'w')\n";
        let place = std::env::temp_dir().join(format!("switchback-server-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", SERVER]);
        let mut stop = Command::new("touch");
        stop.arg(place.join("stop"));
        Server::start("slow", &place, "KILL", None, &command, End::Ask(stop)).unwrap().stop();
        let has_stopped = place.join("stopped").exists();
        fs::remove_dir_all(&place).unwrap();
        assert!(has_stopped);
    }

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let known = "root:x:0:0:root:/root:/x\npostgresql:x:9:9::/:/x\npostgres:x:101:104::/:/x\n";
        let user = User::named("postgres", known).unwrap();
        assert_eq!((user.id, user.group), (101, 104));
        assert!(User::named("nobody", known).is_none());
    }
}
