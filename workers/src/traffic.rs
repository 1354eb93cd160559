//! The port to whatever routes requests: has a release's traffic arrived, has the one before let go.
//!
//! (A ninth port beside the eight of the design: `docs/decisions/0005-traffic-is-a-port.md`.)

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::id::ServiceId;
use domain::service::release::ReleaseNumber;

/// Routes requests.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// Waits until requests for the service go to the release, `limit` at most. Answers whether they do.
    async fn arrived(&self, service: ServiceId, release: ReleaseNumber, limit: Duration) -> bool;

    /// Waits until nothing in flight goes to a release that lost the traffic, `limit` at most; what still
    /// does then is cut. Answers whether everything ended by itself.
    async fn drained(&self, service: ServiceId, release: ReleaseNumber, limit: Duration) -> bool;
}

/// Traffic that several workers share.
pub type SharedTraffic = Arc<dyn Traffic>;

/// Where no edge of ours routes: nothing to wait for.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTraffic;

#[async_trait]
impl Traffic for NoTraffic {
    async fn arrived(&self, _service: ServiceId, _release: ReleaseNumber, _limit: Duration) -> bool {
        true
    }

    async fn drained(&self, _service: ServiceId, _release: ReleaseNumber, _limit: Duration) -> bool {
        true
    }
}
