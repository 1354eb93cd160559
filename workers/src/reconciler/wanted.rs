//! What should run, read from the log: the live release of each service, and where its instances were last.

use std::collections::HashMap;

use domain::event::Event as AnyEvent;
use domain::id::{DeploymentId, OrganizationId, ServiceId};
use domain::service::Event;
use domain::service::release::{Instance, InstanceId, ReleaseNumber};
use domain::stream::{AggregateKind, Position, Recorded, StreamId};
use eventlog::error::ReadError;
use eventlog::log::{Filter, MAX_PAGE, SharedLog};

/// The live release of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Whose it is.
    pub organization: OrganizationId,
    /// The service.
    pub service: ServiceId,
    /// The release.
    pub release: ReleaseNumber,
    /// The deployment that brought it.
    pub deployment: DeploymentId,
    /// Where those of its instances are that ran when it was last recorded.
    pub instances: Vec<Instance>,
}

impl Wanted {
    /// The service's stream.
    pub(super) const fn stream(&self) -> StreamId {
        StreamId::service(self.organization, self.service)
    }
}

/// Everything that should run.
pub(super) struct WantedServices {
    live: HashMap<ServiceId, Wanted>,
    /// Whose each deployment is, as far as one was seen that started instances.
    organizations: HashMap<DeploymentId, OrganizationId>,
    read: Position,
}

impl WantedServices {
    pub(super) fn new(known: Vec<Wanted>, up_to: Position) -> Self {
        let organizations = known.iter().map(|wanted| (wanted.deployment, wanted.organization)).collect();
        let live = known.into_iter().map(|wanted| (wanted.service, wanted)).collect();
        Self { live, organizations, read: up_to }
    }

    /// Reads what was added to the log since the last time.
    pub(super) async fn catch_up(&mut self, log: &SharedLog) -> Result<(), ReadError> {
        let filter = Filter::kinds([AggregateKind::Service]);
        let head = log.head().await?;
        while self.read < head {
            let page = log.read_all(self.read, &filter, MAX_PAGE).await?;
            for recorded in page.commits.iter().flat_map(|commit| &commit.events) {
                self.apply(recorded);
            }
            if page.reached <= self.read {
                break;
            }
            self.read = page.reached;
        }
        Ok(())
    }

    pub(super) fn all(&self) -> Vec<Wanted> {
        self.live.values().cloned().collect()
    }

    /// The live release that an instance belongs to.
    pub(super) fn of(&self, id: InstanceId) -> Option<Wanted> {
        self.live.values().find(|wanted| wanted.deployment == id.deployment).cloned()
    }

    pub(super) fn organization_of(&self, deployment: DeploymentId) -> Option<OrganizationId> {
        self.organizations.get(&deployment).copied()
    }

    fn apply(&mut self, recorded: &Recorded) {
        let AnyEvent::Service(event) = &recorded.event else { return };
        let (organization, service) = (recorded.stream.organization, ServiceId(recorded.stream.id));
        match event {
            Event::ReleaseActivated { release, deployment, instances } => {
                let (release, deployment) = (*release, *deployment);
                let instances = instances.clone();
                self.live.insert(service, Wanted { organization, service, release, deployment, instances });
            }
            Event::InstancesMoved { release, instances } => {
                if let Some(wanted) = self.live.get_mut(&service).filter(|wanted| wanted.release == *release)
                {
                    wanted.instances.clone_from(instances);
                }
            }
            Event::Deleted {} => {
                self.live.remove(&service);
            }
            Event::ReleaseCut { deployment, .. } => {
                self.organizations.insert(*deployment, organization);
            }
            Event::Created { .. }
            | Event::VariablesChanged { .. }
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
}
