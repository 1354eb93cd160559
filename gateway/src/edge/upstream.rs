//! One address of one release, with its idle connections.
//!
//! The pool belongs to the release, never to the address alone: an address that is given to another
//! application later starts without connections. When the release no longer has the address, the pool is
//! closed for good.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::edge::link::Link;

/// An upstream that refused a connection is tried after the others for this long.
const SKIPPED_FOR: Duration = Duration::from_secs(1);

/// One instance of an application.
pub(crate) struct Upstream {
    address: SocketAddr,
    pool: Mutex<Pool>,
    /// Routes that have this upstream; the pool is closed with the last one.
    routes: AtomicUsize,
    in_flight: AtomicUsize,
    /// Read before the time below is, so that the usual case takes no lock.
    refused: AtomicBool,
    refused_at: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Pool {
    /// The one used last stands last; so the first is the oldest.
    idle: Vec<(Instant, Box<Link>)>,
    closed: bool,
}

impl Upstream {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Upstream {
            address,
            pool: Mutex::new(Pool::default()),
            routes: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            refused_at: Mutex::new(None),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Takes the connection used last, unless it has been idle for too long; then they all have.
    pub(crate) fn take_idle(&self, idle_limit: Duration) -> Option<Box<Link>> {
        let mut pool = self.pool();
        let (since, link) = pool.idle.pop()?;
        if since.elapsed() < idle_limit {
            return Some(link);
        }
        pool.idle.clear();
        None
    }

    /// Keeps a connection that may carry another request.
    pub(crate) fn keep(&self, link: Box<Link>, idle_max: usize) {
        let mut pool = self.pool();
        if !pool.closed && pool.idle.len() < idle_max {
            pool.idle.push((Instant::now(), link));
        }
    }

    /// Closes connections that nobody has used for the limit.
    pub(crate) fn expire(&self, idle_limit: Duration) {
        let mut pool = self.pool();
        let young = pool.idle.iter().position(|(since, _)| since.elapsed() < idle_limit);
        let end = young.unwrap_or(pool.idle.len());
        pool.idle.drain(..end);
    }

    /// One route more has it.
    pub(crate) fn list(&self) {
        self.routes.fetch_add(1, Ordering::SeqCst);
    }

    /// One route fewer has it. The last one closes the idle connections; those in use are closed when they
    /// come back.
    pub(crate) fn unlist(&self) {
        if self.routes.fetch_sub(1, Ordering::SeqCst) == 1 {
            let mut pool = self.pool();
            pool.closed = true;
            pool.idle.clear();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.pool().closed
    }

    /// Whether it refused a connection just now.
    pub(crate) fn refuses(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
            && self.refused_at().is_some_and(|refused_at| refused_at.elapsed() < SKIPPED_FOR)
    }

    pub(crate) fn refused(&self) {
        *self.refused_at() = Some(Instant::now());
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Whether it had refused connections before this one.
    pub(crate) fn accepted(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }

    #[cfg(test)]
    fn idle(&self) -> usize {
        self.pool().idle.len()
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.refused_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upstream that is busy with one request more for as long as this lives.
pub(crate) struct Busy(Arc<Upstream>);

impl Busy {
    pub(crate) fn new(upstream: Arc<Upstream>) -> Self {
        upstream.in_flight.fetch_add(1, Ordering::Relaxed);
        Busy(upstream)
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn with_idle(count: usize) -> (TcpListener, Upstream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Upstream::new(listener.local_addr().unwrap());
        for _ in 0..count {
            upstream.keep(Box::new(Link::connect(upstream.address(), LONG).await.unwrap()), 2);
        }
        (listener, upstream)
    }

    #[tokio::test]
    async fn a_pool_keeps_no_more_than_its_limit() {
        let (_listener, upstream) = with_idle(3).await;
        assert_eq!(upstream.idle(), 2);
    }

    #[tokio::test]
    async fn connections_that_were_idle_too_long_are_not_used_again() {
        let (_listener, upstream) = with_idle(2).await;
        assert!(upstream.take_idle(LONG).is_some());
        assert!(upstream.take_idle(Duration::ZERO).is_none());
        assert_eq!(upstream.idle(), 0);
        let (_listener, upstream) = with_idle(2).await;
        upstream.expire(LONG);
        assert_eq!(upstream.idle(), 2);
        upstream.expire(Duration::ZERO);
        assert_eq!(upstream.idle(), 0);
    }

    #[tokio::test]
    async fn a_pool_without_a_route_is_closed_and_takes_nothing_back() {
        let (_listener, upstream) = with_idle(2).await;
        upstream.list();
        upstream.list();
        let link = upstream.take_idle(LONG).unwrap();
        upstream.unlist();
        assert_eq!(upstream.idle(), 1);
        upstream.unlist();
        upstream.keep(link, 2);
        assert_eq!(upstream.idle(), 0);
    }
}
