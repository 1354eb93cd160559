//! A Docker Engine: its own data, bridge, addresses and control group, so that it stands beside others.
//!
//! Debian's `dockerd`, as root. It starts servers of its own (containerd, one more for each container) and
//! makes mounts, a bridge and control groups; asked to stop, it clears away most of that, and
//! [`clear_away`] the rest. That also runs for the folder of a keeper that was killed.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::engines::server::{End, Server};
use crate::engines::{images, install, poll};
use crate::failure::{Doing, Failure};
use crate::program;

pub(super) const VARIABLES: [&str; 2] = ["SWITCHBACK_TEST_DOCKER", "SWITCHBACK_DOCKERD"];

const DAEMON: &str = "/usr/sbin/dockerd";
const CLIENT: &str = "/usr/bin/docker";
/// What it starts is found here, and nowhere else.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
const READY_LIMIT: Duration = Duration::from_secs(60);
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// Names of interfaces have 15 characters at most.
const BRIDGE_PREFIX: &str = "sbk";
/// In the folder: the name of the bridge and the number of its network, written before there is one.
const BRIDGE_NOTE: &str = "docker-bridge";
/// Second numbers of `10.N.0.0/16` that are tried.
const NETWORKS: std::ops::Range<u8> = 100..250;
/// Where control groups are: the hierarchies of version 1, or the one of version 2.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// Starts it, waits until it answers and has its images, and returns the values of [`VARIABLES`].
pub(super) fn start(place: &Path, servers: &mut Vec<Server>) -> Result<Vec<String>, Failure> {
    if fs::metadata("/proc/self").doing(|| "read /proc/self".to_owned())?.uid() != 0 {
        return Err(Failure::new("the Docker Engine of the tests is started as root; run this as root"));
    }
    let daemon = install::program_of("docker.io", DAEMON)?;
    let images = images::make()?;
    let folder = place.join("docker");
    fs::create_dir(&folder).doing(|| format!("make {}", folder.display()))?;
    let network = make_bridge(place)?;
    let socket = format!("unix://{}", folder.join("docker.sock").display());
    let mut dockerd = Command::new(&daemon);
    dockerd.env("PATH", PATH).env_remove("DOCKER_HOST");
    for (flag, file) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
        dockerd.arg(flag).arg(folder.join(file));
    }
    dockerd.args(["--host", &socket, "--bridge", &network.bridge]);
    dockerd.arg(format!("--default-address-pool=base=10.{}.128.0/17,size=24", network.number));
    // A group of its own: the processes of its containers are known by it.
    dockerd.arg(format!("--cgroup-parent=/{}", group(place)));
    dockerd.args(["--insecure-registry=127.0.0.0/8", "--shutdown-timeout=5", "--log-level=warn"]);
    let group_of_containers = group(place);
    let end = End::Terminate(Box::new(move || end_containers(&group_of_containers)));
    servers.push(Server::start("docker", place, "TERM", None, &dockerd, end)?);
    poll::until(READY_LIMIT, || program::output(client(&socket).arg("version")).map(Some))
        .doing(|| format!("see the Docker Engine answer on {socket}"))?;
    for image in images {
        let mut import = client(&socket);
        import.args(["import", "--change", "CMD [\"/bin/sh\"]", "--change"]);
        import.arg("ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        program::output(import.arg(&image.archive).arg(image.name))?;
    }
    Ok(vec![socket, daemon.display().to_string()])
}

fn client(socket: &str) -> Command {
    let mut command = Command::new(CLIENT);
    command.args(["--host", socket]).env_remove("DOCKER_CONTEXT");
    command
}

/// Where its containers get their addresses from: the bridge `10.N.0.1/24`, and other networks above.
struct Network {
    bridge: String,
    number: u8,
}

/// Makes a bridge whose addresses nobody on this machine has.
fn make_bridge(place: &Path) -> Result<Network, Failure> {
    install::program_of("iproute2", "/usr/sbin/ip")?;
    let taken = program::output(Command::new("/usr/sbin/ip").args(["-4", "address", "show"]))?;
    let process = std::process::id();
    let bridge = format!("{BRIDGE_PREFIX}{process}");
    let number = free_network(process, &taken)
        .ok_or_else(|| Failure::new("no network 10.N.0.0/16 is free for the Docker Engine"))?;
    fs::write(place.join(BRIDGE_NOTE), format!("{bridge} {number}"))
        .doing(|| "note the name of a bridge".to_owned())?;
    let ip = |words: &[&str]| program::output(Command::new("/usr/sbin/ip").args(words));
    ip(&["link", "add", "name", &bridge, "type", "bridge"])?;
    let address = format!("{}/24", Ipv4Addr::new(10, number, 0, 1));
    ip(&["address", "add", &address, "dev", &bridge])?;
    ip(&["link", "set", &bridge, "up"])?;
    Ok(Network { bridge, number })
}

/// The first from a place that two processes rarely share. `taken` is what `ip address` prints.
fn free_network(process: u32, taken: &str) -> Option<u8> {
    let count = u32::from(NETWORKS.end - NETWORKS.start);
    let begin = usize::try_from(process % count).ok()?;
    let numbers = NETWORKS.cycle().skip(begin).take(NETWORKS.len());
    let is_free = |number: &u8| !taken.contains(&format!(" 10.{number}."));
    numbers.into_iter().find(is_free)
}

/// The control group of the containers of the engine in a folder.
fn group(place: &Path) -> String {
    place.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Removes what an engine that lived in the folder has left outside of it: processes, mounts, the bridge,
/// control groups. Nothing, where none lived.
pub(super) fn clear_away(place: &Path) -> Result<(), Failure> {
    let Ok(note) = fs::read_to_string(place.join(BRIDGE_NOTE)) else { return Ok(()) };
    let folder = place.join("docker");
    poll::until(KILL_LIMIT, || -> Result<Option<()>, Failure> {
        let left = processes(|id| is_server(id, &folder) || is_in(id, &group(place)))?;
        left.iter().for_each(kill);
        Ok(left.is_empty().then_some(()))
    })
    .doing(|| "end what the Docker Engine of the tests started".to_owned())?;
    unmount(&folder)?;
    if let Some((bridge, number)) = note.split_once(' ').filter(|_| note.starts_with(BRIDGE_PREFIX)) {
        remove_networks(bridge, number)?;
    }
    remove_groups(&group(place));
    Ok(())
}

/// Ends all programs in containers: a daemon that stops would give each ten seconds.
fn end_containers(group: &str) {
    processes(|id| is_in(id, group)).unwrap_or_default().iter().for_each(kill);
}

fn kill(id: &u32) {
    // One that has ended meanwhile is what we want.
    let _ = program::output(Command::new("kill").args(["-KILL", "--", &id.to_string()]));
}

fn processes(is_wanted: impl Fn(u32) -> bool) -> Result<Vec<u32>, Failure> {
    let entries = fs::read_dir("/proc").doing(|| "list /proc".to_owned())?;
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(ids.filter(|id| is_wanted(*id)).collect())
}

/// Whether a process is in the control group of the containers.
fn is_in(id: u32, group: &str) -> bool {
    let groups = fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap_or_default();
    groups.contains(&format!("/{group}/"))
}

/// Whether a process is one of an engine's servers, and its arguments name the folder.
fn is_server(id: u32, folder: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments);
    let program = arguments.split('\0').next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    (program == "dockerd" || program.starts_with("containerd"))
        && arguments.contains(&format!("{}/", folder.display()))
}

/// Unmounts everything below a folder, what was mounted last first.
fn unmount(folder: &Path) -> Result<(), Failure> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").doing(|| "read the mounts".to_owned())?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut ours: Vec<PathBuf> = points.filter(|point| point.starts_with(folder)).collect();
    ours.reverse();
    for point in ours {
        program::output(Command::new("umount").arg("--lazy").arg(point))?;
    }
    Ok(())
}

/// Removes the bridge, those of networks that tests have left, and the rules of the host's firewall for them:
/// an engine that stops leaves all of these for the next.
fn remove_networks(bridge: &str, number: &str) -> Result<(), Failure> {
    let ip = |words: &[&str]| program::output(Command::new("/usr/sbin/ip").args(words));
    let listed = ip(&["-4", "-oneline", "address", "show"])?;
    let begin = format!(" 10.{number}.");
    let ours = listed.lines().filter(|line| line.contains(&begin));
    let mut bridges: Vec<&str> = ours.filter_map(|line| line.split_whitespace().nth(1)).collect();
    if !bridges.contains(&bridge) && Path::new("/sys/class/net").join(bridge).exists() {
        bridges.push(bridge); // It has no address yet.
    }
    for bridge in bridges {
        for table in ["filter", "nat"] {
            let iptables = |words: &[&str]| {
                program::output(Command::new("/usr/sbin/iptables").args(["-w", "-t", table]).args(words))
            };
            for rule in iptables(&["-S"])?.lines().filter(|rule| is_about(rule, bridge)) {
                let words: Vec<&str> = rule.split_whitespace().skip(1).collect();
                // Another daemon may have removed it meanwhile.
                let _ = iptables(&[&["-D"], &words[..]].concat());
            }
        }
        ip(&["link", "delete", bridge])?;
    }
    Ok(())
}

/// Whether a line of `iptables -S` is a rule that names an interface.
fn is_about(rule: &str, interface: &str) -> bool {
    rule.starts_with("-A ") && rule.split_whitespace().any(|word| word == interface)
}

/// Control groups are directories that hold no files of anybody's; an empty one can be removed.
fn remove_groups(group: &str) {
    let hierarchies = fs::read_dir(CONTROL_GROUPS).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([PathBuf::from(CONTROL_GROUPS)]) {
        let top = hierarchy.join(group);
        let containers = fs::read_dir(&top).into_iter().flatten().flatten().map(|entry| entry.path());
        for directory in containers.filter(|path| path.is_dir()).chain([top]) {
            // It is not there in most hierarchies.
            let _ = fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_somebody_has_is_not_taken() {
        let first = free_network(7, "").unwrap();
        let taken = format!("    inet 10.{first}.0.1/24 brd 10.{first}.0.255 scope global x\n");
        let second = free_network(7, &taken).unwrap();
        assert_ne!(first, second);
        let all: String = NETWORKS.map(|number| format!(" 10.{number}.0.1/24")).collect();
        assert_eq!(free_network(7, &all), None);
    }

    #[test]
    fn a_rule_is_about_the_interface_that_it_names() {
        assert!(is_about("-A FORWARD -i sbk1 ! -o sbk1 -j ACCEPT", "sbk1"));
        assert!(!is_about("-A FORWARD -i sbk12 -j ACCEPT", "sbk1"));
        assert!(!is_about("-N sbk1", "sbk1"));
    }

    #[test]
    fn a_folder_that_no_engine_lived_in_has_nothing_to_clear_away() {
        clear_away(Path::new("/no/such/folder")).unwrap();
    }
}
