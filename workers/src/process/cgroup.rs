//! Control groups, version 1 and 2: a group for each program, below the one this process is in, when that may
//! be done.
//!
//! They limit what a program uses, and find its processes whatever those did to get away. All of it is best
//! effort: many machines let nobody but root make groups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use procfs::process::Process;
use rustix::process::{Pid, Signal};

use crate::supervise::protocol::Limits;

/// The period of processor shares, in microseconds; the kernel's own default.
const CPU_PERIOD_US: u64 = 100_000;
/// Controllers of ours.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A mounted hierarchy, at the group in which this process may make others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    version: Version,
    controllers: Vec<&'static str>,
    directory: PathBuf,
}

/// The groups of one program, one in each hierarchy.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: Vec<Hierarchy>,
}

impl Groups {
    /// Makes the groups of the program with this mark and sets its limits; none where nothing is limited, as
    /// joining one takes the kernel some milliseconds. Answers with the names of limits that could not be
    /// set, too.
    pub(crate) fn make(mark: &str, limits: &Limits) -> (Self, Vec<String>) {
        let wanted = [
            ("memory", limits.memory_bytes.is_some()),
            ("cpu", limits.cpu_millis.is_some()),
            ("pids", limits.processes_max.is_some()),
        ];
        let wanted: Vec<&str> =
            wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(word, _)| word).collect();
        let mut made = Self::default();
        let mut limited = vec![];
        let all = if wanted.is_empty() { vec![] } else { hierarchies() };
        for hierarchy in all.into_iter().filter(|h| h.controllers.iter().any(|word| wanted.contains(word))) {
            let group = Hierarchy { directory: hierarchy.directory.join(name(mark)), ..hierarchy };
            let Ok(()) = fs::create_dir(&group.directory).or_else(exists) else { continue };
            limited.extend(group.controllers.iter().filter(|word| group.limit(word, limits).is_ok()));
            made.groups.push(group);
        }
        let missing = wanted.into_iter().filter(|word| !limited.contains(word));
        (made, missing.map(str::to_owned).collect())
    }

    /// The groups that the program with this mark has left behind.
    pub(crate) fn find(mark: &str) -> Self {
        let directories = hierarchies()
            .into_iter()
            .map(|hierarchy| Hierarchy { directory: hierarchy.directory.join(name(mark)), ..hierarchy });
        Self { groups: directories.filter(|group| group.directory.is_dir()).collect() }
    }

    /// Files that a process writes `0` into to join.
    pub(crate) fn join(&self) -> Vec<PathBuf> {
        self.groups.iter().map(|group| group.directory.join("cgroup.procs")).collect()
    }

    /// The processes in any of the groups.
    pub(crate) fn members(&self) -> Vec<i32> {
        let lists = self.join().into_iter().filter_map(|file| fs::read_to_string(file).ok());
        let mut pids: Vec<i32> = lists
            .flat_map(|list| list.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Kills what is in the groups.
    pub(crate) fn kill(&self) {
        for group in self.groups.iter().filter(|group| group.version == Version::Two) {
            let _ = fs::write(group.directory.join("cgroup.kill"), "1"); // Since Linux 5.14; all at once.
        }
        for pid in self.members().into_iter().filter_map(Pid::from_raw) {
            // Read a moment ago, and ids are given again only after all others were.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    /// Whether the kernel has killed a process of it because the memory limit was reached.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        let files = self.groups.iter().filter(|group| group.controllers.contains(&"memory")).map(|group| {
            group.directory.join(match group.version {
                Version::One => "memory.oom_control",
                Version::Two => "memory.events",
            })
        });
        let texts = files.filter_map(|file| fs::read_to_string(file).ok());
        texts.into_iter().any(|text| {
            let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
            count.and_then(|count| count.trim().parse::<u64>().ok()).is_some_and(|count| count > 0)
        })
    }

    /// Removes the groups, in which nothing may run any more.
    pub(crate) fn remove(&self) {
        for group in &self.groups {
            // One that cannot be removed now is found by the next sweep.
            let _ = fs::remove_dir(&group.directory);
        }
    }
}

impl Hierarchy {
    /// Sets the limit that belongs to a controller.
    fn limit(&self, controller: &str, limits: &Limits) -> io::Result<()> {
        let set = |file: &str, value: String| fs::write(self.directory.join(file), value);
        match (controller, self.version) {
            ("memory", Version::One) => limits.memory_bytes.map_or(Ok(()), |bytes| {
                set("memory.limit_in_bytes", bytes.to_string())?;
                // Memory and swap together, where the kernel counts swap.
                let _ = set("memory.memsw.limit_in_bytes", bytes.to_string());
                Ok(())
            }),
            ("memory", Version::Two) => limits.memory_bytes.map_or(Ok(()), |bytes| {
                set("memory.max", bytes.to_string())?;
                let _ = set("memory.swap.max", "0".to_owned());
                Ok(())
            }),
            ("cpu", version) => limits.cpu_millis.map_or(Ok(()), |millis| {
                // The kernel refuses less than a thousandth of a second in a period.
                let quota = (u64::from(millis) * CPU_PERIOD_US / 1000).max(1000);
                match version {
                    Version::One => {
                        set("cpu.cfs_period_us", CPU_PERIOD_US.to_string())?;
                        set("cpu.cfs_quota_us", quota.to_string())
                    }
                    Version::Two => set("cpu.max", format!("{quota} {CPU_PERIOD_US}")),
                }
            }),
            ("pids", _) => limits.processes_max.map_or(Ok(()), |count| set("pids.max", count.to_string())),
            (_, _) => Ok(()),
        }
    }
}

/// The marks of groups that are there.
pub(crate) fn marks() -> Vec<String> {
    let mut marks = vec![];
    for hierarchy in hierarchies() {
        let entries = fs::read_dir(&hierarchy.directory).into_iter().flatten().filter_map(Result::ok);
        marks.extend(entries.filter_map(|entry| mark(entry.file_name().to_str()?)));
    }
    marks.sort_unstable();
    marks.dedup();
    marks
}

fn name(mark: &str) -> String {
    format!("switchback:{}", mark.replace('/', ":"))
}

fn mark(name: &str) -> Option<String> {
    Some(name.strip_prefix("switchback:")?.replace(':', "/"))
}

fn exists(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// Where this process may make groups; nowhere when `/proc` or the mounts do not tell.
fn hierarchies() -> Vec<Hierarchy> {
    let Ok(process) = Process::myself() else { return vec![] };
    let (Ok(groups), Ok(mounts)) = (process.cgroups(), process.mountinfo()) else { return vec![] };
    let mut found = vec![];
    for group in groups {
        let version = if group.hierarchy == 0 { Version::Two } else { Version::One };
        let ours = CONTROLLERS.into_iter().filter(|word| group.controllers.iter().any(|name| name == word));
        let controllers: Vec<_> = ours.collect();
        if version == Version::One && controllers.is_empty() {
            continue;
        }
        let mount = mounts.iter().find(|mount| match version {
            Version::One => {
                mount.fs_type == "cgroup"
                    && controllers.iter().all(|word| mount.super_options.contains_key(*word))
            }
            Version::Two => mount.fs_type == "cgroup2",
        });
        let Some(mount) = mount else { continue };
        let within = group.pathname.strip_prefix(mount.root.trim_end_matches('/')).unwrap_or(&group.pathname);
        let directory = mount.mount_point.join(within.trim_start_matches('/'));
        match version {
            Version::One => found.push(Hierarchy { version, controllers, directory }),
            Version::Two => found.extend(delegated(&directory)),
        }
    }
    found
}

/// The group of version 2 whose children get controllers: this one; or, because a group that holds processes
/// cannot have such children, the one above.
fn delegated(own: &Path) -> Option<Hierarchy> {
    let usable = |directory: &Path| {
        let offered = fs::read_to_string(directory.join("cgroup.controllers")).ok()?;
        let wanted: Vec<_> = CONTROLLERS
            .into_iter()
            .filter(|word| offered.split_whitespace().any(|name| name == *word))
            .collect();
        for word in &wanted {
            // Set already, or not ours to set; what holds is read below.
            let _ = fs::write(directory.join("cgroup.subtree_control"), format!("+{word}"));
        }
        let granted = fs::read_to_string(directory.join("cgroup.subtree_control")).ok()?;
        let controllers: Vec<_> =
            wanted.into_iter().filter(|word| granted.split_whitespace().any(|name| name == *word)).collect();
        let directory = directory.to_owned();
        (!controllers.is_empty()).then_some(Hierarchy { version: Version::Two, controllers, directory })
    };
    usable(own).or_else(|| own.parent().filter(|parent| is_ours(parent)).and_then(usable))
}

/// Whether a group was handed over to us: to a user who is not root nothing else is writable; for root,
/// systemd says so.
fn is_ours(directory: &Path) -> bool {
    let mut value = [0; 4];
    !rustix::process::geteuid().is_root()
        || rustix::fs::getxattr(directory, "user.delegate", &mut value)
            .is_ok_and(|length| value[..length] == *b"1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_from_the_name_of_a_group() {
        let of = "0199f0c4/instance/0199-aa.0+7.1";
        assert_eq!(name(of), "switchback:0199f0c4:instance:0199-aa.0+7.1");
        assert_eq!(mark(&name(of)).as_deref(), Some(of));
        assert_eq!(mark("system.slice"), None);
    }
}
