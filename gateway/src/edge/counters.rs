//! What the edge counts, for metrics. Counters only grow; gauges say what is true now.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::edge::failure::Failure;

/// The counters while they count.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    pub(crate) connections_accepted: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) handshakes_failed: AtomicU64,
    pub(crate) tunnels_opened: AtomicU64,
    pub(crate) held: AtomicU64,
    pub(crate) answers_cut: AtomicU64,
    failures: [AtomicU64; Failure::ALL.len()],
}

impl Counting {
    pub(crate) fn fail(&self, failure: Failure) {
        add(&self.failures[failure as usize]);
    }

    pub(crate) fn snapshot(&self, in_flight: u64) -> Counters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            connections_accepted: load(&self.connections_accepted),
            connections: load(&self.connections),
            requests: load(&self.requests),
            malformed: load(&self.malformed),
            handshakes_failed: load(&self.handshakes_failed),
            tunnels_opened: load(&self.tunnels_opened),
            held: load(&self.held),
            answers_cut: load(&self.answers_cut),
            in_flight,
            failures: Failure::ALL
                .map(|failure| (failure.code(), load(&self.failures[failure as usize])))
                .to_vec(),
        }
    }
}

/// The counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Client connections since the start.
    pub connections_accepted: u64,
    /// Client connections now.
    pub connections: u64,
    /// Requests with a readable head since the start.
    pub requests: u64,
    /// Requests whose head or framing could not be read, since the start.
    pub malformed: u64,
    /// Connections that came to no TLS, since the start.
    pub handshakes_failed: u64,
    /// WebSockets since the start.
    pub tunnels_opened: u64,
    /// Requests that wait for their application now.
    pub held: u64,
    /// Answers that were cut after their head was sent: the upstream died, or a limit was over.
    pub answers_cut: u64,
    /// Requests and tunnels that are with an application now.
    pub in_flight: u64,
    /// Answers the edge gave in an application's stead, by the code in `Switchback-Error`.
    pub failures: Vec<(&'static str, u64)>,
}

/// One more.
pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One more for as long as it lives.
pub(crate) struct Gauged<'a>(&'a AtomicU64);

impl<'a> Gauged<'a> {
    pub(crate) fn new(gauge: &'a AtomicU64) -> Self {
        add(gauge);
        Gauged(gauge)
    }
}

impl Drop for Gauged<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
