//! One release of one service, as the edge sees it: how much is in flight to it, and whether it may still be.
//!
//! `Routed → Retired → Drained | Cut`. A release that is routed again while it is retired goes on; one that
//! was cut never serves again, a new one of the same name is made in its place.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::edge::upstream::Upstream;

/// The release all its hostnames share.
pub(crate) struct Release {
    service: String,
    label: String,
    /// Hostnames of one release share its upstreams, and so their connections.
    upstreams: Mutex<Vec<Weak<Upstream>>>,
    /// Hostnames that have this release.
    hostnames: AtomicUsize,
    /// Requests, streams and tunnels that are with the application.
    in_flight: AtomicUsize,
    /// Requests that wait for the application to accept connections.
    pub(crate) held: AtomicUsize,
    /// Somebody waits for the drain: only then the last one out has to say so.
    watched: AtomicBool,
    changed: Notify,
    /// The application accepted a connection after it had refused one.
    pub(crate) recovered: Notify,
    cut: AtomicBool,
    cut_token: CancellationToken,
}

impl Release {
    fn new(service: &str, label: &str) -> Self {
        Release {
            service: service.to_owned(),
            label: label.to_owned(),
            upstreams: Mutex::new(Vec::new()),
            hostnames: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
            changed: Notify::new(),
            recovered: Notify::new(),
            cut: AtomicBool::new(false),
            cut_token: CancellationToken::new(),
        }
    }

    pub(crate) fn shared(service: &str, label: &str) -> Arc<Self> {
        Arc::new(Release::new(service, label))
    }

    pub(crate) fn is(&self, service: &str, label: &str) -> bool {
        self.service == service && self.label == label
    }

    /// The upstream with this address, the one the release has already where it has one.
    pub(crate) fn upstream(&self, address: SocketAddr) -> Arc<Upstream> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        upstreams.retain(|upstream| upstream.strong_count() > 0);
        let open = |upstream: &Arc<Upstream>| upstream.address() == address && !upstream.is_closed();
        if let Some(upstream) = upstreams.iter().filter_map(Weak::upgrade).find(open) {
            return upstream;
        }
        let upstream = Arc::new(Upstream::new(address));
        upstreams.push(Arc::downgrade(&upstream));
        upstream
    }

    /// For pages and log lines: `shop (v3)`.
    pub(crate) fn title(&self) -> String {
        format!("{} ({})", self.service, self.label)
    }

    /// Counts one in. Only called under the table's read lock: see [`crate::edge::table`].
    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn leave(&self) {
        // Both sides are SeqCst: either the last one out sees the watcher, or the watcher sees zero.
        if self.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 && self.watched.load(Ordering::SeqCst) {
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// One hostname more has it.
    pub(crate) fn list(&self) {
        self.hostnames.fetch_add(1, Ordering::SeqCst);
    }

    /// One hostname fewer has it.
    pub(crate) fn unlist(&self) {
        if self.hostnames.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn is_routed(&self) -> bool {
        self.hostnames.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Resolves when the release is cut; for what waits without being looked at again.
    pub(crate) fn cut_token(&self) -> &CancellationToken {
        &self.cut_token
    }

    /// Waits until the release is neither routed nor in flight. When the limit is over first, what is still
    /// in flight to a retired release is cut; a release that is still routed is left alone.
    pub(crate) async fn drained(&self, limit: Duration) -> bool {
        self.watched.store(true, Ordering::SeqCst);
        if tokio::time::timeout(limit, self.empty()).await.is_ok() {
            return true;
        }
        if !self.is_routed() {
            self.cut.store(true, Ordering::SeqCst);
            self.cut_token.cancel();
        }
        false
    }

    async fn empty(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.is_routed() && self.in_flight() == 0 {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_release_is_drained_when_the_last_one_left() {
        let release = Arc::new(Release::new("shop", "v1"));
        release.enter();
        let waiting = tokio::spawn({
            let release = release.clone();
            async move { release.drained(LONG).await }
        });
        while !release.watched.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        release.leave();
        assert!(waiting.await.unwrap());
        assert!(!release.is_cut());
    }

    #[tokio::test]
    async fn a_release_that_is_still_routed_is_neither_drained_nor_cut() {
        let release = Release::new("shop", "v1");
        release.list();
        assert!(!release.drained(Duration::ZERO).await);
        assert!(!release.is_cut());
        release.unlist();
        assert!(release.drained(Duration::ZERO).await);
    }

    #[tokio::test]
    async fn what_is_left_after_the_limit_is_cut() {
        let release = Release::new("shop", "v1");
        release.enter();
        assert!(!release.drained(Duration::ZERO).await);
        assert!(release.is_cut());
        release.cut_token().cancelled().await;
    }
}
