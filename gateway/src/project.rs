//! Projects and their environments.

use axum::extract::State;
use commands::policy::Action;
use domain::name::{EnvironmentName, ProjectName};
use projections::project::{self, Environment, Project};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::actor::Caller;
use crate::answer::{Answer, Gone};
use crate::app::App;
use crate::error::{ApiError, rejected};
use crate::given::{Given, Nothing};
use crate::params::{At, Params, page};
use crate::resolve::{InEnvironment, InProject};

/// A name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    name: String,
}

/// Which projects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParams {
    q: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

fn view(project: &Project) -> Value {
    let Project { project, environments } = project;
    json!({
        "id": project.id,
        "name": project.name,
        "slug": project.slug,
        "environments": environments.iter().map(environment_view).collect::<Vec<_>>(),
        "services": project.services,
        "created_at": project.created_at,
    })
}

fn environment_view(environment: &Environment) -> Value {
    json!({ "id": environment.id, "name": environment.name, "services": environment.services })
}

/// Lists the projects.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let wanted = page(params.limit, params.cursor.as_deref())?;
    let listed = project::list(&app.reads, caller.organization(), params.q.as_deref(), &wanted).await?;
    let views: Vec<_> = listed.items.iter().map(view).collect();
    Ok(Answer::ok(&views).page(listed.next, listed.limit))
}

/// Makes a project.
pub(crate) async fn create(State(app): State<App>, given: Given<Named>) -> Result<Answer, ApiError> {
    let name: ProjectName = given.body.name.parse().map_err(|invalid| rejected(&invalid))?;
    let organization = given.caller.organization();
    let (id, outcome) = app.bus.create_project(&given.request, organization, name).await?;
    app.reached(outcome.position).await?;
    let made = app.project(organization, &id.to_string()).await?;
    Ok(Answer::created(&view(&made), outcome.position))
}

/// Shows a project.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    At(path): At<InProject>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    Ok(Answer::ok(&view(&app.project(caller.organization(), &path.project).await?)))
}

/// Gives a project another name.
pub(crate) async fn rename(
    State(app): State<App>,
    At(path): At<InProject>,
    given: Given<Named>,
) -> Result<Answer, ApiError> {
    let name: ProjectName = given.body.name.parse().map_err(|invalid| rejected(&invalid))?;
    let organization = given.caller.organization();
    let project = app.project(organization, &path.project).await?.project.id;
    let outcome = app.bus.rename_project(&given.request, organization, project, name).await?;
    app.reached(outcome.position).await?;
    let renamed = app.project(organization, &project.to_string()).await?;
    Ok(Answer::ok(&view(&renamed)).at(outcome.position))
}

/// Deletes a project that has no services.
pub(crate) async fn delete(
    State(app): State<App>,
    At(path): At<InProject>,
    given: Given<Nothing>,
) -> Result<Gone, ApiError> {
    let organization = given.caller.organization();
    let project = app.project(organization, &path.project).await?.project;
    if project.services > 0 {
        let message = format!(
            "project {} still has {} service(s); delete them first with `switchback services delete`",
            project.name, project.services
        );
        return Err(ApiError::conflict("project_not_empty", message));
    }
    let outcome = app.bus.delete_project(&given.request, organization, project.id).await?;
    Ok(Gone(outcome.position))
}

/// Lists the environments of a project.
pub(crate) async fn environments(
    State(app): State<App>,
    caller: Caller,
    At(path): At<InProject>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let project = app.project(caller.organization(), &path.project).await?;
    Ok(Answer::ok(&project.environments.iter().map(environment_view).collect::<Vec<_>>()))
}

/// Adds an environment.
pub(crate) async fn add_environment(
    State(app): State<App>,
    At(path): At<InProject>,
    given: Given<Named>,
) -> Result<Answer, ApiError> {
    let name: EnvironmentName = given.body.name.parse().map_err(|invalid| rejected(&invalid))?;
    let organization = given.caller.organization();
    let project = app.project(organization, &path.project).await?.project.id;
    let (id, outcome) = app.bus.add_environment(&given.request, organization, project, name.clone()).await?;
    Ok(Answer::created(&json!({ "id": id, "name": name, "services": 0 }), outcome.position))
}

/// Removes an environment that has no services.
pub(crate) async fn remove_environment(
    State(app): State<App>,
    At(path): At<InEnvironment>,
    given: Given<Nothing>,
) -> Result<Gone, ApiError> {
    let organization = given.caller.organization();
    let (project, environment) = app.environment(organization, &path).await?;
    if environment.services > 0 {
        let message = format!(
            "environment {} still has {} service(s); delete them first with `switchback services delete`",
            environment.name, environment.services
        );
        return Err(ApiError::conflict("environment_not_empty", message));
    }
    let project = project.project.id;
    let outcome = app.bus.remove_environment(&given.request, organization, project, environment.id).await?;
    Ok(Gone(outcome.position))
}
