//! The built-in edge, as the workers' port to traffic.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::id::ServiceId;
use domain::service::release::ReleaseNumber;
use gateway::edge::Edge;
use gateway::route::CurrentReleases;
use workers::traffic::Traffic;

/// The edge of this process.
pub(crate) struct EdgeTraffic {
    edge: Arc<Edge>,
    current: CurrentReleases,
}

impl EdgeTraffic {
    /// Over an edge and what is known of its routes.
    pub(crate) fn new(edge: Arc<Edge>, current: CurrentReleases) -> Self {
        Self { edge, current }
    }
}

#[async_trait]
impl Traffic for EdgeTraffic {
    async fn arrived(&self, service: ServiceId, release: ReleaseNumber, limit: Duration) -> bool {
        self.current.arrived(service, release, limit).await
    }

    async fn drained(&self, service: ServiceId, release: ReleaseNumber, limit: Duration) -> bool {
        self.edge.table().drained(&service.to_string(), &release.to_string(), limit).await
    }
}
