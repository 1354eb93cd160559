//! What the programs of a build may use of the machine.
//!
//! The BuildKit in a Docker Engine takes no limits for a build, so they are set from outside: each `RUN` has
//! a control group of its own, which is found by the name in its hosts file that only this build has. That
//! works where the engine is on this machine and this process may write its control groups
//! ([`BuildLimits::can_be_set`]); elsewhere builds are bounded by time, number and size alone.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";
/// BuildKit's are in a group of this name, below a controller of the first version or the root of the second:
/// there, in `docker`, or in whatever the engine was told to put its groups into (`--cgroup-parent`).
const GROUP: &str = "buildkit";
/// How often new ones are looked for. What a program does before it is found is bounded by this.
const PERIOD: Duration = Duration::from_millis(10);
/// How much of a hosts file is read.
const HOSTS_MAX: u64 = 64 * 1024;
/// In what time the share of the processors is counted, in microseconds.
const CPU_PERIOD: u64 = 100_000;

/// What all programs of one `RUN` together may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildLimits {
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Processors, in thousandths of a core.
    pub cpu_millis: u64,
    /// Processes and threads.
    pub processes: u64,
}

impl Default for BuildLimits {
    fn default() -> Self {
        Self { memory_bytes: 2 << 30, cpu_millis: 2_000, processes: 1_024 }
    }
}

impl BuildLimits {
    /// Whether they can be set here.
    #[must_use]
    pub fn can_be_set() -> bool {
        let controllers = [Path::new(ROOT).join("pids"), PathBuf::from(ROOT)];
        let writable = |place: &PathBuf| {
            place.join("cgroup.procs").exists()
                && rustix::fs::access(place, rustix::fs::Access::WRITE_OK).is_ok()
        };
        rustix::process::geteuid().is_root() && controllers.iter().any(writable)
    }
}

/// Sets limits for as long as it is kept.
pub(super) struct Keeper {
    over: Arc<AtomicBool>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Keeper {
    /// Looks for the control groups of the build whose hosts files name `host`.
    pub(super) fn begin(limits: BuildLimits, host: String) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        if BuildLimits::can_be_set() {
            tokio::task::spawn_blocking(move || {
                let mut done = HashSet::new();
                while !is_over.load(Ordering::Relaxed) {
                    look(&limits, &host, &mut done);
                    std::thread::sleep(PERIOD);
                }
            });
        }
        Self { over }
    }
}

fn look(limits: &BuildLimits, host: &str, done: &mut HashSet<PathBuf>) {
    let unified = Path::new(ROOT).join("cgroup.controllers").exists();
    let top = if unified { PathBuf::from(ROOT) } else { Path::new(ROOT).join("pids") };
    for place in places(&top) {
        let Ok(groups) = fs::read_dir(top.join(&place)) else { continue };
        for group in groups.filter_map(Result::ok) {
            let path = group.path();
            if done.contains(&path) || !path.is_dir() || !is_of(&path, host) {
                continue;
            }
            let relative = place.join(group.file_name());
            // One that could not be set, as when more is used already, is tried again.
            if set(limits, &relative, unified).is_ok() {
                done.insert(path);
            }
        }
    }
}

/// Where BuildKit's groups may be: at the top, and in a group or a slice of it.
fn places(top: &Path) -> Vec<PathBuf> {
    let below = |path: &Path| {
        let groups = fs::read_dir(top.join(path)).into_iter().flatten().filter_map(Result::ok);
        let groups = groups.filter(|group| group.file_type().is_ok_and(|kind| kind.is_dir()));
        groups.map(|group| path.join(group.file_name())).collect::<Vec<_>>()
    };
    let mut parents = vec![PathBuf::new()];
    for parent in below(Path::new("")) {
        if parent.extension().is_some_and(|ending| ending == "slice") {
            parents.extend(below(&parent));
        }
        parents.push(parent);
    }
    let groups = parents.into_iter().map(|parent| parent.join(GROUP));
    groups.filter(|group| top.join(group).is_dir()).collect()
}

/// Whether a process of the group has the name in its hosts file.
fn is_of(group: &Path, host: &str) -> bool {
    let Ok(processes) = fs::read_to_string(group.join("cgroup.procs")) else { return false };
    processes.lines().take(5).any(|process| {
        let hosts = format!("/proc/{process}/root/etc/hosts");
        // A FIFO in its place would wait for somebody to write.
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        let file =
            OpenOptions::new().read(true).custom_flags(i32::try_from(flags).unwrap_or_default()).open(hosts);
        let mut text = String::new();
        file.is_ok_and(|file| {
            file.metadata().is_ok_and(|metadata| metadata.is_file())
                && file.take(HOSTS_MAX).read_to_string(&mut text).is_ok()
        }) && text.contains(host)
    })
}

fn set(limits: &BuildLimits, group: &Path, unified: bool) -> io::Result<()> {
    let quota = limits.cpu_millis * CPU_PERIOD / 1_000;
    let write = |controller: &str, file: &str, value: String| {
        let directory = if unified { PathBuf::from(ROOT) } else { Path::new(ROOT).join(controller) };
        fs::write(directory.join(group).join(file), value)
    };
    // Where swap is not counted there is no such file.
    let without_swap = |file: &str, value: String| match write("memory", file, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    };
    if unified {
        write("", "pids.max", limits.processes.to_string())?;
        write("", "memory.max", limits.memory_bytes.to_string())?;
        without_swap("memory.swap.max", "0".into())?;
        return write("", "cpu.max", format!("{quota} {CPU_PERIOD}"));
    }
    write("pids", "pids.max", limits.processes.to_string())?;
    write("memory", "memory.limit_in_bytes", limits.memory_bytes.to_string())?;
    without_swap("memory.memsw.limit_in_bytes", limits.memory_bytes.to_string())?;
    write("cpu", "cpu.cfs_quota_us", quota.to_string())
}
