//! Holding a request until its application accepts connections: it starts, restarts, or has no instance yet.
//!
//! Nothing of the request has been sent, so waiting is safe for every method. Each release has a limit of
//! waiters, so that one application that is down cannot fill the edge with the requests for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::edge::Edge;
use crate::edge::counters::Gauged;
use crate::edge::release::Release;
use crate::edge::table::Table;
use crate::edge::target::Target;

/// The first wait; each one after is twice as long, up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LAST_WAIT: Duration = Duration::from_millis(250);

/// One waiting request.
pub(crate) struct Hold<'a> {
    release: Arc<Release>,
    until: Instant,
    wait: Duration,
    _held: Gauged<'a>,
}

impl<'a> Hold<'a> {
    /// `None`: as many as may already wait for this release.
    pub(crate) fn enter(edge: &'a Edge, release: &Arc<Release>) -> Option<Self> {
        let settings = edge.settings();
        if release.held.fetch_add(1, Ordering::Relaxed) >= settings.hold_waiters_max {
            release.held.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Hold {
            release: Arc::clone(release),
            until: Instant::now() + settings.hold_limit,
            wait: FIRST_WAIT,
            _held: Gauged::new(&edge.counting().held),
        })
    }

    /// Waits until it is worth trying again: a route changed, the application accepted a connection, or some
    /// time went by. `false`: the limit is over.
    pub(crate) async fn wait(&mut self, table: &Table, name: &str, tried: &Arc<Target>) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let mut changed = std::pin::pin!(table.changed());
        changed.as_mut().enable();
        if !table.has(name, tried) {
            return true;
        }
        tokio::select! {
            () = changed => {}
            () = tried.release.recovered.notified() => {}
            () = sleep(self.wait.min(left)) => self.wait = (self.wait * 2).min(LAST_WAIT),
        }
        true
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.release.held.fetch_sub(1, Ordering::Relaxed);
    }
}
