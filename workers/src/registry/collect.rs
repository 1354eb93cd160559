//! What registries keep, and what they need not keep any more: everything that a release needs which can
//! still be rolled back to stays, and what a deployment on its way is about to use.
//!
//! A release whose image is gone can be rolled back to all the same: it is built again from its revision.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::TimeDelta;
use domain::deployment::Deployment;
use domain::digest::Digest;
use domain::event::Event as AnyEvent;
use domain::id::{OrganizationId, ServiceId};
use domain::service::release::ReleaseNumber;
use domain::service::{Event, Request, Service, Subject};
use domain::stream::{AggregateKind, Position, StreamId};
use eventlog::error::ReadError;
use eventlog::log::{Filter, MAX_PAGE};

use crate::context::Context;
use crate::registry::{Collected, Keep, RegistryError};

/// How many releases of a service that had its traffic keep what they need, unless a setting says otherwise.
pub const RELEASES_KEPT: usize = 10;
/// How old something is before it is removed: a deployment takes less time than that from its push to its
/// release.
const GRACE: TimeDelta = TimeDelta::hours(2);

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// It is not known what is needed.
    #[error("find out what releases need")]
    Read(#[from] ReadError),
    /// The registry could not.
    #[error("remove what nobody needs")]
    Registry(#[from] RegistryError),
}

/// What is known of a service's releases.
#[derive(Default)]
struct Releases {
    organization: Option<OrganizationId>,
    artifacts: BTreeMap<ReleaseNumber, Digest>,
    ran: BTreeSet<ReleaseNumber>,
    is_deleted: bool,
}

/// Removes what no release among the last `releases` of each service needs. One process does this at a time.
///
/// # Errors
/// [`CollectError`]; what is left is removed the next time.
pub async fn collect(context: &Context, releases: usize) -> Result<Collected, CollectError> {
    let keep = needed(context, releases).await?;
    let collected = context.registry.collect(&keep).await?;
    tracing::info!(removed = collected.removed, kept = collected.kept, "cleaned up what was built");
    Ok(collected)
}

/// What has to stay.
async fn needed(context: &Context, releases: usize) -> Result<Keep, ReadError> {
    let services = read(context).await?;
    let mut keep = Keep { newer_than: context.bus.clock().now() - GRACE, ..Keep::default() };
    for (service, known) in services {
        keep.services.insert(service);
        if !known.is_deleted {
            let last = known.ran.iter().rev().take(releases.max(1));
            keep.artifacts.extend(last.filter_map(|number| known.artifacts.get(number)).cloned());
        }
        if let Some(organization) = known.organization {
            on_its_way(context, organization, service, &mut keep).await?;
        }
    }
    Ok(keep)
}

async fn read(context: &Context) -> Result<HashMap<ServiceId, Releases>, ReadError> {
    let log = context.bus.log();
    let filter = Filter::kinds([AggregateKind::Service]);
    let (mut at, head) = (Position::ZERO, log.head().await?);
    let mut services: HashMap<ServiceId, Releases> = HashMap::new();
    while at < head {
        let page = log.read_all(at, &filter, MAX_PAGE).await?;
        for recorded in page.commits.iter().flat_map(|commit| &commit.events) {
            let AnyEvent::Service(event) = &recorded.event else { continue };
            let known = services.entry(ServiceId(recorded.stream.id)).or_default();
            known.organization = Some(recorded.stream.organization);
            known.learn(event);
        }
        if page.reached <= at {
            break;
        }
        at = page.reached;
    }
    Ok(services)
}

impl Releases {
    fn learn(&mut self, event: &Event) {
        match event {
            Event::ReleaseCut { release, specification, .. } => {
                self.artifacts.insert(*release, specification.build.artifact.clone());
            }
            Event::ReleaseActivated { release, .. } => {
                self.ran.insert(*release);
            }
            Event::Deleted {} => self.is_deleted = true,
            Event::Created { .. }
            | Event::VariablesChanged { .. }
            | Event::VariablesRevealed { .. }
            | Event::Scaled { .. }
            | Event::RollbackRequested { .. }
            | Event::DeploymentRequested { .. }
            | Event::DeploymentAdmitted { .. }
            | Event::DeploymentSuperseded { .. }
            | Event::DeploymentWithdrawn { .. }
            | Event::InstancesMoved { .. }
            | Event::InstanceExited { .. }
            | Event::DeploymentEnded { .. } => {}
        }
    }
}

/// What runs, and what deployments that have or wait for the turn use.
async fn on_its_way(
    context: &Context,
    organization: OrganizationId,
    service: ServiceId,
    keep: &mut Keep,
) -> Result<(), ReadError> {
    let state = context.bus.state::<Service>(StreamId::service(organization, service)).await?;
    let requests: Vec<&Request> = match &state {
        Service::Absent => vec![],
        Service::Deleted { turn } => turn.iter().map(|turn| &**turn).collect(),
        Service::Active(active) => {
            keep.artifacts.extend(active.live.iter().map(|live| live.specification.build.artifact.clone()));
            active.turn.iter().chain(&active.waiting).collect()
        }
    };
    for request in requests {
        if let Subject::Release { build, .. } = &request.subject {
            keep.artifacts.insert(build.artifact.clone());
        }
        keep.artifacts.extend(request.cut.iter().map(|(_, cut)| cut.build.artifact.clone()));
        let stream = StreamId::deployment(organization, request.deployment);
        let deployment = context.bus.state::<Deployment>(stream).await?;
        if let Some(facts) = deployment.facts() {
            keep.artifacts.extend(facts.reused.iter().chain(&facts.artifact).cloned());
        }
    }
    Ok(())
}
