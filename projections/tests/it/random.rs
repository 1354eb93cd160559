//! Random histories: whatever the domain lets people and the platform do, in any order, by seed.

use domain::deployment::Work;
use domain::deployment::step::Step;
use domain::id::{DeploymentId, EnvironmentId, OrganizationId, ProjectId, ServiceId};
use domain::service::release::{InstanceId, ReleaseNumber, ReleaseStatus};
use domain::service::{self, Outcome, Subject};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use crate::story::{ACME, OTHER, OWNER, STRANGER, Story};

/// A story that goes on at random.
pub(crate) struct Random {
    pub(crate) story: Story,
    rng: StdRng,
    environments: Vec<(OrganizationId, ProjectId, EnvironmentId)>,
    services: Vec<(OrganizationId, ServiceId)>,
    /// Deployments that went live, and have not retired the release before.
    retiring: Vec<(OrganizationId, ServiceId, DeploymentId)>,
    names: u32,
}

/// The seed of this run: another each time, unless `SWITCHBACK_SEED` says which. Shown when the test fails.
#[expect(clippy::print_stdout, reason = "a test that fails shows it")]
pub(crate) fn seed() -> u64 {
    let given = std::env::var("SWITCHBACK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| Uuid::now_v7().as_u64_pair().1);
    println!("SWITCHBACK_SEED={seed}");
    seed
}

impl Random {
    pub(crate) async fn begin(seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let story = Story::begin().await;
        let mut random =
            Self { story, rng, environments: vec![], services: vec![], retiring: vec![], names: 0 };
        random.project().await;
        random.service().await;
        random
    }

    pub(crate) async fn acts(&mut self, count: usize) {
        for _ in 0..count {
            self.act().await;
        }
    }

    async fn act(&mut self) {
        match self.rng.random_range(0..100) {
            0..2 => self.project().await,
            2..6 => self.service().await,
            6..60 => self.platform().await,
            60..100 => self.person().await,
            _ => unreachable!("the range ends at 100"),
        }
    }

    fn turn_to(&mut self, organization: OrganizationId) {
        self.story.turn_to(organization, if organization == ACME { OWNER } else { STRANGER });
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}-{}", self.names)
    }

    async fn project(&mut self) {
        let organization = if self.rng.random_bool(0.7) { ACME } else { OTHER };
        self.turn_to(organization);
        let name = self.name("project");
        let (project, production, staging) = self.story.project(&name).await;
        self.environments.push((organization, project, production));
        self.environments.push((organization, project, staging));
    }

    async fn service(&mut self) {
        let (organization, project, environment) =
            self.environments[self.rng.random_range(0..self.environments.len())];
        self.turn_to(organization);
        let name = self.name("service");
        let id = self.story.service(project, environment, &name).await;
        self.services.push((organization, id));
    }

    /// Somebody does something to a service.
    async fn person(&mut self) {
        let index = self.rng.random_range(0..self.services.len());
        let (organization, service) = self.services[index];
        self.turn_to(organization);
        let deploy = self.rng.random_bool(0.5).then(|| DeploymentId(Uuid::from_u128(self.rng.random())));
        match self.rng.random_range(0..100) {
            0..40 => {
                let (name, value) = (self.rng.random_range(0..5), self.rng.random_range(0..4));
                self.story.stage(service, &format!("NAME_{name}"), &value.to_string(), deploy).await;
            }
            40..55 => {
                let replicas = self.rng.random_range(1..5);
                let _ = self.story.try_service(service, service::Command::Scale { replicas, deploy }).await;
            }
            55..85 => {
                self.story.request(service).await;
            }
            85..97 => self.roll_back(service).await,
            _ => {
                let active = self.story.services[&service.0].active();
                if active.is_some_and(|active| active.turn.is_none()) && self.services.len() > 3 {
                    self.story.service_command(service, service::Command::Delete).await;
                    self.services.remove(index);
                }
            }
        }
    }

    async fn roll_back(&mut self, service: ServiceId) {
        let Some(active) = self.story.services[&service.0].active() else { return };
        let retired: Vec<ReleaseNumber> = active
            .releases
            .iter()
            .filter(|(_, summary)| summary.status == ReleaseStatus::Retired)
            .map(|(number, _)| *number)
            .collect();
        if !retired.is_empty() {
            let to = retired[self.rng.random_range(0..retired.len())];
            self.story.ask_back(service, to.0).await;
        }
    }

    /// The platform goes on with what is to be done.
    async fn platform(&mut self) {
        if !self.retiring.is_empty() && self.rng.random_bool(0.3) {
            let (organization, service, deployment) = self.retiring.remove(0);
            self.turn_to(organization);
            self.story.step(service, deployment, Step::Retire, 0).await;
            return;
        }
        let (organization, service) = self.services[self.rng.random_range(0..self.services.len())];
        self.turn_to(organization);
        let Some(deployment) = self.story.turn_of(service) else { return self.exit(service).await };
        let state = self.story.deployments.get(&deployment.0);
        match state.and_then(|state| state.task()).map(|task| task.work) {
            None => self.story.begin_deployment(service, deployment).await,
            Some(Work::Undo(_)) => self.story.clean_up(service, deployment, Outcome::Failed).await,
            Some(Work::Do(step)) => self.step(organization, service, deployment, step).await,
        }
    }

    async fn step(
        &mut self,
        organization: OrganizationId,
        service: ServiceId,
        deployment: DeploymentId,
        step: Step,
    ) {
        let active = self.story.services[&service.0].active();
        let is_bare = active.is_some_and(|active| active.live.is_none());
        let state = &self.story.deployments[&deployment.0];
        let needs_live =
            state.facts().is_some_and(|facts| matches!(facts.subject, Subject::Configuration {}));
        match self.rng.random_range(0..100) {
            // What it was to change never went live.
            _ if step == Step::Cut && is_bare && needs_live => {
                self.story.fail(service, deployment, step, "nothing is live").await;
            }
            0..5 => drop(self.story.start(deployment, Work::Do(step)).await),
            5..9 if step != Step::Activate => self.story.fail(service, deployment, step, "it broke").await,
            _ => {
                let revision = self.rng.random_range(1..200);
                self.story.step(service, deployment, step, revision).await;
                if step == Step::Activate {
                    self.retiring.push((organization, service, deployment));
                }
            }
        }
    }

    async fn exit(&mut self, service: ServiceId) {
        let Some(live) = self.story.services[&service.0].active().and_then(|active| active.live.clone())
        else {
            return;
        };
        let instance = InstanceId { deployment: live.deployment, ordinal: 0 };
        let exit = service::Command::RecordExit { release: live.number, instance, exit: "signal 9".into() };
        self.story.service_as_saga(service, exit).await;
    }
}
