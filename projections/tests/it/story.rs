//! Histories: commands given to the domain's own aggregates, and what they decide appended to a log in
//! memory. Ids and times come from counters, so that the same story gives the same rows.

// The paths are said because an example reads this file too, from elsewhere.
#[path = "story/platform.rs"]
mod platform;
#[path = "story/shop.rs"]
mod shop;
#[path = "story/things.rs"]
mod things;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::aggregate::Aggregate;
use domain::context::{Actor, Context};
use domain::deployment::{self, Deployment};
use domain::hostname::Hostname;
use domain::id::{
    CommandId, CommitId, CorrelationId, DeploymentId, EnvironmentId, EventId, OrganizationId, ProjectId,
    ServiceId, UserId,
};
use domain::name::ProjectName;
use domain::project::{self, Environment, Project};
use domain::service::release::ReleaseNumber;
use domain::service::{self, Service, Subject};
use domain::stream::{Position, StreamId};
use domain::testing::NOW;
use domain::user::{self, User};
use domain::{claim, organization};
use eventlog::commit::{Commit, Head, Metadata};
use eventlog::log::{EventLog as _, SharedLog};
use eventlog::memory::MemoryLog;
use uuid::Uuid;

pub(crate) use self::shop::Shop;
pub(crate) use self::things::{environment_name, instance, repository, sealed, variable};

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
}
