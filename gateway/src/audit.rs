//! History: who did what, when, with what effect; newest first.

use axum::extract::State;
use chrono::{DateTime, Utc};
use commands::policy::Action;
use domain::id::UserId;
use projections::audit;
use projections::user;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::actor::Caller;
use crate::answer::Answer;
use crate::app::App;
use crate::error::ApiError;
use crate::params::{Params, page};
use crate::resolve::{InEnvironment, OnService};

/// Which entries.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryParams {
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    /// Name or id of a user.
    actor: Option<String>,
    /// `service.release_cut`, or a beginning of it.
    #[serde(rename = "type")]
    event_type: Option<String>,
    project: Option<String>,
    environment: Option<String>,
    service: Option<String>,
    q: Option<String>,
    /// Also the steps of deployments, one by one.
    #[serde(default)]
    details: bool,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Lists the history.
pub(crate) async fn history(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<HistoryParams>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let filter = filter(&app, &caller, &params).await?;
    let wanted = page(params.limit, params.cursor.as_deref())?;
    let listed = audit::list(&app.reads, caller.organization(), &filter, &wanted).await?;
    let views: Vec<_> = listed.items.iter().map(view).collect();
    Ok(Answer::ok(&views).page(listed.next, listed.limit))
}

async fn filter(app: &App, caller: &Caller, params: &HistoryParams) -> Result<audit::Filter, ApiError> {
    let organization = caller.organization();
    let mut filter = audit::Filter {
        since: params.since,
        until: params.until,
        event_type: params.event_type.clone(),
        text: params.q.clone(),
        without_details: !params.details && params.event_type.is_none(),
        ..audit::Filter::default()
    };
    if let Some(actor) = &params.actor {
        filter.person = Some(person(app, caller, actor).await?);
    }
    let Some(project) = &params.project else {
        if params.environment.is_some() || params.service.is_some() {
            let message = "an environment or a service is looked for in a project: say `project` too";
            return Err(ApiError::parameter("project", message));
        }
        return Ok(filter);
    };
    let found = app.project(organization, project).await?;
    filter.project = Some(found.project.id);
    if let Some(environment) = &params.environment {
        let path = InEnvironment { project: project.clone(), environment: environment.clone() };
        filter.environment = Some(app.environment(organization, &path).await?.1.id);
    }
    if let Some(service) = &params.service {
        let environment = params.environment.clone().unwrap_or_else(|| "production".into());
        let path = OnService { project: project.clone(), environment, service: service.clone() };
        filter.service = Some(app.service_id(organization, &path).await?);
    }
    Ok(filter)
}

async fn person(app: &App, caller: &Caller, text: &str) -> Result<UserId, ApiError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let names = user::names(&app.reads, caller.organization()).await?;
    let found = names.into_iter().find(|(_, name)| name == text).map(|(id, _)| id);
    found.ok_or_else(|| ApiError::parameter("actor", format!("nobody here is called `{text}`")))
}

fn view(entry: &audit::Entry) -> Value {
    json!({
        "position": entry.position,
        "at": entry.at,
        "actor": entry.who,
        "type": entry.event_type,
        "summary": entry.summary,
        "project": entry.project_name,
        "environment": entry.environment_name,
        "service": entry.service_name,
        "deployment": entry.deployment,
        "command": entry.command,
        "correlation": entry.correlation,
    })
}
