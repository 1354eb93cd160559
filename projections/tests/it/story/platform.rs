//! What the platform does to carry out what people asked for: a deployment's steps, one by one.

use domain::context::Actor;
use domain::deployment::step::{Fence, Output, Step};
use domain::deployment::{self, Work};
use domain::id::{DeploymentId, ServiceId};
use domain::service::{self, Outcome};

use super::things::{digest, failure, instance, plan};
use super::{Story, things};

impl Story {
    /// A deployment that has the turn goes all its way, by the platform.
    pub(crate) async fn carry_out(&mut self, service: ServiceId, id: DeploymentId, revision: u8) {
        self.begin_deployment(service, id).await;
        while let Some(step) = self.next_step(id) {
            self.step(service, id, step, revision).await;
        }
    }

    /// As the platform, on behalf of whoever is at it.
    pub(crate) async fn begin_deployment(&mut self, service: ServiceId, id: DeploymentId) {
        let turn = self.services[&service.0].active().unwrap().turn.clone().unwrap();
        assert_eq!(turn.deployment, id, "it does not have the turn");
        self.as_saga(deployment::Command::Begin { service, subject: turn.subject }, id).await;
    }

    async fn as_saga(&mut self, command: deployment::Command, id: DeploymentId) {
        let person = self.actor;
        self.actor = Actor::saga(person.person());
        self.deployment_command(id, command).await;
        self.actor = person;
    }

    pub(crate) fn next_step(&self, id: DeploymentId) -> Option<Step> {
        match self.deployments.get(&id.0)?.task()?.work {
            Work::Do(step) => Some(step),
            Work::Undo(_) => None,
        }
    }

    /// One step, started and done.
    pub(crate) async fn step(&mut self, service: ServiceId, id: DeploymentId, step: Step, revision: u8) {
        let fence = self.start(id, Work::Do(step)).await;
        let output = self.output(service, id, step, revision).await;
        self.as_saga(deployment::Command::Complete { fence, output }, id).await;
        if step == Step::Activate {
            let end = service::Command::EndDeployment { deployment: id, outcome: Outcome::Succeeded };
            self.service_as_saga(service, end).await;
        }
    }

    /// A worker takes up a piece of work.
    pub(crate) async fn start(&mut self, id: DeploymentId, work: Work) -> Fence {
        self.as_saga(deployment::Command::Start { work, limit_ms: 60_000 }, id).await;
        self.deployments[&id.0].task().and_then(deployment::Task::fence).unwrap()
    }

    /// A step is started and fails for good; what was left is taken away, and the deployment is over.
    pub(crate) async fn fail(&mut self, service: ServiceId, id: DeploymentId, step: Step, message: &str) {
        let fence = self.start(id, Work::Do(step)).await;
        let failure = failure(message);
        self.as_saga(deployment::Command::Fail { work: Work::Do(step), fence, failure }, id).await;
        self.clean_up(service, id, Outcome::Failed).await;
    }

    /// What a deployment left is taken away.
    pub(crate) async fn clean_up(&mut self, service: ServiceId, id: DeploymentId, outcome: Outcome) {
        while let Some(Work::Undo(step)) = self.deployments[&id.0].task().map(|task| task.work) {
            let fence = self.start(id, Work::Undo(step)).await;
            self.as_saga(deployment::Command::CompleteUndo { step, fence }, id).await;
        }
        self.service_as_saga(service, service::Command::EndDeployment { deployment: id, outcome }).await;
    }

    pub(crate) async fn service_as_saga(&mut self, id: ServiceId, command: service::Command) {
        let person = self.actor;
        self.actor = Actor::saga(person.person());
        self.service_command(id, command).await;
        self.actor = person;
    }

    async fn output(&mut self, service: ServiceId, id: DeploymentId, step: Step, revision: u8) -> Output {
        match step {
            Step::Fetch => Output::Fetch { revision: Some(things::revision(revision)) },
            Step::Detect => Output::Detect { plan: Box::new(plan()) },
            Step::Build => Output::Build { reused: None },
            Step::Push => Output::Push { artifact: digest(revision) },
            Step::Cut => {
                let build = self.deployments[&id.0].facts().and_then(deployment::Facts::build).map(Box::new);
                let cut = service::Command::CutRelease { deployment: id, build };
                self.service_as_saga(service, cut).await;
                let turn = self.services[&service.0].active().unwrap().turn.clone().unwrap();
                Output::Cut { release: turn.cut.unwrap().0 }
            }
            Step::Prepare => Output::Prepare {},
            Step::RollOut => Output::RollOut { instances: vec![instance(id, 0)] },
            Step::Verify => Output::Verify {},
            Step::Activate => {
                let activate =
                    service::Command::Activate { deployment: id, instances: vec![instance(id, 0)] };
                self.service_as_saga(service, activate).await;
                Output::Activate {}
            }
            Step::Retire => Output::Retire {},
        }
    }
}
