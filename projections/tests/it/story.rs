//! Histories: commands given to the domain's own aggregates, and what they decide appended to a log in memory. Ids and
//! times come from counters, so that the same story gives the same rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::aggregate::Aggregate;
use domain::context::{Actor, Context};
use domain::deployment::step::{Failure, Fence, Output, Step};
use domain::deployment::{self, Deployment, Work};
use domain::digest::Digest;
use domain::hostname::Hostname;
use domain::id::{
    CommandId, CommitId, CorrelationId, DeploymentId, EnvironmentId, EventId, OrganizationId, ProjectId,
    ServiceId, UserId,
};
use domain::name::{EnvironmentName, ProjectName, VariableName};
use domain::plan::{Language, Plan, Run, Start};
use domain::project::{self, Environment, Project};
use domain::secret::Sealed;
use domain::service::release::{Instance, InstanceId, ReleaseNumber};
use domain::service::{self, Outcome, Service, Subject};
use domain::source::{Revision, Source};
use domain::stream::{Position, StreamId};
use domain::testing::NOW;
use domain::user::{self, User};
use domain::{claim, organization};
use eventlog::commit::{Commit, Head, Metadata};
use eventlog::log::{EventLog as _, SharedLog};
use eventlog::memory::MemoryLog;
use switchback_projections::projection;
use switchback_projections::projector::Projector;
use switchback_projections::store::ReadStore;
use uuid::Uuid;

use crate::database::Database;

pub(crate) const ACME: OrganizationId = OrganizationId(Uuid::from_u128(0xA));
pub(crate) const OTHER: OrganizationId = OrganizationId(Uuid::from_u128(0xB));
pub(crate) const OWNER: UserId = UserId(Uuid::from_u128(0x1));
pub(crate) const STRANGER: UserId = UserId(Uuid::from_u128(0x2));

/// A story under way.
pub(crate) struct Story {
    pub(crate) log: MemoryLog,
    pub(crate) organization: OrganizationId,
    pub(crate) actor: Actor,
    clock: DateTime<Utc>,
    ids: u128,
    heads: HashMap<StreamId, Head>,
    users: HashMap<Uuid, User>,
    organizations: HashMap<Uuid, organization::Organization>,
    projects: HashMap<Uuid, Project>,
    pub(crate) services: HashMap<Uuid, Service>,
    pub(crate) deployments: HashMap<Uuid, Deployment>,
    claims: HashMap<Uuid, claim::Claim>,
}

impl Story {
    /// Nothing has happened.
    pub(crate) fn empty() -> Self {
        Self {
            log: MemoryLog::new(),
            organization: ACME,
            actor: Actor::user(OWNER),
            clock: NOW,
            ids: 0x1000,
            heads: HashMap::new(),
            users: HashMap::new(),
            organizations: HashMap::new(),
            projects: HashMap::new(),
            services: HashMap::new(),
            deployments: HashMap::new(),
            claims: HashMap::new(),
        }
    }

    /// An owner and an organisation.
    pub(crate) async fn begin() -> Self {
        let mut story = Self::empty();
        story.user(OWNER, user::Command::Register { name: "ada".into() }).await;
        let create = organization::Command::Create { name: "Acme".into(), owner: OWNER };
        story.organization_command(create).await;
        story
    }

    pub(crate) fn shared(&self) -> SharedLog {
        Arc::new(self.log.clone())
    }

    /// The same story, told of another organisation and by another person.
    pub(crate) fn turn_to(&mut self, organization: OrganizationId, person: UserId) {
        self.organization = organization;
        self.actor = Actor::user(person);
    }

    fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn context(&mut self) -> Context {
        self.clock += TimeDelta::seconds(1);
        Context { now: self.clock, actor: self.actor }
    }

    /// Appends events as one commit.
    pub(crate) async fn append<E: Into<domain::event::Event>>(
        &mut self,
        stream: StreamId,
        events: Vec<E>,
    ) -> Position {
        let head = self.heads.get(&stream).copied().unwrap_or(Head::EMPTY);
        if events.is_empty() {
            return head.position;
        }
        let events = events.into_iter().map(|event| (EventId(self.id()), event.into())).collect();
        let metadata = Metadata {
            at: self.clock,
            actor: self.actor,
            command: CommandId(self.id()),
            correlation: CorrelationId(Uuid::from_u128(0xC)),
            causation: None,
            traceparent: None,
        };
        let commit = Commit { id: CommitId(self.id()), stream, metadata, events };
        let head = self.log.append(&commit, head).await.unwrap();
        self.heads.insert(stream, head);
        head.position
    }

    /// Gives a command. What is refused changes nothing.
    async fn give<A: Aggregate>(
        &mut self,
        stream: StreamId,
        state: A,
        command: A::Command,
    ) -> (A, Result<Position, A::Rejection>) {
        let context = self.context();
        match state.decide(command, &context) {
            Ok(events) => {
                let state = events.iter().fold(state, A::evolve);
                let position = self.append(stream, events).await;
                (state, Ok(position))
            }
            Err(rejection) => (state, Err(rejection)),
        }
    }

    pub(crate) async fn user(&mut self, id: UserId, command: user::Command) -> Position {
        let state = self.users.remove(&id.0).unwrap_or_default();
        let (state, outcome) = self.give(StreamId::user(id), state, command).await;
        self.users.insert(id.0, state);
        outcome.unwrap()
    }

    pub(crate) async fn organization_command(&mut self, command: organization::Command) -> Position {
        let id = self.organization;
        let state = self.organizations.remove(&id.0).unwrap_or_default();
        let (state, outcome) = self.give(StreamId::organization(id), state, command).await;
        self.organizations.insert(id.0, state);
        outcome.unwrap()
    }

    pub(crate) async fn claim(&mut self, command: claim::Command, key: &claim::Key) -> Position {
        let stream = key.stream();
        let state = self.claims.remove(&stream.id).unwrap_or_default();
        let (state, outcome) = self.give(stream, state, command).await;
        self.claims.insert(stream.id, state);
        outcome.unwrap()
    }

    pub(crate) async fn project_command(&mut self, id: ProjectId, command: project::Command) -> Position {
        let state = self.projects.remove(&id.0).unwrap_or_default();
        let (state, outcome) = self.give(StreamId::project(self.organization, id), state, command).await;
        self.projects.insert(id.0, state);
        outcome.unwrap()
    }

    pub(crate) async fn try_service(
        &mut self,
        id: ServiceId,
        command: service::Command,
    ) -> Result<Position, service::Rejection> {
        let state = self.services.remove(&id.0).unwrap_or_default();
        let (state, outcome) = self.give(StreamId::service(self.organization, id), state, command).await;
        self.services.insert(id.0, state);
        outcome
    }

    pub(crate) async fn service_command(&mut self, id: ServiceId, command: service::Command) -> Position {
        self.try_service(id, command).await.unwrap()
    }

    pub(crate) async fn try_deployment(
        &mut self,
        id: DeploymentId,
        command: deployment::Command,
    ) -> Result<Position, deployment::Rejection> {
        let state = self.deployments.remove(&id.0).unwrap_or_default();
        let (state, outcome) = self.give(StreamId::deployment(self.organization, id), state, command).await;
        self.deployments.insert(id.0, state);
        outcome
    }

    pub(crate) async fn deployment_command(
        &mut self,
        id: DeploymentId,
        command: deployment::Command,
    ) -> Position {
        self.try_deployment(id, command).await.unwrap()
    }

    /// A project with the environments production and staging.
    pub(crate) async fn project(&mut self, name: &str) -> (ProjectId, EnvironmentId, EnvironmentId) {
        let (id, production, staging) =
            (ProjectId(self.id()), EnvironmentId(self.id()), EnvironmentId(self.id()));
        let environment = |id, name: &str| Environment { id, name: environment_name(name) };
        let environments = vec![environment(production, "production"), environment(staging, "staging")];
        let name: ProjectName = name.parse().unwrap();
        self.project_command(id, project::Command::Create { name, environments }).await;
        (id, production, staging)
    }

    /// A service.
    pub(crate) async fn service(
        &mut self,
        project: ProjectId,
        environment: EnvironmentId,
        name: &str,
    ) -> ServiceId {
        let id = ServiceId(self.id());
        let hostname: Hostname = format!("{name}.{}.localhost", id.0.simple()).parse().unwrap();
        let create = service::Command::Create { project, environment, name: name.parse().unwrap(), hostname };
        self.service_command(id, create).await;
        id
    }

    /// Somebody deploys a branch; nothing of it is done yet.
    pub(crate) async fn request(&mut self, service: ServiceId) -> DeploymentId {
        let id = DeploymentId(self.id());
        let subject = Subject::Source { source: repository(), fresh: false };
        self.service_command(service, service::Command::Deploy { deployment: id, subject }).await;
        id
    }

    /// Somebody deploys a revision, and it goes live.
    pub(crate) async fn deploy(&mut self, service: ServiceId, revision: u8) -> DeploymentId {
        let id = self.request(service).await;
        self.carry_out(service, id, revision).await;
        id
    }

    /// Somebody changes variables, and that is deployed when something is live.
    pub(crate) async fn set(&mut self, service: ServiceId, name: &str, value: &str) -> Position {
        let deployment = DeploymentId(self.id());
        let position = self.stage(service, name, value, Some(deployment)).await;
        if self.turn_of(service) == Some(deployment) {
            self.carry_out(service, deployment, 0).await;
        }
        position
    }

    /// Somebody changes a variable.
    pub(crate) async fn stage(
        &mut self,
        service: ServiceId,
        name: &str,
        value: &str,
        deploy: Option<DeploymentId>,
    ) -> Position {
        let set = BTreeMap::from([(variable(name), sealed(value))]);
        let change = service::Command::ChangeVariables { set, unset: BTreeSet::new(), deploy };
        self.service_command(service, change).await
    }

    /// Somebody wants a release back, and gets it.
    pub(crate) async fn roll_back(&mut self, service: ServiceId, to: u32) -> DeploymentId {
        let deployment = self.ask_back(service, to).await;
        self.carry_out(service, deployment, 0).await;
        deployment
    }

    /// Somebody wants a release back.
    pub(crate) async fn ask_back(&mut self, service: ServiceId, to: u32) -> DeploymentId {
        let history = self.log.read(&StreamId::service(self.organization, service), Default::default()).await;
        let history: Vec<_> = history
            .unwrap()
            .events
            .into_iter()
            .map(|recorded| recorded.map(|event| service::Event::try_from(event).unwrap()))
            .collect();
        let target = domain::rollback::Target::Release(ReleaseNumber(to));
        let (to, then) = domain::rollback::find(&history, target).unwrap();
        let deployment = DeploymentId(self.id());
        let command = service::Command::RollBack { deployment, to, then: Box::new(then) };
        self.service_command(service, command).await;
        deployment
    }

    pub(crate) fn turn_of(&self, service: ServiceId) -> Option<DeploymentId> {
        let turn = self.services.get(&service.0)?.active()?.turn.as_ref();
        turn.map(|request| request.deployment)
    }

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
            Step::Fetch => Output::Fetch { revision: Some(self::revision(revision)) },
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

/// A store that has all of a story.
pub(crate) async fn told(database: &Database, story: &Story) -> ReadStore {
    let store = database.open().await;
    let projector = Projector::new(story.shared(), store.clone(), projection::ALL);
    projector.catch_up().await.unwrap();
    assert!(projector.status().is_healthy(), "{:?}", projector.status());
    store
}

/// Acme's owner, a project with two services, deployments of all kinds: what most tests begin with.
pub(crate) struct Shop {
    pub(crate) story: Story,
    pub(crate) project: ProjectId,
    pub(crate) production: EnvironmentId,
    pub(crate) staging: EnvironmentId,
    pub(crate) web: ServiceId,
    pub(crate) worker: ServiceId,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let mut story = Story::begin().await;
        let (project, production, staging) = story.project("shop").await;
        let web = story.service(project, production, "web").await;
        let worker = story.service(project, staging, "worker").await;
        Self { story, project, production, staging, web, worker }
    }

    /// v1 and v2 by deployment, v3 by a variable, v4 by rollback to v1, and a build that fails.
    pub(crate) async fn busy() -> Self {
        let mut shop = Self::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        story.deploy(web, 1).await;
        story.deploy(web, 2).await;
        story.set(web, "GREETING", "hello").await;
        story.roll_back(web, 1).await;
        let failing = story.request(web).await;
        story.begin_deployment(web, failing).await;
        for step in [Step::Fetch, Step::Detect] {
            story.step(web, failing, step, 3).await;
        }
        story.fail(web, failing, Step::Build, "npm ended with status 1").await;
        shop
    }
}

pub(crate) fn environment_name(name: &str) -> EnvironmentName {
    name.parse().unwrap()
}

pub(crate) fn variable(name: &str) -> VariableName {
    name.parse().unwrap()
}

/// "Sealed": what stands for the value is not the value, and equal values have equal fingerprints.
pub(crate) fn sealed(value: &str) -> Sealed {
    let fingerprint =
        format!("{:08x}", value.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte)));
    Sealed { key: Uuid::from_u128(0xE), data: format!("sealed-{fingerprint}"), fingerprint }
}

pub(crate) fn repository() -> Source {
    Source::Repository {
        url: "https://example.com/shop.git".parse().unwrap(),
        reference: Some("main".parse().unwrap()),
    }
}

pub(crate) fn revision(n: u8) -> Revision {
    Revision { id: format!("{n:02x}").repeat(20).parse().unwrap(), subject: format!("Change no. {n}") }
}

pub(crate) fn digest(n: u8) -> Digest {
    Digest::from_sha256([n; 32])
}

pub(crate) fn failure(message: &str) -> Failure {
    Failure { code: "build_failed".into(), message: message.into(), permanent: true }
}

pub(crate) fn plan() -> Plan {
    Plan {
        language: Language::Node,
        detected_by: "package.json".into(),
        root: String::new(),
        install: vec!["npm ci".parse().unwrap()],
        build: vec![],
        run: Run::new(Start::Command("node server.js".parse().unwrap())),
    }
}

pub(crate) fn instance(deployment: DeploymentId, ordinal: u16) -> Instance {
    Instance {
        id: InstanceId { deployment, ordinal },
        address: format!("127.0.0.1:{}", 20_000 + u32::from(ordinal)).parse().unwrap(),
    }
}
