//! What the read models say of what should run and where it is reached: where a start begins to follow the
//! log, instead of at its first position.

use std::collections::{BTreeSet, HashMap};

use domain::id::ServiceId;
use domain::stream::Position;
use gateway::route::ServiceRoutes;
use gateway::route::file::Known;
use projections::route::{self, Route};
use projections::store::QueryError;
use tracing::warn;
use workers::reconciler::Wanted;

use crate::compose::Engines;

/// What was seen in the read models.
#[derive(Default)]
pub(super) struct Seen {
    hostnames: Vec<route::Name>,
    routes: Vec<Route>,
    /// What should run.
    pub(super) wanted: Vec<Wanted>,
    /// Up to where of the log.
    pub(super) position: Position,
}

/// Looks. When the read models cannot be read, the log is read from its first position instead.
pub(super) async fn seen(engines: &Engines) -> Seen {
    let read = async {
        // The position first: what is read after it may be ahead of it, and is then applied again, which
        // changes nothing.
        let (routes, position) = route::all(&engines.reads).await?;
        let hostnames = route::hostnames(&engines.reads).await?;
        Ok::<_, QueryError>(Seen { wanted: wanted(&routes), hostnames, routes, position })
    };
    match read.await {
        Ok(seen) => seen,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "what should run is read from the log itself");
            Seen::default()
        }
    }
}

impl Seen {
    /// The routes. With `survive`, instances are where they were; otherwise they ended with the platform, and
    /// their ports may be somebody else's by now: requests wait until the reconciler says where they are.
    pub(super) fn known(&self, survive: bool) -> Known {
        let mut services: HashMap<ServiceId, ServiceRoutes> = HashMap::new();
        for name in &self.hostnames {
            services.entry(name.service).or_default().hostnames.insert(name.hostname.clone());
        }
        for route in &self.routes {
            let instances = if survive { route.instances.clone() } else { vec![] };
            services.entry(route.service).or_default().live = Some((route.release, instances));
        }
        Known { services, position: self.position, ..Known::default() }
    }
}

fn wanted(routes: &[Route]) -> Vec<Wanted> {
    let mut seen = BTreeSet::new();
    let first = routes.iter().filter(|route| seen.insert(route.service));
    first
        .map(|route| Wanted {
            organization: route.organization,
            service: route.service,
            release: route.release,
            deployment: route.deployment,
            instances: route.instances.clone(),
        })
        .collect()
}
