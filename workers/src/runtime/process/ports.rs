//! Ports: one for each instance, and which an instance listens on.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process};

use crate::process::tree;
use crate::runtime::RuntimeError;

/// Ports that are given. The kernel gives none of them to an outgoing connection (those begin at 32768), so
/// one that was free a moment ago still is when the instance listens.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// The ports of instances.
#[derive(Debug, Default)]
pub(super) struct Ports {
    given: Mutex<HashSet<u16>>,
}

impl Ports {
    /// A free port, the preferred one when that is free.
    pub(super) fn take(&self, preferred: Option<SocketAddr>) -> Result<u16, RuntimeError> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        // Installations on one machine begin at different ports.
        let begin = u16::try_from(std::process::id() % u32::from(RANGE.end - RANGE.start)).unwrap_or(0);
        let others = (RANGE.start + begin..RANGE.end).chain(RANGE.start..RANGE.start + begin);
        let preferred = preferred.map(|address| address.port()).filter(|port| *port != 0);
        let port = preferred.into_iter().chain(others).find(|port| !given.contains(port) && is_free(*port));
        let port = port.ok_or_else(|| RuntimeError {
            code: "port_taken",
            message: format!("all ports from {} to {} are taken", RANGE.start, RANGE.end - 1),
            permanent: false,
            source: None,
        })?;
        given.insert(port);
        Ok(port)
    }

    /// Says that an instance needs its port no more.
    pub(super) fn give_back(&self, port: u16) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).remove(&port);
    }
}

/// Whether nobody listens on a port, on any address: the instance may choose any.
fn is_free(port: u16) -> bool {
    // Where there is IPv6, this stands for all addresses of both kinds.
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return false,
        Err(_) => {}
    }
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// The TCP ports that a process and all that comes from it listen on.
pub(super) fn listening(root: u32) -> io::Result<Vec<u16>> {
    let mut sockets = HashSet::new();
    for seen in tree::family(&tree::all()?, [root.cast_signed()]) {
        // It may end while it is looked at, and another user's is not shown.
        let Ok(files) = Process::new(seen.pid).and_then(|process| process.fd()) else { continue };
        sockets.extend(files.filter_map(|file| socket(&file.ok()?.target)));
    }
    if sockets.is_empty() {
        return Ok(vec![]);
    }
    let v4 = procfs::net::tcp().map_err(io::Error::other)?;
    let v6 = procfs::net::tcp6().unwrap_or_default(); // There may be no IPv6.
    let ours = v4
        .into_iter()
        .chain(v6)
        .filter(|entry| entry.state == TcpState::Listen && sockets.contains(&entry.inode));
    let ports: BTreeSet<u16> = ours.map(|entry| entry.local_address.port()).collect();
    Ok(ports.into_iter().collect())
}

/// The number by which a socket stands in the tables of the kernel.
const fn socket(file: &FDTarget) -> Option<u64> {
    if let FDTarget::Socket(inode) = file { Some(*inode) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_the_preferred_one_when_it_is_free() {
        let ports = Ports::default();
        let first = ports.take(None).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, first));
        let second = ports.take(Some(address)).unwrap();
        assert_ne!(first, second);
        ports.give_back(first);
        assert_eq!(ports.take(Some(address)).unwrap(), first);
    }

    #[test]
    fn a_port_on_which_somebody_listens_is_not_free() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            assert!(!is_free(port), "{address}");
            drop(listener);
            assert!(is_free(port), "{address}");
        }
    }

    #[test]
    fn the_ports_of_this_process_are_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listening(std::process::id()).unwrap().contains(&port));
        drop(listener);
        assert!(!listening(std::process::id()).unwrap().contains(&port));
    }
}
