//! From what stands in a path to what is meant: names and ids are taken alike. What is not there, or not the
//! organisation's, is not found; nobody is told which of the two it is.

use domain::id::{DeploymentId, OrganizationId, ServiceId};
use projections::deployment::Deployment;
use projections::project::{Environment, Project};
use projections::service::Service;
use projections::{deployment, project, service};
use serde::Deserialize;

use crate::app::App;
use crate::error::ApiError;

/// `/projects/{project}`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct InProject {
    /// Name, slug or id.
    pub(crate) project: String,
}

/// `/projects/{project}/environments/{environment}`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct InEnvironment {
    /// Name, slug or id.
    pub(crate) project: String,
    /// Name or id.
    pub(crate) environment: String,
}

/// `/projects/{project}/environments/{environment}/services/{service}`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OnService {
    /// Name, slug or id.
    pub(crate) project: String,
    /// Name or id.
    pub(crate) environment: String,
    /// Name or id.
    pub(crate) service: String,
}

/// The same, and `/releases/{release}`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OnRelease {
    /// Name, slug or id.
    pub(crate) project: String,
    /// Name or id.
    pub(crate) environment: String,
    /// Name or id.
    pub(crate) service: String,
    /// `v3`.
    pub(crate) release: String,
}

impl From<OnRelease> for OnService {
    fn from(path: OnRelease) -> Self {
        Self { project: path.project, environment: path.environment, service: path.service }
    }
}

impl App {
    /// The project that is meant.
    pub(crate) async fn project(
        &self,
        organization: OrganizationId,
        text: &str,
    ) -> Result<Project, ApiError> {
        let found = project::find(&self.reads, organization, text).await?;
        found.ok_or_else(|| {
            let hint = "`switchback projects list` shows those there are";
            ApiError::not_found("project_not_found", format!("there is no project `{}`; {hint}", shown(text)))
        })
    }

    /// The environment that is meant.
    pub(crate) async fn environment(
        &self,
        organization: OrganizationId,
        path: &InEnvironment,
    ) -> Result<(Project, Environment), ApiError> {
        let project = self.project(organization, &path.project).await?;
        let id = project.project.id;
        let found = project::environment_of(&self.reads, organization, id, &path.environment).await?;
        let environment = found.ok_or_else(|| {
            let names: Vec<_> = project.environments.iter().map(|one| one.name.as_str()).collect();
            let (name, wanted) = (&project.project.name, shown(&path.environment));
            let message =
                format!("project {name} has no environment `{wanted}`; it has {}", names.join(", "));
            ApiError::not_found("environment_not_found", message)
        })?;
        Ok((project, environment))
    }

    /// The service that is meant.
    pub(crate) async fn service(
        &self,
        organization: OrganizationId,
        path: &OnService,
    ) -> Result<Service, ApiError> {
        let place = InEnvironment { project: path.project.clone(), environment: path.environment.clone() };
        let (project, environment) = self.environment(organization, &place).await?;
        let found = service::find(&self.reads, organization, environment.id, &path.service).await?;
        found.ok_or_else(|| {
            let (wanted, hint) = (shown(&path.service), "`switchback services list` shows those there are");
            let (project, environment) = (&project.project.name, &environment.name);
            let message =
                format!("there is no service `{wanted}` in {environment} of project {project}; {hint}");
            ApiError::not_found("service_not_found", message)
        })
    }

    /// The service that is meant, for whoever needs nothing else of it.
    pub(crate) async fn service_id(
        &self,
        organization: OrganizationId,
        path: &OnService,
    ) -> Result<ServiceId, ApiError> {
        let OnService { project, environment, service } = path;
        match service::locate(&self.reads, organization, project, environment, service).await? {
            Some(id) => Ok(id),
            None => Ok(self.service(organization, path).await?.id),
        }
    }

    /// The deployment that is meant.
    pub(crate) async fn deployment(
        &self,
        organization: OrganizationId,
        text: &str,
    ) -> Result<Deployment, ApiError> {
        let not_found = || {
            let message =
                format!("there is no deployment `{}`; `switchback deployments` shows them", shown(text));
            ApiError::not_found("deployment_not_found", message)
        };
        let id: DeploymentId = text.parse().map_err(|_| not_found())?;
        deployment::get(&self.reads, organization, id).await?.ok_or_else(not_found)
    }
}

/// What somebody gave, cut to a length that can be shown.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
