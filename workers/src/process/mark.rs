//! Finding the processes of this installation by the mark they carry, whoever started them and whatever
//! became of it.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Stands between the name in a mark and what tells apart programs of one name.
const NUMBER: char = '+';

impl Supervisor {
    /// The mark of a new program of this installation: no other has it, not even the next of the same name.
    pub(super) fn new_mark(&self, name: &str) -> String {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        format!("{}/{name}{NUMBER}{}.{number}", self.installation, std::process::id())
    }

    /// Ends all processes of this installation but those whose name `keep` approves of, and returns the names
    /// when nothing of them is left. Finds what carries a mark, what descends from that, and what is in its
    /// control groups; so nothing escapes that did not clear its environment *and* lose its parents *and* run
    /// where there are no groups. It blocks for some milliseconds.
    ///
    /// # Errors
    /// [`SweepError`].
    pub fn sweep(&self, keep: impl Fn(&str) -> bool) -> Result<BTreeSet<String>, SweepError> {
        let marks = self.sweep_marks(|mark| self.name(mark).is_some_and(|name| !keep(name)))?;
        Ok(marks.iter().filter_map(|mark| self.name(mark)).map(str::to_owned).collect())
    }

    /// Ends all processes with these marks.
    pub(super) fn sweep_marks(
        &self,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<BTreeSet<String>, SweepError> {
        let begin = Instant::now();
        let mut marks = BTreeSet::new();
        loop {
            let left = find(&is_wanted, &mut marks).map_err(SweepError::Look)?;
            if left.is_empty() {
                return Ok(marks);
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
        let marks: Vec<String> = tree::all()?.into_iter().filter_map(mark).collect();
        Ok(marks.iter().filter_map(|mark| self.name(mark)).map(str::to_owned).collect())
    }

    /// The name in a mark of this installation.
    fn name<'m>(&self, mark: &'m str) -> Option<&'m str> {
        let rest = mark.strip_prefix(&*self.installation)?.strip_prefix('/')?;
        Some(rest.rsplit_once(NUMBER).map_or(rest, |(name, _)| name))
    }
}

/// The processes that are to be ended now, and their marks. Groups in which nothing is left are removed on
/// the way.
fn find(is_wanted: impl Fn(&str) -> bool, marks: &mut BTreeSet<String>) -> io::Result<Vec<Seen>> {
    let this = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let all = tree::all()?;
    let mut roots = BTreeSet::new();
    for seen in &all {
        if let Some(mark) = mark(*seen).filter(|mark| is_wanted(mark)) {
            marks.insert(mark);
            roots.insert(seen.pid);
        }
    }
    for mark in cgroup::marks().into_iter().filter(|mark| is_wanted(mark)) {
        let groups = cgroup::Groups::find(&mark);
        let members = groups.members();
        if members.is_empty() {
            groups.remove();
        } else {
            marks.insert(mark);
            roots.extend(members);
        }
    }
    roots.remove(&this);
    let family = tree::family(&all, roots);
    Ok(family.into_iter().filter(|seen| !seen.is_zombie && seen.pid != this).collect())
}

/// The mark in the environment of a process, when it has one and may be read by us.
fn mark(seen: Seen) -> Option<String> {
    if seen.is_zombie {
        return None;
    }
    let environment = Process::new(seen.pid).and_then(|process| process.environ()).ok()?;
    environment.into_iter().find_map(|(name, value)| (name == MARK).then(|| value.into_string().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_from_every_mark_of_the_installation_and_no_other() {
        let supervisor = Supervisor::new("/none", "one");
        let (first, second) = (supervisor.new_mark("build/x"), supervisor.new_mark("build/x"));
        assert_ne!(first, second);
        for mark in [&first, &second] {
            assert_eq!(supervisor.name(mark), Some("build/x"));
            assert_eq!(Supervisor::new("/none", "on").name(mark), None);
        }
    }
}
