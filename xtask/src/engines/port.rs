//! Ports that nothing listens on.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::failure::Failure;

/// Below what Linux hands out by itself (32768 and up), so that no test's connection takes one between our
/// look and the server's start.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
/// Far enough apart for what one task needs, so that two tasks at once look in different places.
const STRIDE: u32 = 40;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of the loopback interface that is free now and that no other call of this process was given.
pub(crate) fn free() -> Result<u16, Failure> {
    for _ in 0..COUNT {
        let port = candidate(std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Failure::new(format!("no port between {FIRST} and {} is free", FIRST + COUNT)))
}

fn candidate(process: u32, n: u16) -> u16 {
    let offset = (process.wrapping_mul(STRIDE)).wrapping_add(u32::from(n)) % u32::from(COUNT);
    FIRST + u16::try_from(offset).expect("less than COUNT, which is a u16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ports_are_two() {
        assert_ne!(free().unwrap(), free().unwrap());
    }

    #[test]
    fn every_candidate_lies_below_what_linux_hands_out() {
        for process in [1, 4_194_304, u32::MAX] {
            assert!((FIRST..FIRST + COUNT).contains(&candidate(process, u16::MAX)));
        }
    }
}
