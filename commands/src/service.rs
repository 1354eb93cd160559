//! Commands on services: made, configured, deleted. Name and hostname are claimed before a service is made.

use std::collections::{BTreeMap, BTreeSet};

use domain::claim::Key;
use domain::hostname::Hostname;
use domain::id::{DeploymentId, EnvironmentId, OrganizationId, ProjectId, ServiceId};
use domain::name::{ServiceName, VariableName};
use domain::project::{Project, Rejection as ProjectRejection};
use domain::secret::Secret;
use domain::service::{Command, Service, check_variable_value};
use domain::stream::StreamId;

use crate::bus::{Bus, Outcome};
use crate::error::CommandError;
use crate::keyring::Place;
use crate::policy::Action;
use crate::request::Request;

/// A change of variables.
#[derive(Clone, Debug, Default)]
pub struct VariableChange {
    /// New values.
    pub set: BTreeMap<VariableName, Secret>,
    /// To be removed.
    pub unset: BTreeSet<VariableName>,
    /// Whether a new release carries it out at once.
    pub deploy: bool,
}

impl Bus {
    /// Makes a service in an environment. It answers to `<service>.<project>.<suffix>`.
    ///
    /// # Errors
    /// [`CommandError`]; `service_name_taken` when the environment has one of that name.
    pub async fn create_service(
        &self,
        request: &Request,
        organization: OrganizationId,
        (project, environment): (ProjectId, EnvironmentId),
        name: ServiceName,
        suffix: &str,
    ) -> Result<(ServiceId, Outcome), CommandError> {
        self.authorize(request, organization, Action::ManageServices).await?;
        let service = ServiceId(request.fresh_id("service"));
        let stream = StreamId::service(organization, service);
        let in_project = StreamId::project(organization, project);
        let Project::Active { name: project_name, environments } = self.state::<Project>(in_project).await?
        else {
            return Err(CommandError::rejected(&ProjectRejection::NotFound));
        };
        let Some(environment_name) = environments.get(&environment) else {
            return Err(CommandError::rejected(&ProjectRejection::EnvironmentNotFound));
        };
        let hostname = Hostname::of_service(&name, environment_name, &project_name, suffix);
        self.claim_name(request, organization, environment, &name, stream).await?;
        self.claim_hostname(request, &hostname, stream).await?;
        let command = Command::Create { project, environment, name, hostname };
        let outcome = self.dispatch::<Service>(request, stream, command).await?;
        let is_gone = |project: Project| match project {
            Project::Active { environments, .. } => !environments.contains_key(&environment),
            Project::Absent | Project::Deleted => true,
        };
        if is_gone(self.state::<Project>(in_project).await?) {
            self.delete_service(&Request::new(request.actor), organization, service).await?;
            return Err(CommandError::rejected(&ProjectRejection::NotFound));
        }
        Ok((service, outcome))
    }

    /// Deletes a service: what runs of it is stopped, its names are free again.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn delete_service(
        &self,
        request: &Request,
        organization: OrganizationId,
        service: ServiceId,
    ) -> Result<Outcome, CommandError> {
        self.authorize(request, organization, Action::ManageServices).await?;
        let stream = StreamId::service(organization, service);
        let before = self.state::<Service>(stream).await?;
        let outcome = self.dispatch::<Service>(request, stream, Command::Delete).await?;
        if let Some(active) = before.active() {
            let name = active.name.to_string();
            let key = Key::ServiceName { organization, environment: active.environment, name };
            self.release(request, &key, stream.into()).await?;
            for hostname in &active.hostnames {
                let key = Key::Hostname { hostname: hostname.to_string() };
                self.release(request, &key, stream.into()).await?;
            }
        }
        Ok(outcome)
    }

    /// Sets and removes variables. Answers with the deployment that carries it out, when one does.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn change_variables(
        &self,
        request: &Request,
        organization: OrganizationId,
        service: ServiceId,
        change: VariableChange,
    ) -> Result<(Option<DeploymentId>, Outcome), CommandError> {
        self.authorize(request, organization, Action::Deploy).await?;
        let mut set = BTreeMap::new();
        for (name, value) in change.set {
            check_variable_value(&name, value.reveal())
                .map_err(|invalid| CommandError::rejected(&invalid))?;
            let sealed = self.keyring().seal(Place { organization, service, name: &name }, &value).await?;
            set.insert(name, sealed);
        }
        let deploy = change.deploy.then(|| DeploymentId(request.fresh_id("deployment")));
        let command = Command::ChangeVariables { set, unset: change.unset, deploy };
        self.configure(request, organization, service, command, deploy).await
    }

    /// Records that somebody is shown the values of variables; to be done before they are.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn record_reveal(
        &self,
        request: &Request,
        organization: OrganizationId,
        service: ServiceId,
        names: BTreeSet<VariableName>,
    ) -> Result<Outcome, CommandError> {
        self.authorize(request, organization, Action::RevealVariables).await?;
        let stream = StreamId::service(organization, service);
        self.dispatch::<Service>(request, stream, Command::RecordReveal { names }).await
    }

    /// Chooses how many instances run. Answers with the deployment that carries it out, when one does.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn scale(
        &self,
        request: &Request,
        organization: OrganizationId,
        service: ServiceId,
        replicas: u16,
    ) -> Result<(Option<DeploymentId>, Outcome), CommandError> {
        self.authorize(request, organization, Action::Deploy).await?;
        let deploy = Some(DeploymentId(request.fresh_id("deployment")));
        let command = Command::Scale { replicas, deploy };
        self.configure(request, organization, service, command, deploy).await
    }

    /// Gives a command that may have a deployment carry it out, and says which deployment does: that one, or
    /// one that is on its way.
    async fn configure(
        &self,
        request: &Request,
        organization: OrganizationId,
        service: ServiceId,
        command: Command,
        deploy: Option<DeploymentId>,
    ) -> Result<(Option<DeploymentId>, Outcome), CommandError> {
        let stream = StreamId::service(organization, service);
        let outcome = self.dispatch::<Service>(request, stream, command).await?;
        let state = self.state_at_least::<Service>(stream, outcome.version).await?;
        let on_its_way = || {
            let active = state.active()?;
            let request = active.waiting.as_ref().or(active.turn.as_ref())?;
            Some(request.deployment)
        };
        let carrier = if deploy.is_some() && outcome.changed { on_its_way() } else { None };
        Ok((carrier, outcome))
    }

    async fn claim_name(
        &self,
        request: &Request,
        organization: OrganizationId,
        environment: EnvironmentId,
        name: &ServiceName,
        service: StreamId,
    ) -> Result<(), CommandError> {
        let key = Key::ServiceName { organization, environment, name: name.to_string() };
        self.claim(request, key, service.into()).await.map_err(|error| match error.code() {
            Some("name_taken") => {
                let message = format!("the environment has a service named `{name}` already");
                CommandError::conflict("service_name_taken", Some("name"), message)
            }
            Some(_) | None => error,
        })
    }

    async fn claim_hostname(
        &self,
        request: &Request,
        hostname: &Hostname,
        service: StreamId,
    ) -> Result<(), CommandError> {
        let key = Key::Hostname { hostname: hostname.to_string() };
        self.claim(request, key, service.into()).await.map_err(|error| match error.code() {
            Some("name_taken") => {
                let message = format!("another service answers to `{hostname}` already; choose another name");
                CommandError::conflict("hostname_taken", Some("name"), message)
            }
            Some(_) | None => error,
        })
    }
}
