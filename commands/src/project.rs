//! Commands on projects. The slug is claimed before the project is made or renamed.

use domain::claim::{Key, Owner};
use domain::id::{EnvironmentId, OrganizationId, ProjectId};
use domain::name::{EnvironmentName, ProjectName};
use domain::project::{Command, Environment, Project, Rejection};
use domain::stream::StreamId;

use crate::bus::{Bus, Outcome};
use crate::error::CommandError;
use crate::policy::Action;
use crate::request::Request;

/// The environments that a project begins with.
pub const FIRST_ENVIRONMENTS: [&str; 2] = ["production", "staging"];

impl Bus {
    /// Makes a project.
    ///
    /// # Errors
    /// [`CommandError`]; `project_name_taken` when another has the slug.
    pub async fn create_project(
        &self,
        request: &Request,
        organization: OrganizationId,
        name: ProjectName,
    ) -> Result<(ProjectId, Outcome), CommandError> {
        self.authorize(request, organization, Action::ManageProjects).await?;
        let project = ProjectId(request.fresh_id("project"));
        let stream = StreamId::project(organization, project);
        self.claim_slug(request, organization, &name, stream).await?;
        let environments = FIRST_ENVIRONMENTS.iter().filter_map(|environment| {
            let id = EnvironmentId(request.fresh_id(environment));
            Some(Environment { id, name: environment.parse().ok()? })
        });
        let command = Command::Create { name, environments: environments.collect() };
        let outcome = self.dispatch::<Project>(request, stream, command).await?;
        Ok((project, outcome))
    }

    /// Gives a project another name. Hostnames of its services stay as they are.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn rename_project(
        &self,
        request: &Request,
        organization: OrganizationId,
        project: ProjectId,
        name: ProjectName,
    ) -> Result<Outcome, CommandError> {
        self.authorize(request, organization, Action::ManageProjects).await?;
        let stream = StreamId::project(organization, project);
        let Project::Active { name: before, .. } = self.state::<Project>(stream).await? else {
            return Err(CommandError::rejected(&Rejection::NotFound));
        };
        self.claim_slug(request, organization, &name, stream).await?;
        let outcome =
            self.dispatch::<Project>(request, stream, Command::Rename { name: name.clone() }).await?;
        if before.slug() != name.slug() {
            let key = Key::ProjectSlug { organization, slug: before.slug() };
            self.release(request, &key, stream.into()).await?;
        }
        Ok(outcome)
    }

    /// Deletes a project. The caller has seen that it has no services; one that is made at the same moment
    /// finds the project gone and is taken back.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn delete_project(
        &self,
        request: &Request,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Result<Outcome, CommandError> {
        self.authorize(request, organization, Action::ManageProjects).await?;
        let stream = StreamId::project(organization, project);
        let before = self.state::<Project>(stream).await?;
        let outcome = self.dispatch::<Project>(request, stream, Command::Delete).await?;
        if let Project::Active { name, .. } = before {
            let key = Key::ProjectSlug { organization, slug: name.slug() };
            self.release(request, &key, stream.into()).await?;
        }
        Ok(outcome)
    }

    /// Adds an environment.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn add_environment(
        &self,
        request: &Request,
        organization: OrganizationId,
        project: ProjectId,
        name: EnvironmentName,
    ) -> Result<(EnvironmentId, Outcome), CommandError> {
        self.authorize(request, organization, Action::ManageProjects).await?;
        let environment = Environment { id: EnvironmentId(request.fresh_id("environment")), name };
        let id = environment.id;
        let stream = StreamId::project(organization, project);
        let outcome =
            self.dispatch::<Project>(request, stream, Command::AddEnvironment { environment }).await?;
        Ok((id, outcome))
    }

    /// Removes an environment that has no services.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn remove_environment(
        &self,
        request: &Request,
        organization: OrganizationId,
        project: ProjectId,
        environment: EnvironmentId,
    ) -> Result<Outcome, CommandError> {
        self.authorize(request, organization, Action::ManageProjects).await?;
        let stream = StreamId::project(organization, project);
        self.dispatch::<Project>(request, stream, Command::RemoveEnvironment { environment }).await
    }

    async fn claim_slug(
        &self,
        request: &Request,
        organization: OrganizationId,
        name: &ProjectName,
        project: StreamId,
    ) -> Result<(), CommandError> {
        let key = Key::ProjectSlug { organization, slug: name.slug() };
        let taken = || {
            let message =
                format!("a project named `{name}` exists already; choose another name, or use that one");
            CommandError::conflict("project_name_taken", Some("name"), message)
        };
        self.claim(request, key, Owner::from(project)).await.map_err(|error| match error.code() {
            Some("name_taken") => taken(),
            Some(_) | None => error,
        })
    }
}
