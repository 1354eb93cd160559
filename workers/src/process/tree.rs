//! Processes of this machine as `/proc` shows them: who started whom, and how to kill exactly one that was
//! seen.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use procfs::process::{Process, Stat};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    /// Its id. Ids are used again; together with `since` it is one process and no other.
    pub(crate) pid: i32,
    /// Who started it, or who adopted it.
    pub(crate) parent: i32,
    /// Its process group.
    pub(crate) group: i32,
    /// When it was started, in ticks since the machine was.
    pub(crate) since: u64,
    /// Whether it has ended, and only its parent has not noticed.
    pub(crate) is_zombie: bool,
}

impl Seen {
    fn new(stat: &Stat) -> Self {
        Self {
            pid: stat.pid,
            parent: stat.ppid,
            group: stat.pgrp,
            since: stat.starttime,
            is_zombie: matches!(stat.state, 'Z' | 'X'),
        }
    }

    /// Kills it, and never another that got its id in the meantime.
    pub(crate) fn kill(self) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        // From here on the descriptor stands for whatever has the id now; the time says whether it is the
        // same.
        let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        let now = Process::new(self.pid).and_then(|process| process.stat());
        if now.is_ok_and(|stat| stat.starttime == self.since) {
            // It may have ended by itself, or (as another user's) not be ours to kill.
            let _ = pidfd_send_signal(descriptor, Signal::KILL);
        }
    }
}

/// All processes.
///
/// # Errors
/// When `/proc` cannot be read. A process that ends meanwhile is not there.
pub(crate) fn all() -> io::Result<Vec<Seen>> {
    let processes = procfs::process::all_processes().map_err(io::Error::other)?;
    Ok(processes.filter_map(|process| process.ok()?.stat().ok()).map(|stat| Seen::new(&stat)).collect())
}

/// The processes among `all` that come from one of `roots`, the roots included.
pub(crate) fn family(all: &[Seen], roots: impl IntoIterator<Item = i32>) -> Vec<Seen> {
    let mut children: BTreeMap<i32, Vec<Seen>> = BTreeMap::new();
    for seen in all {
        children.entry(seen.parent).or_default().push(*seen);
    }
    let mut members: BTreeSet<i32> = roots.into_iter().collect();
    let mut waiting: Vec<i32> = members.iter().copied().collect();
    while let Some(pid) = waiting.pop() {
        let new = children.get(&pid).into_iter().flatten().filter(|child| members.insert(child.pid));
        waiting.extend(new.map(|child| child.pid));
    }
    all.iter().filter(|seen| members.contains(&seen.pid)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pid: i32, parent: i32) -> Seen {
        Seen { pid, parent, group: 1, since: 0, is_zombie: false }
    }

    #[test]
    fn a_family_is_everything_below_its_roots() {
        let all = [seen(9, 1), seen(2, 1), seen(3, 2), seen(4, 3), seen(5, 9), seen(1, 0)];
        let pids = |roots: &[i32]| {
            family(&all, roots.iter().copied()).iter().map(|seen| seen.pid).collect::<Vec<_>>()
        };
        assert_eq!(pids(&[2]), [2, 3, 4]);
        assert_eq!(pids(&[3, 9]), [9, 3, 4, 5]);
        assert_eq!(pids(&[7]), [0; 0]);
        assert_eq!(pids(&[1]).len(), all.len());
    }

    #[test]
    fn this_process_is_among_all() {
        let this = i32::try_from(std::process::id()).unwrap();
        let me = all().unwrap().into_iter().find(|seen| seen.pid == this).unwrap();
        assert!(!me.is_zombie);
    }
}
