//! What a service is after an event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::release::{Instance, ReleaseNumber, ReleaseStatus, ReleaseSummary};
use super::{Active, End, Event, Live, PAST_MAX, Request, Service};
use crate::id::DeploymentId;

impl Service {
    pub(super) fn after(self, event: &Event) -> Self {
        match (self, event) {
            (_, Event::Created { project, environment, name, hostname }) => Self::Active(Box::new(Active {
                project: *project,
                environment: *environment,
                name: name.clone(),
                hostnames: BTreeSet::from([hostname.clone()]),
                variables: BTreeMap::new(),
                replicas: None,
                turn: None,
                waiting: None,
                past: VecDeque::new(),
                releases: BTreeMap::new(),
                live: None,
            })),
            (Self::Active(active), Event::Deleted {}) => Self::Deleted { turn: active.turn.map(Box::new) },
            (Self::Active(mut active), event) => {
                active.evolve(event);
                Self::Active(active)
            }
            (Self::Deleted { turn }, Event::DeploymentEnded { deployment, .. }) => {
                Self::Deleted { turn: turn.filter(|request| request.deployment != *deployment) }
            }
            (other @ (Self::Absent | Self::Deleted { .. }), _) => other,
        }
    }
}

impl Active {
    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Created { .. } | Event::Deleted {} | Event::RollbackRequested { .. } => {}
            Event::VariablesRevealed { .. } => {} // Nothing is different; history shows it.
            Event::InstanceExited { .. } => {} // The reconciler's concern; where traffic goes is unchanged.
            Event::VariablesChanged { set, unset } => {
                self.variables.retain(|name, _| !unset.contains(name));
                self.variables.extend(set.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            Event::Scaled { replicas } => self.replicas = Some(*replicas),
            Event::DeploymentRequested { deployment, subject } => {
                let request = Request { deployment: *deployment, subject: subject.clone(), cut: None };
                self.waiting = Some(request);
            }
            Event::DeploymentAdmitted { deployment } => {
                self.turn = self.waiting.take_if(|request| request.deployment == *deployment);
            }
            Event::DeploymentSuperseded { deployment, .. } => {
                self.waiting.take_if(|request| request.deployment == *deployment);
                self.remember(*deployment, End::Superseded);
            }
            Event::DeploymentWithdrawn { deployment } => {
                self.waiting.take_if(|request| request.deployment == *deployment);
                self.remember(*deployment, End::Withdrawn);
            }
            Event::ReleaseCut { release, deployment, specification } => {
                let summary = ReleaseSummary { deployment: *deployment, status: ReleaseStatus::Cut };
                self.releases.insert(*release, summary);
                if let Some(turn) = &mut self.turn {
                    turn.cut = Some((*release, specification.clone()));
                }
            }
            Event::ReleaseActivated { release, deployment, instances } => {
                self.activate(*release, *deployment, instances);
            }
            Event::InstancesMoved { instances, .. } => {
                if let Some(live) = &mut self.live {
                    live.instances.clone_from(instances);
                }
            }
            Event::DeploymentEnded { deployment, outcome } => {
                self.remember(*deployment, End::Ended(*outcome));
                if let Some(ended) = self.turn.take_if(|request| request.deployment == *deployment) {
                    self.forget(&ended);
                }
            }
        }
    }

    fn remember(&mut self, deployment: DeploymentId, end: End) {
        if self.past.len() >= PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back((deployment, end));
    }

    fn activate(&mut self, release: ReleaseNumber, deployment: DeploymentId, instances: &[Instance]) {
        let specification =
            self.turn.as_ref().and_then(|turn| turn.cut.as_ref()).map(|(_, spec)| spec.clone());
        let Some(specification) = specification else { return };
        if let Some(before) = self.live.take() {
            self.set_status(before.number, ReleaseStatus::Retired);
        }
        self.set_status(release, ReleaseStatus::Live);
        self.live = Some(Live { number: release, deployment, specification, instances: instances.to_vec() });
    }

    /// A deployment that ends without traffic leaves a release that never ran.
    fn forget(&mut self, ended: &Request) {
        let Some((release, _)) = &ended.cut else { return };
        if self.releases.get(release).is_some_and(|summary| summary.status == ReleaseStatus::Cut) {
            self.set_status(*release, ReleaseStatus::Failed);
        }
    }

    fn set_status(&mut self, release: ReleaseNumber, status: ReleaseStatus) {
        if let Some(summary) = self.releases.get_mut(&release) {
            summary.status = status;
        }
    }
}
