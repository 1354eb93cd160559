//! Releases: what each fixed, and what changed against the one before.

use axum::extract::State;
use commands::policy::Action;
use domain::service::release::ReleaseNumber;
use projections::release::{self, Release};
use serde_json::{Value, json};

use crate::actor::Caller;
use crate::answer::Answer;
use crate::app::App;
use crate::error::ApiError;
use crate::params::{At, PageParams, Params, page};
use crate::resolve::{OnRelease, OnService};

fn view(release: &Release) -> Value {
    json!({
        "number": release.number.to_string(),
        "status": release.status,
        "deployment": release.deployment,
        "revision": release.revision,
        "source": release.source,
        "image": release.image,
        "plan": release.plan,
        "replicas": release.replicas,
        "hostnames": release.hostnames,
        "variables": release.variables,
        "rollback_of": release.rollback_of.map(|number| number.to_string()),
        "before": release.before.map(|number| number.to_string()),
        "changes": release.changes,
        "created_by": release.who,
        "created_at": release.created_at,
        "activated_at": release.live_at,
    })
}

/// Lists a service's releases, newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    At(path): At<OnService>,
    Params(params): Params<PageParams>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let service = app.service(caller.organization(), &path).await?;
    let wanted = page(params.limit, params.cursor.as_deref())?;
    let listed = release::list(&app.reads, caller.organization(), service.id, &wanted).await?;
    let views: Vec<_> = listed.items.iter().map(view).collect();
    Ok(Answer::ok(&views).page(listed.next, listed.limit))
}

/// Shows a release.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    At(path): At<OnRelease>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let wanted = path.release.clone();
    let not_found = || {
        let message = format!("there is no release `{wanted}`; `switchback releases` shows those there are");
        ApiError::not_found("release_not_found", message.chars().take(300).collect::<String>())
    };
    let number: ReleaseNumber = path.release.parse().map_err(|_| not_found())?;
    let service = app.service(caller.organization(), &path.into()).await?;
    let found = release::find(&app.reads, caller.organization(), service.id, number).await?;
    Ok(Answer::ok(&view(&found.ok_or_else(not_found)?)))
}
