//! Where the requests for one hostname go: a release and the upstreams that run it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::edge::release::Release;
use crate::edge::table::Route;
use crate::edge::upstream::Upstream;

/// A route as it stands in the table. Never changed: a new one takes its place.
pub(crate) struct Target {
    pub(crate) route: Route,
    pub(crate) release: Arc<Release>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    rotation: AtomicUsize,
}

impl Target {
    pub(crate) fn new(route: Route, release: Arc<Release>, upstreams: Vec<Arc<Upstream>>) -> Self {
        Target { route, release, upstreams, rotation: AtomicUsize::new(0) }
    }

    /// One hostname more has it.
    pub(crate) fn list(&self) {
        self.release.list();
        self.upstreams.iter().for_each(|upstream| upstream.list());
    }

    /// One hostname fewer has it.
    pub(crate) fn unlist(&self) {
        self.release.unlist();
        self.upstreams.iter().for_each(|upstream| upstream.unlist());
    }

    /// The upstream to try next, by its index: one that has not just refused a connection before one that
    /// has, then the one with the least in flight, then the one whose turn it is. `None`: all of them were
    /// tried.
    pub(crate) fn choose(&self, tried: &[usize]) -> Option<usize> {
        let count = self.upstreams.len();
        if count == 1 {
            return tried.is_empty().then_some(0);
        }
        let first = self.rotation.fetch_add(1, Ordering::Relaxed);
        (0..count)
            .map(|offset| first.wrapping_add(offset) % count)
            .filter(|index| !tried.contains(index))
            .min_by_key(|index| (self.upstreams[*index].refuses(), self.upstreams[*index].in_flight()))
    }
}

/// A request, stream or tunnel that is counted as in flight to a release for as long as this lives.
pub(crate) struct Admitted(Arc<Target>);

impl Admitted {
    /// Only called under the table's read lock: see [`crate::edge::table`].
    pub(crate) fn new(target: &Arc<Target>) -> Self {
        target.release.enter();
        Admitted(Arc::clone(target))
    }

    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.0
    }

    pub(crate) fn release(&self) -> &Release {
        &self.0.release
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.release.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::edge::upstream::Busy;

    fn target(count: u16) -> Target {
        let addresses: Vec<_> = (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        let upstreams = addresses.iter().map(|address| Arc::new(Upstream::new(*address))).collect();
        let route = Route { service: "shop".into(), release: "v1".into(), upstreams: addresses };
        Target::new(route, Release::shared("shop", "v1"), upstreams)
    }

    #[test]
    fn upstreams_with_equal_load_take_turns() {
        let target = target(3);
        let chosen: Vec<_> = (0..6).map(|_| target.choose(&[]).unwrap()).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_least_loaded_is_chosen_first() {
        let target = target(3);
        let _busy = [Busy::new(target.upstreams[0].clone()), Busy::new(target.upstreams[2].clone())];
        assert!((0..3).all(|_| target.choose(&[]) == Some(1)));
    }

    #[test]
    fn one_that_refused_is_chosen_last_and_each_once() {
        let target = target(2);
        target.upstreams[0].refused();
        let _busy = Busy::new(target.upstreams[1].clone());
        assert!((0..4).all(|_| target.choose(&[]) == Some(1)));
        assert_eq!(target.choose(&[1]), Some(0));
        assert_eq!(target.choose(&[1, 0]), None);
    }

    #[test]
    fn a_single_upstream_is_chosen_once_and_none_never() {
        assert_eq!(target(1).choose(&[]), Some(0));
        assert_eq!(target(1).choose(&[0]), None);
        assert_eq!(target(0).choose(&[]), None);
    }
}
