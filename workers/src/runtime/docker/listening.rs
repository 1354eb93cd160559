//! The ports that a container's programs listen on, as its network namespace shows them on the host.

use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::Process;

/// Where the engine's own name server listens in each container.
const NAME_SERVER: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 11));

/// Those of a process on this host. None, when the engine is on another host or does not let us look.
pub(super) fn ports(process: i32) -> Vec<u16> {
    let Ok(process) = Process::new(process) else { return vec![] };
    let entries = process.tcp().into_iter().chain(process.tcp6()).flatten();
    let is_own =
        |entry: &TcpNetEntry| entry.state == TcpState::Listen && entry.local_address.ip() != NAME_SERVER;
    let mut ports: Vec<u16> = entries.filter(is_own).map(|entry| entry.local_address.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}
