//! Finding the processes of this installation by the mark they carry, whoever started them and whatever
//! became of it.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use procfs::process::Process;

use crate::process::tree::{self, Seen};
use crate::process::{MARK, Supervisor, cgroup};

/// How often killed processes are looked for again.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long killed processes have to be gone.
const LIMIT: Duration = Duration::from_secs(10);

/// Processes that could not be found or ended.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// `/proc` cannot be read.
    #[error("look for processes that an earlier run left")]
    Look(#[source] io::Error),
    /// Some do not end, although they were killed.
    #[error("end processes that an earlier run left: {0:?} do not end")]
    Stuck(Vec<i32>),
}

impl Supervisor {
    /// The mark of a program of this installation.
    pub(super) fn mark(&self, name: &str) -> String {
        format!("{}/{name}", self.installation)
    }

    /// Ends all processes of this installation but those whose name `keep` approves of, and returns the names
    /// when nothing of them is left. Finds what carries the mark, what descends from that, and what is in its
    /// control groups; so nothing escapes that did not clear its environment *and* lose its parents *and* run
    /// where there are no groups. It blocks for some milliseconds.
    ///
    /// # Errors
    /// [`SweepError`].
    pub fn sweep(&self, keep: impl Fn(&str) -> bool) -> Result<BTreeSet<String>, SweepError> {
        let begin = Instant::now();
        let mut names = BTreeSet::new();
        loop {
            let left = self.find(&keep, &mut names).map_err(SweepError::Look)?;
            if left.is_empty() {
                return Ok(names);
            }
            if begin.elapsed() > LIMIT {
                return Err(SweepError::Stuck(left.iter().map(|seen| seen.pid).collect()));
            }
            left.iter().for_each(|seen| seen.kill());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The names of programs of this installation of which something runs.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn names(&self) -> io::Result<BTreeSet<String>> {
        let prefix = self.mark("");
        let all = tree::all()?;
        Ok(all.iter().filter_map(|seen| Some(mark(*seen)?.strip_prefix(&prefix)?.to_owned())).collect())
    }

    /// What is to be ended now. Groups in which nothing is left are removed on the way.
    fn find(&self, keep: impl Fn(&str) -> bool, names: &mut BTreeSet<String>) -> io::Result<Vec<Seen>> {
        let this = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        let prefix = self.mark("");
        let all = tree::all()?;
        let mut roots = BTreeSet::new();
        for seen in &all {
            let Some(mark) = mark(*seen) else { continue };
            let Some(name) = mark.strip_prefix(&prefix).filter(|name| !keep(name)) else { continue };
            names.insert(name.to_owned());
            roots.insert(seen.pid);
        }
        for mark in cgroup::marks(&prefix) {
            let Some(name) = mark.strip_prefix(&prefix).filter(|name| !keep(name)) else { continue };
            let groups = cgroup::Groups::find(&mark);
            let members = groups.members();
            if members.is_empty() {
                groups.remove();
            } else {
                names.insert(name.to_owned());
                roots.extend(members);
            }
        }
        roots.remove(&this);
        let family = tree::family(&all, roots);
        Ok(family.into_iter().filter(|seen| !seen.is_zombie && seen.pid != this).collect())
    }
}

/// The mark in the environment of a process, when it has one and may be read by us.
fn mark(seen: Seen) -> Option<String> {
    if seen.is_zombie {
        return None;
    }
    let environment = Process::new(seen.pid).and_then(|process| process.environ()).ok()?;
    environment.into_iter().find_map(|(name, value)| (name == MARK).then(|| value.into_string().ok())?)
}
