//! Networks: each service has one of its own, on which its containers do not see each other.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::NetworkCreateRequest;
use domain::id::{OrganizationId, ServiceId};

use crate::runtime::RuntimeError;
use crate::runtime::docker::{Shared, failed, firewall, labels};

/// How often a network that somebody else is making is looked for.
const TRIES: usize = 30;
const PAUSE: Duration = Duration::from_millis(100);

impl Shared {
    /// The id of a service's network, which is made when there is none. When two processes make it at once,
    /// the engine refuses one of them, since both name the same bridge.
    pub(super) async fn network(
        &self,
        organization: OrganizationId,
        service: ServiceId,
    ) -> Result<String, RuntimeError> {
        let bridge = labels::bridge_name(service);
        // Before anything is on it; and again, since somebody may have loaded other rules.
        firewall::close(&bridge).await;
        let options =
            [("com.docker.network.bridge.enable_icc", "false"), ("com.docker.network.bridge.name", &bridge)];
        let request = NetworkCreateRequest {
            name: labels::network_name(service),
            driver: Some("bridge".into()),
            options: Some(options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            labels: Some(labels::of_service(self.settings.installation, organization, service)),
            ..NetworkCreateRequest::default()
        };
        let mut refused = None;
        for _ in 0..TRIES {
            if let Some(id) = self.networks_of(service).await?.into_iter().next() {
                return Ok(id);
            }
            let made = self.engine.call("make a network for the service", |client| {
                let request = request.clone();
                async move { client.create_network(request).await }
            });
            match made.await {
                Ok(made) => return Ok(made.id),
                // Another worker is making it at this moment.
                Err(trouble) if trouble.status == Some(403) => refused = Some(trouble),
                Err(trouble) => return Err(trouble.into()),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(refused.map_or_else(|| failed("make a network for the service"), RuntimeError::from))
    }

    /// Removes the network of a service that has no container any more.
    pub(super) async fn remove_networks(&self, service: ServiceId) -> Result<(), RuntimeError> {
        let gate = self.service_gates.of(service);
        let _only = gate.lock().await;
        if !self.engine.containers(self.labels(labels::SERVICE, service)).await?.is_empty() {
            return Ok(());
        }
        for id in self.networks_of(service).await? {
            self.remove_network(&id).await?;
        }
        if self.networks_of(service).await?.is_empty() {
            firewall::open(&labels::bridge_name(service)).await;
        }
        Ok(())
    }

    async fn networks_of(&self, service: ServiceId) -> Result<Vec<String>, RuntimeError> {
        let mut networks = self.engine.networks(self.labels(labels::SERVICE, service)).await?;
        networks.sort_by_key(|network| (network.created, network.id.clone()));
        Ok(networks.into_iter().filter_map(|network| network.id).collect())
    }

    async fn remove_network(&self, id: &str) -> Result<(), RuntimeError> {
        let doing = "remove the network of a service";
        let removed = self.engine.call(doing, |client| async move { client.remove_network(id).await }).await;
        match removed {
            // Gone already, or another worker has just started something on it.
            Err(trouble) if trouble.is_absent() || trouble.status == Some(403) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Conditions for what is ours and has this label.
    pub(super) fn labels(&self, label: &str, value: impl std::fmt::Display) -> Vec<String> {
        vec![labels::is(labels::INSTALLATION, self.settings.installation), labels::is(label, value)]
    }
}

/// Locks by name: one worker of this process at a time.
#[derive(Debug)]
pub(super) struct Gates<K>(std::sync::Mutex<HashMap<K, std::sync::Arc<tokio::sync::Mutex<()>>>>);

impl<K> Default for Gates<K> {
    fn default() -> Self {
        Self(std::sync::Mutex::default())
    }
}

impl<K: std::hash::Hash + Eq> Gates<K> {
    /// The lock of a name. Those that nobody holds are forgotten on the way.
    pub(super) fn of(&self, name: K) -> std::sync::Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        gates.retain(|_, gate| std::sync::Arc::strong_count(gate) > 1);
        gates.entry(name).or_default().clone()
    }
}
