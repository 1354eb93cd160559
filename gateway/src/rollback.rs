//! Rollback: the plan, and the doing of it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::rollback::{Plan, Target};
use domain::service::release::ReleaseNumber;
use domain::stream::Position;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::app::App;
use crate::error::ApiError;
use crate::given::Given;
use crate::params::{At, Params};
use crate::resolve::OnService;

/// What to go back to; the release before the current one, when nothing is said.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    to: Option<String>,
    at: Option<DateTime<Utc>>,
    position: Option<u64>,
}

/// Whether to do it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackParams {
    #[serde(default)]
    dry_run: bool,
}

impl Wanted {
    fn target(&self) -> Result<Target, ApiError> {
        match (&self.to, self.at, self.position) {
            (None, None, None) => Ok(Target::Before),
            (Some(release), None, None) => {
                let number: Result<ReleaseNumber, _> = release.parse();
                let invalid = |invalid: domain::service::release::InvalidReleaseNumber| {
                    ApiError::body_invalid("to", invalid.to_string())
                };
                number.map(Target::Release).map_err(invalid)
            }
            (None, Some(at), None) => Ok(Target::Time(at)),
            (None, None, Some(position)) => Ok(Target::Position(Position(position))),
            _ => Err(ApiError::body_invalid("to", "say one of `to`, `at` and `position`, or none of them")),
        }
    }
}

fn plan_view(plan: &Plan) -> Value {
    let changes: Vec<Value> = plan
        .changes
        .iter()
        .map(|change| {
            let mut view = json!(change);
            if let Value::Object(view) = &mut view {
                view.insert("text".into(), json!(change.to_string()));
            }
            view
        })
        .collect();
    json!({
        "from": plan.from.map(|from| from.to_string()),
        "to": plan.to.to_string(),
        "changes": changes,
        "discarded": plan.discarded,
    })
}

/// Shows what a rollback would change, or makes it.
pub(crate) async fn roll_back(
    State(app): State<App>,
    At(path): At<OnService>,
    Params(params): Params<RollbackParams>,
    given: Given<Wanted>,
) -> Result<Response, ApiError> {
    let target = given.body.target()?;
    let organization = given.caller.organization();
    let service = app.service_id(organization, &path).await?;
    if params.dry_run {
        let plan = app.bus.plan_rollback(&given.request, organization, service, target).await?;
        return Ok(Answer::ok(&json!({ "plan": plan_view(&plan) })).into_response());
    }
    let (deployment, plan, outcome) =
        app.bus.roll_back(&given.request, organization, service, target).await?;
    app.reached(outcome.position).await?;
    let deployment = app.deployment(organization, &deployment.to_string()).await?;
    let view = app.deployment_view(&deployment, &given.caller).await?;
    let answer = json!({ "deployment": view, "plan": plan_view(&plan) });
    Ok(Answer::accepted(&answer, outcome.position).into_response())
}
