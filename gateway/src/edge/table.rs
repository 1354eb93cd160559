//! The routing table: hostname → release and upstreams, swapped by the hostname or as a whole while requests
//! run.
//!
//! Drain must never read zero while a request is between "looked up" and "counted". So a request is counted
//! under the same read lock that looks it up, and a route is replaced under the write lock: whoever was let
//! in before the swap is counted when the swap is done, and nobody is let in after it. There is nothing to
//! compare and repeat.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::Notify;

use crate::edge::host;
use crate::edge::release::Release;
use crate::edge::target::{Admitted, Target};

/// Where requests for a hostname go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The service, unique among all tenants.
    pub service: String,
    /// The release of the service, such as `v3`. Hostnames of the same release share its connections and its
    /// drain.
    pub release: String,
    /// The instances. None means that requests are held until there are some, or the hold limit is over.
    pub upstreams: Vec<SocketAddr>,
}

/// The routes of an edge.
#[derive(Default)]
pub struct Table {
    routes: RwLock<Routes>,
    /// Held by whoever writes `routes`.
    releases: Mutex<Releases>,
    changed: Notify,
}

type Routes = HashMap<String, Arc<Target>>;

/// Every release that is routed or still has something in flight.
#[derive(Default)]
struct Releases {
    current: HashMap<(String, String), Arc<Release>>,
    cut: Vec<Arc<Release>>,
}

impl Table {
    /// Sends a hostname to a release. Requests in flight to the one before finish there.
    pub fn set(&self, hostname: &str, route: Route) {
        let mut releases = self.releases();
        let name = host::name(hostname).into_owned();
        if self.routes().get(&name).is_some_and(|target| target.route == route) {
            return;
        }
        let target = releases.target(route);
        target.list();
        let old = self.write(|routes| routes.insert(name, target));
        self.settle(&mut releases, old);
    }

    /// Takes a hostname out; requests for it are answered with 404 from now on.
    pub fn remove(&self, hostname: &str) {
        let mut releases = self.releases();
        let old = self.write(|routes| routes.remove(host::name(hostname).as_ref()));
        self.settle(&mut releases, old);
    }

    /// Makes these the only routes, all at once: no request sees a mixture of before and after.
    pub fn replace_all(&self, routes: impl IntoIterator<Item = (String, Route)>) {
        let mut releases = self.releases();
        let mut next = Routes::new();
        for (hostname, route) in routes {
            let name = host::name(&hostname).into_owned();
            let same = self.routes().get(&name).filter(|target| target.route == route).cloned();
            next.insert(name, same.unwrap_or_else(|| releases.target(route)));
        }
        next.values().for_each(|target| target.list());
        let old = self.write(|routes| std::mem::replace(routes, next));
        self.settle(&mut releases, old.into_values());
    }

    /// The route of a hostname.
    pub fn get(&self, hostname: &str) -> Option<Route> {
        self.routes().get(host::name(hostname).as_ref()).map(|target| target.route.clone())
    }

    /// How many hostnames have a route.
    pub fn len(&self) -> usize {
        self.routes().len()
    }

    /// Whether no hostname has a route.
    pub fn is_empty(&self) -> bool {
        self.routes().is_empty()
    }

    /// Requests, streams and tunnels that are with a release now.
    pub fn in_flight(&self, service: &str, release: &str) -> usize {
        self.releases().named(service, release).iter().map(|one| one.in_flight()).sum()
    }

    /// Waits until no hostname has the release any more and nothing in flight goes to it; then `true`.
    ///
    /// When the limit is over first, the streams and tunnels that are left are cut and the answer is `false`.
    /// They end within moments after; what runs the release may be stopped. A release that is still routed is
    /// not cut.
    pub async fn drained(&self, service: &str, release: &str, limit: Duration) -> bool {
        let found = self.releases().named(service, release);
        futures::future::join_all(found.iter().map(|one| one.drained(limit)))
            .await
            .into_iter()
            .all(|drained| drained)
    }

    /// Lets a request in to the release that has its hostname now, and counts it there.
    pub(crate) fn admit(&self, name: &str) -> Option<Admitted> {
        self.routes().get(name).map(Admitted::new)
    }

    /// Whether the hostname still has this target.
    pub(crate) fn has(&self, name: &str, target: &Arc<Target>) -> bool {
        self.routes().get(name).is_some_and(|current| Arc::ptr_eq(current, target))
    }

    /// Resolves at the next change of a route; enable it before looking at the table.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Everything in flight.
    pub(crate) fn in_flight_total(&self) -> usize {
        self.releases().all().map(|release| release.in_flight()).sum()
    }

    /// Closes connections to upstreams that nobody has used for the limit.
    pub(crate) fn expire(&self, idle_limit: Duration) {
        let targets: Vec<_> = self.routes().values().cloned().collect();
        for upstream in targets.iter().flat_map(|target| &target.upstreams) {
            upstream.expire(idle_limit);
        }
    }

    /// After a write: what lost its last hostname is retired, what is over is forgotten, who waits looks
    /// again.
    fn settle(&self, releases: &mut Releases, old: impl IntoIterator<Item = Arc<Target>>) {
        old.into_iter().for_each(|target| target.unlist());
        let lives = |release: &Arc<Release>| release.is_routed() || release.in_flight() > 0;
        releases.current.retain(|_, release| lives(release));
        releases.cut.retain(lives);
        self.changed.notify_waiters();
    }

    fn write<T>(&self, change: impl FnOnce(&mut Routes) -> T) -> T {
        change(&mut self.routes.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn routes(&self) -> RwLockReadGuard<'_, Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn releases(&self) -> MutexGuard<'_, Releases> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Releases {
    /// A target for the route, with the release and the upstreams that other hostnames have already.
    fn target(&mut self, route: Route) -> Arc<Target> {
        let key = (route.service.clone(), route.release.clone());
        let release =
            self.current.entry(key).or_insert_with_key(|(service, label)| Release::shared(service, label));
        if release.is_cut() {
            let fresh = Release::shared(&route.service, &route.release);
            self.cut.push(std::mem::replace(release, fresh));
        }
        let upstreams = route.upstreams.iter().map(|address| release.upstream(*address)).collect();
        Arc::new(Target::new(route, Arc::clone(release), upstreams))
    }

    fn named(&self, service: &str, label: &str) -> Vec<Arc<Release>> {
        self.all().filter(|release| release.is(service, label)).cloned().collect()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.current.values().chain(&self.cut)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    fn route(release: usize) -> Route {
        Route { service: "shop".into(), release: format!("v{release}"), upstreams: vec![] }
    }

    /// What was seen of the race: a thread that is between look-up and count when the drain reads zero.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_is_let_in_to_a_release_that_is_drained() {
        const SWAPS: usize = 2_000;
        let (table, drained) = (Arc::new(Table::default()), Arc::new(AtomicUsize::new(0)));
        let over = Arc::new(AtomicBool::new(false));
        table.set("a.test", route(1));
        let requests: Vec<_> = (0..3)
            .map(|_| {
                let (table, drained, over) = (Arc::clone(&table), Arc::clone(&drained), Arc::clone(&over));
                std::thread::spawn(move || {
                    while !over.load(Ordering::SeqCst) {
                        let admitted = table.admit("a.test").unwrap();
                        let number: usize = admitted.target().route.release[1..].parse().unwrap();
                        assert!(number > drained.load(Ordering::SeqCst), "v{number} was drained already");
                    }
                })
            })
            .collect();
        for number in 1..=SWAPS {
            table.set("a.test", route(number + 1));
            assert!(table.drained("shop", &format!("v{number}"), Duration::from_secs(10)).await);
            drained.store(number, Ordering::SeqCst);
        }
        over.store(true, Ordering::SeqCst);
        requests.into_iter().for_each(|request| request.join().unwrap());
        assert_eq!((table.in_flight_total(), table.releases().current.len()), (0, 1));
    }

    #[test]
    fn hostnames_of_a_release_share_it_and_its_upstreams() {
        let table = Table::default();
        let route = Route { upstreams: vec![([127, 0, 0, 1], 1).into()], ..route(1) };
        table.replace_all([("a.test".into(), route.clone()), ("b.test".into(), route.clone())]);
        table.set("c.test", route);
        let targets = ["a.test", "b.test", "c.test"].map(|name| Arc::clone(&table.routes()[name]));
        assert!(targets.iter().all(|target| Arc::ptr_eq(&target.release, &targets[0].release)));
        assert!(targets.iter().all(|target| Arc::ptr_eq(&target.upstreams[0], &targets[0].upstreams[0])));
        table.replace_all([]);
        assert!(targets[0].upstreams[0].is_closed());
        assert!(!targets[0].release.is_routed());
    }

    #[test]
    fn a_route_that_stays_the_same_is_not_replaced() {
        let table = Table::default();
        table.set("a.test", route(1));
        let before = Arc::clone(&table.routes()["a.test"]);
        table.set("A.test", route(1));
        table.replace_all([("a.test".into(), route(1))]);
        assert!(table.has("a.test", &before));
        assert!(before.release.is_routed());
        table.set("a.test", route(2));
        assert!(!table.has("a.test", &before));
        assert!(!before.release.is_routed());
    }
}
