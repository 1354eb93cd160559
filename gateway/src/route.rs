//! The edge's routes, read from the log: which hostname goes to which instances.
//!
//! The table stays as it is while the log is away, so what runs keeps being reached.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::event::Event as AnyEvent;
use domain::hostname::Hostname;
use domain::id::ServiceId;
use domain::service::Event;
use domain::service::release::{Instance, ReleaseNumber};
use domain::stream::{AggregateKind, Position, Recorded};
use eventlog::error::ReadError;
use eventlog::log::{Filter, MAX_PAGE, SharedLog};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::edge::Edge;
use crate::edge::table::Route;
use crate::route::file::{Known, RouteFile};

pub mod file;

/// How long to wait before going on after an error.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);
/// Changes are written to the file so long after the first of them.
const WRITTEN_AFTER: Duration = Duration::from_secs(1);

/// What is known of a service's routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceRoutes {
    /// What it answers to.
    pub hostnames: BTreeSet<Hostname>,
    /// The release that has the traffic, and where its instances are.
    pub live: Option<(ReleaseNumber, Vec<Instance>)>,
}

/// Follows the log and keeps the edge's table.
pub struct RouteFollower {
    edge: Arc<Edge>,
    known: Known,
    file: Option<RouteFile>,
    /// When what has changed is to be written to the file.
    write_at: Option<Instant>,
    current: watch::Sender<HashMap<ServiceId, ReleaseNumber>>,
}

/// Tells which releases the edge sends requests to.
#[derive(Clone, Debug)]
pub struct CurrentReleases(watch::Receiver<HashMap<ServiceId, ReleaseNumber>>);

impl CurrentReleases {
    /// Waits until requests for the service go to the release or a newer one, `limit` at most. Answers
    /// whether they do.
    pub async fn arrived(&self, service: ServiceId, release: ReleaseNumber, limit: Duration) -> bool {
        let mut current = self.0.clone();
        let has_it = |releases: &HashMap<ServiceId, ReleaseNumber>| {
            releases.get(&service).is_some_and(|current| *current >= release)
        };
        tokio::time::timeout(limit, current.wait_for(has_it)).await.is_ok_and(|arrived| arrived.is_ok())
    }
}

impl RouteFollower {
    /// Begins with what is known of the log up to a position; with nothing and zero, the whole log is read.
    #[must_use]
    pub fn new(edge: Arc<Edge>, known: Known) -> (Self, CurrentReleases) {
        let (current, seen) = watch::channel(HashMap::new());
        let follower = Self { edge, known, file: None, write_at: None, current };
        follower.set_all();
        (follower, CurrentReleases(seen))
    }

    /// Keeps the file up to date from now on.
    #[must_use]
    pub fn kept_in(self, file: RouteFile) -> Self {
        Self { file: Some(file), ..self }
    }

    /// Gives the edge everything that is known.
    fn set_all(&self) {
        let services = &self.known.services;
        let live = |(id, routes): (&ServiceId, &ServiceRoutes)| Some((*id, routes.live.as_ref()?.0));
        self.current.send_replace(services.iter().filter_map(live).collect());
        let all: Vec<_> = services.iter().flat_map(|(id, routes)| routes.routes(*id)).collect();
        self.edge.table().replace_all(all);
    }

    /// Follows until it is told to stop.
    pub async fn run(mut self, shutdown: CancellationToken, log: SharedLog) {
        loop {
            let ended = tokio::select! {
                ended = self.follow(&log) => ended,
                () = shutdown.cancelled() => return self.write().await,
            };
            if let Err(error) = ended {
                warn!(error = &error as &dyn std::error::Error, "routes stay as they are for a moment");
            }
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
    }

    async fn follow(&mut self, log: &SharedLog) -> Result<(), ReadError> {
        self.catch_up(log).await?;
        let mut commits = log.subscribe(self.known.position, Filter::kinds([AggregateKind::Service])).await;
        loop {
            let write_at = self.write_at;
            let commit = tokio::select! {
                commit = commits.next() => commit,
                () = until(write_at) => {
                    self.write().await;
                    continue;
                }
            };
            let Some(commit) = commit else { return Ok(()) };
            let commit = commit?;
            for recorded in &commit.events {
                self.apply(recorded);
            }
            self.moved_to(commit.head.position);
        }
    }

    /// Reads everything that the log has now.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn catch_up(&mut self, log: &SharedLog) -> Result<(), ReadError> {
        let (head, filter) = (log.head().await?, Filter::kinds([AggregateKind::Service]));
        if head < self.known.position {
            warn!("the log ends before what is known of it, and is read from its beginning");
            self.forget();
        }
        while self.known.position < head {
            let page = log.read_all(self.known.position, &filter, MAX_PAGE).await?;
            for recorded in page.commits.iter().flat_map(|commit| &commit.events) {
                self.apply(recorded);
            }
            if page.reached <= self.known.position {
                break;
            }
            self.moved_to(page.reached);
        }
        Ok(())
    }

    /// Notes whose log it is. What is known of another's is forgotten.
    pub fn belongs_to(&mut self, installation: Uuid) {
        if self.known.installation.is_some_and(|known| known != installation) {
            warn!("the routes that are kept are those of another installation, and are forgotten");
            self.forget();
        }
        self.known.installation = Some(installation);
    }

    fn forget(&mut self) {
        self.known = Known { installation: self.known.installation, ..Known::default() };
        self.set_all();
    }

    fn moved_to(&mut self, position: Position) {
        self.known.position = position;
        if self.file.is_some() {
            self.write_at.get_or_insert_with(|| Instant::now() + WRITTEN_AFTER);
        }
    }

    /// Writes the file, when there is one and something has changed. What cannot be written is read from the
    /// log again after the next start.
    async fn write(&mut self) {
        let (Some(file), Some(_)) = (self.file.clone(), self.write_at.take()) else { return };
        let known = self.known.clone();
        let written = tokio::task::spawn_blocking(move || file.write(&known)).await;
        if let Ok(Err(error)) = written {
            warn!(error = &error as &dyn std::error::Error, "routes could not be written to the disk");
        }
    }

    fn apply(&mut self, recorded: &Recorded) {
        let AnyEvent::Service(event) = &recorded.event else { return };
        let service = ServiceId(recorded.stream.id);
        match event {
            Event::Created { hostname, .. } => {
                let hostnames = BTreeSet::from([hostname.clone()]);
                self.known.services.insert(service, ServiceRoutes { hostnames, live: None });
            }
            Event::ReleaseCut { release, specification, .. } => {
                self.known.cut.insert((service, *release), specification.hostnames.clone());
            }
            Event::ReleaseActivated { release, instances, .. } => {
                let hostnames = self.known.cut.remove(&(service, *release));
                self.known.cut.retain(|(of, number), _| *of != service || number > release);
                self.change(service, |routes| {
                    if let Some(hostnames) = hostnames {
                        routes.hostnames = hostnames;
                    }
                    routes.live = Some((*release, instances.clone()));
                });
                self.current.send_modify(|releases| {
                    releases.insert(service, *release);
                });
            }
            Event::InstancesMoved { release, instances } => self.change(service, |routes| {
                if routes.live.as_ref().is_some_and(|(live, _)| live == release) {
                    routes.live = Some((*release, instances.clone()));
                }
            }),
            Event::Deleted {} => {
                self.change(service, |routes| routes.live = None);
                self.known.services.remove(&service);
                self.known.cut.retain(|(of, _), _| *of != service);
                self.current.send_modify(|releases| {
                    releases.remove(&service);
                });
            }
            Event::VariablesChanged { .. }
            | Event::VariablesRevealed { .. }
            | Event::Scaled { .. }
            | Event::RollbackRequested { .. }
            | Event::DeploymentRequested { .. }
            | Event::DeploymentAdmitted { .. }
            | Event::DeploymentSuperseded { .. }
            | Event::DeploymentWithdrawn { .. }
            | Event::InstanceExited { .. }
            | Event::DeploymentEnded { .. } => {}
        }
    }

    fn change(&mut self, service: ServiceId, change: impl FnOnce(&mut ServiceRoutes)) {
        let routes = self.known.services.entry(service).or_default();
        let before: Vec<_> = routes.routes(service).collect();
        change(routes);
        let table = self.edge.table();
        let after: Vec<_> = routes.routes(service).collect();
        for (hostname, _) in before.iter().filter(|(name, _)| !after.iter().any(|(other, _)| other == name)) {
            table.remove(hostname);
        }
        for (hostname, route) in after {
            table.set(&hostname, route);
        }
    }
}

/// Resolves at a time, or never.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl ServiceRoutes {
    fn routes(&self, service: ServiceId) -> impl Iterator<Item = (String, Route)> + '_ {
        let route = self.live.as_ref().map(|(release, instances)| Route {
            service: service.to_string(),
            release: release.to_string(),
            upstreams: instances.iter().map(|instance| instance.address).collect(),
        });
        route.into_iter().flat_map(|route| {
            self.hostnames.iter().map(move |hostname| (hostname.to_string(), route.clone()))
        })
    }
}
