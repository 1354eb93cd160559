//! What follows from a command to a service.

use std::collections::{BTreeMap, BTreeSet};

use super::release::{Build, Instance, ReleaseNumber, ReleaseStatus, Specification};
use super::{Active, Command, End, Event, MAX_VARIABLES, Outcome, Rejection, Request, Service, Subject};
use crate::id::DeploymentId;
use crate::manifest::MAX_REPLICAS;
use crate::name::VariableName;
use crate::secret::Sealed;

type Decision = Result<Vec<Event>, Rejection>;

impl Service {
    pub(super) fn decide_command(&self, command: Command) -> Decision {
        match (self, command) {
            (Self::Absent, Command::Create { project, environment, name, hostname }) => {
                Ok(vec![Event::Created { project, environment, name, hostname }])
            }
            (Self::Deleted { .. }, Command::Delete) => Ok(vec![]),
            (Self::Deleted { turn }, Command::EndDeployment { deployment, outcome }) => {
                Ok(if turn.as_ref().is_some_and(|request| request.deployment == deployment) {
                    vec![Event::DeploymentEnded { deployment, outcome }]
                } else {
                    vec![]
                })
            }
            (Self::Absent | Self::Deleted { .. }, _) => Err(Rejection::NotFound),
            (Self::Active(active), command) => active.decide(command),
        }
    }
}

impl Active {
    fn decide(&self, command: Command) -> Decision {
        match command {
            Command::Create { project, environment, name, .. } => {
                let same = (self.project, self.environment, &self.name) == (project, environment, &name);
                if same { Ok(vec![]) } else { Err(Rejection::AlreadyExists) }
            }
            Command::ChangeVariables { set, unset, deploy } => self.change_variables(set, &unset, deploy),
            Command::Scale { replicas, deploy } => self.scale(replicas, deploy),
            Command::Deploy { deployment, subject } => self.deploy(deployment, subject),
            Command::RollBack { deployment, to, then } => self.roll_back(deployment, to, &then),
            Command::Withdraw { deployment } => {
                if self.waiting.as_ref().is_some_and(|request| request.deployment == deployment) {
                    return Ok(vec![Event::DeploymentWithdrawn { deployment }]);
                }
                let already = self.past_end(deployment) == Some(End::Withdrawn);
                if already { Ok(vec![]) } else { Err(Rejection::NotItsTurn(deployment)) }
            }
            Command::CutRelease { deployment, build } => self.cut_release(deployment, build),
            Command::Activate { deployment, instances } => self.activate_release(deployment, instances),
            Command::MoveInstances { release, instances } => match &self.live {
                Some(live) if live.number == release && live.instances != instances => {
                    Ok(vec![Event::InstancesMoved { release, instances }])
                }
                Some(_) | None => Ok(vec![]), // Where they are already, or not live any more.
            },
            Command::RecordExit { release, instance, exit } => match &self.live {
                Some(live) if live.number == release => {
                    Ok(vec![Event::InstanceExited { release, instance, exit }])
                }
                Some(_) | None => Ok(vec![]), // Nobody misses it.
            },
            Command::RecordReveal { names } if names.is_empty() => Ok(vec![]),
            Command::RecordReveal { names } => Ok(vec![Event::VariablesRevealed { names }]),
            Command::EndDeployment { deployment, outcome } => Ok(self.end_deployment(deployment, outcome)),
            Command::Delete => Ok(self.delete()),
        }
    }

    fn change_variables(
        &self,
        set: BTreeMap<VariableName, Sealed>,
        unset: &BTreeSet<VariableName>,
        deploy: Option<DeploymentId>,
    ) -> Decision {
        let is_new = |name: &VariableName, value: &Sealed| {
            !self.variables.get(name).is_some_and(|old| old.same_value(value))
        };
        let unset: BTreeSet<_> = unset
            .iter()
            .filter(|name| self.variables.contains_key(*name) && !set.contains_key(*name))
            .cloned()
            .collect();
        let set: BTreeMap<_, _> = set.into_iter().filter(|(name, value)| is_new(name, value)).collect();
        if set.is_empty() && unset.is_empty() {
            return Ok(vec![]);
        }
        let names: BTreeSet<_> =
            self.variables.keys().chain(set.keys()).filter(|n| !unset.contains(*n)).collect();
        if names.len() > MAX_VARIABLES {
            return Err(Rejection::TooManyVariables(names.len()));
        }
        let mut events = vec![Event::VariablesChanged { set, unset }];
        events.extend(self.carry_out(deploy));
        Ok(events)
    }

    fn scale(&self, replicas: u16, deploy: Option<DeploymentId>) -> Decision {
        if !(1..=MAX_REPLICAS).contains(&replicas) {
            return Err(Rejection::Replicas(replicas));
        }
        if self.replicas == Some(replicas) {
            return Ok(vec![]);
        }
        let mut events = vec![Event::Scaled { replicas }];
        events.extend(self.carry_out(deploy));
        Ok(events)
    }

    /// A change of configuration needs a deployment of its own only when something runs that does not have
    /// it, and no deployment is on its way that will.
    fn carry_out(&self, deploy: Option<DeploymentId>) -> Vec<Event> {
        let will_have_it =
            self.waiting.is_some() || self.turn.as_ref().is_some_and(|turn| turn.cut.is_none());
        match deploy {
            Some(deployment) if self.will_be_live() && !will_have_it && !self.knows(deployment) => {
                self.request(deployment, Subject::Configuration {})
            }
            Some(_) | None => vec![],
        }
    }

    /// Whether there is something whose configuration can be changed, now or once the turn is over.
    fn will_be_live(&self) -> bool {
        self.live.is_some() || self.turn.as_ref().is_some_and(|turn| turn.cut.is_some())
    }

    fn deploy(&self, deployment: DeploymentId, subject: Subject) -> Decision {
        if self.knows(deployment) {
            return Ok(vec![]);
        }
        match &subject {
            Subject::Configuration {} if self.live.is_none() => return Err(Rejection::NothingDeployed),
            Subject::Release { release, .. } => self.find(*release).map(|_| ())?,
            Subject::Source { .. } | Subject::Configuration {} => {}
        }
        Ok(self.request(deployment, subject))
    }

    /// Whether it was asked for before. One that ended long ago without a release is forgotten; a command
    /// that old is not given again.
    fn knows(&self, deployment: DeploymentId) -> bool {
        [&self.turn, &self.waiting].into_iter().flatten().any(|request| request.deployment == deployment)
            || self.past_end(deployment).is_some()
            || self.releases.values().any(|summary| summary.deployment == deployment)
    }

    /// The newest request waits; whatever waited before it is superseded. When nobody has the turn, it has it
    /// at once.
    fn request(&self, deployment: DeploymentId, subject: Subject) -> Vec<Event> {
        let superseded = self
            .waiting
            .as_ref()
            .map(|waiting| Event::DeploymentSuperseded { deployment: waiting.deployment, by: deployment });
        let admitted = self.turn.is_none().then_some(Event::DeploymentAdmitted { deployment });
        let requested = Event::DeploymentRequested { deployment, subject };
        superseded.into_iter().chain([requested]).chain(admitted).collect()
    }

    fn find(&self, release: ReleaseNumber) -> Result<ReleaseStatus, Rejection> {
        self.releases.get(&release).map(|summary| summary.status).ok_or_else(|| {
            let there = match self.releases.last_key_value() {
                Some((last, _)) => format!("the newest is {last}"),
                None => "nothing was released yet".to_owned(),
            };
            Rejection::ReleaseNotFound { wanted: release, there }
        })
    }

    /// Whether `to` can be made current again.
    ///
    /// # Errors
    /// When it is not there, never ran, or is current.
    pub fn can_roll_back(&self, to: ReleaseNumber) -> Result<(), Rejection> {
        match self.find(to)? {
            ReleaseStatus::Retired => Ok(()),
            ReleaseStatus::Live => Err(Rejection::ReleaseIsCurrent(to)),
            ReleaseStatus::Cut | ReleaseStatus::Failed => Err(Rejection::ReleaseNeverRan(to)),
        }
    }

    fn roll_back(&self, deployment: DeploymentId, to: ReleaseNumber, then: &Specification) -> Decision {
        if self.knows(deployment) {
            return Ok(vec![]);
        }
        self.can_roll_back(to)?;
        let from = self.live.as_ref().map(|live| live.number);
        let mut events = vec![Event::RollbackRequested { from, to, deployment }];
        let differs = |name: &VariableName, value: &Sealed| {
            !self.variables.get(name).is_some_and(|now| now.same_value(value))
        };
        let set: BTreeMap<_, _> = then
            .variables
            .iter()
            .filter(|(name, value)| differs(name, value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let unset: BTreeSet<_> =
            self.variables.keys().filter(|name| !then.variables.contains_key(*name)).cloned().collect();
        if !set.is_empty() || !unset.is_empty() {
            events.push(Event::VariablesChanged { set, unset });
        }
        if self.replicas_for(&then.build) != then.replicas {
            events.push(Event::Scaled { replicas: then.replicas });
        }
        let subject = Subject::Release { release: to, build: Box::new(then.build.clone()) };
        events.extend(self.request(deployment, subject));
        Ok(events)
    }

    /// How many instances the next release will have, when `plan` is what it runs.
    fn replicas_for(&self, build: &Build) -> u16 {
        self.replicas.unwrap_or(build.plan.run.replicas)
    }

    fn turn_of(&self, deployment: DeploymentId) -> Result<&Request, Rejection> {
        let turn = self.turn.as_ref().filter(|request| request.deployment == deployment);
        turn.ok_or(Rejection::NotItsTurn(deployment))
    }

    fn cut_release(&self, deployment: DeploymentId, build: Option<Box<Build>>) -> Decision {
        let turn = self.turn_of(deployment)?;
        if turn.cut.is_some() {
            return Ok(vec![]);
        }
        let build = match (&turn.subject, build) {
            (Subject::Source { .. }, Some(build)) => *build,
            (Subject::Source { .. }, None) => return Err(Rejection::NothingBuilt(deployment)),
            (Subject::Configuration {}, rebuilt) => {
                let live = self.live.as_ref().ok_or(Rejection::NothingDeployed)?;
                built_again(&live.specification.build, rebuilt)
            }
            (Subject::Release { build, .. }, rebuilt) => built_again(build, rebuilt),
        };
        let specification = Box::new(Specification {
            variables: self.variables.clone(),
            hostnames: self.hostnames.clone(),
            replicas: self.replicas_for(&build),
            build,
        });
        let last = self.releases.last_key_value().map_or_else(ReleaseNumber::default, |(number, _)| *number);
        Ok(vec![Event::ReleaseCut { release: last.next(), deployment, specification }])
    }

    fn activate_release(&self, deployment: DeploymentId, instances: Vec<Instance>) -> Decision {
        if self.live.as_ref().is_some_and(|live| live.deployment == deployment) {
            return Ok(vec![]);
        }
        let turn = self.turn_of(deployment)?;
        let (release, _) = turn.cut.as_ref().ok_or(Rejection::NothingBuilt(deployment))?;
        Ok(vec![Event::ReleaseActivated { release: *release, deployment, instances }])
    }

    fn end_deployment(&self, deployment: DeploymentId, outcome: Outcome) -> Vec<Event> {
        if self.turn_of(deployment).is_err() {
            return vec![];
        }
        // Whoever gives up cannot know whether the traffic moved after all; here it is known.
        let has_traffic = self.live.as_ref().is_some_and(|live| live.deployment == deployment);
        let outcome = if has_traffic { Outcome::Succeeded } else { outcome };
        let next =
            self.waiting.as_ref().map(|next| Event::DeploymentAdmitted { deployment: next.deployment });
        [Event::DeploymentEnded { deployment, outcome }].into_iter().chain(next).collect()
    }

    /// What waits would never have its turn, and nobody else would say so.
    fn delete(&self) -> Vec<Event> {
        let withdrawn =
            self.waiting.as_ref().map(|next| Event::DeploymentWithdrawn { deployment: next.deployment });
        withdrawn.into_iter().chain([Event::Deleted {}]).collect()
    }
}

/// What is run again: as it was, and when it had to be built again, what came out of that.
fn built_again(build: &Build, rebuilt: Option<Box<Build>>) -> Build {
    let artifact = rebuilt.map_or_else(|| build.artifact.clone(), |rebuilt| rebuilt.artifact);
    Build { artifact, ..build.clone() }
}
