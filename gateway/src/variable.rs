//! Variables of a service. Values are masked, unless somebody asks to see them, which is recorded.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use commands::keyring::Place;
use commands::policy::Action;
use commands::request::Request;
use commands::service::VariableChange;
use domain::name::VariableName;
use domain::secret::Secret;
use domain::service::Service;
use domain::stream::StreamId;
use projections::variable;
use serde::Deserialize;
use serde_json::json;

use crate::actor::Caller;
use crate::answer::Answer;
use crate::app::App;
use crate::error::{ApiError, rejected};
use crate::given::Given;
use crate::params::{At, Params};
use crate::resolve::OnService;

/// Whether values are shown.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParams {
    #[serde(default)]
    reveal: bool,
}

/// What is to be changed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    unset: BTreeSet<String>,
    #[serde(default = "yes")]
    deploy: bool,
}

const fn yes() -> bool {
    true
}

/// Lists the variables.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    At(path): At<OnService>,
    Params(params): Params<ListParams>,
) -> Result<Answer, ApiError> {
    caller.may(if params.reveal { Action::RevealVariables } else { Action::Read })?;
    let organization = caller.organization();
    let service = app.service(organization, &path).await?;
    let variables = variable::list(&app.reads, organization, service.id).await?;
    if params.reveal {
        let names = variables.iter().map(|variable| variable.name.clone()).collect();
        app.bus.record_reveal(&Request::new(caller.actor()), organization, service.id, names).await?;
    }
    let state = app.bus.state::<Service>(StreamId::service(organization, service.id)).await?;
    let live = state.active().and_then(|active| active.live.as_ref());
    let live = live.map(|live| live.specification.variables.clone()).unwrap_or_default();
    let mut views = vec![];
    for variable in &variables {
        let place = Place { organization, service: service.id, name: &variable.name };
        let value = if params.reveal {
            Some(
                app.bus
                    .keyring()
                    .unseal(place, &variable.sealed)
                    .await
                    .map_err(commands::error::CommandError::from)?,
            )
        } else {
            None
        };
        views.push(json!({
            "name": variable.name,
            "value": value.as_ref().map(Secret::reveal),
            "changed_at": variable.changed_at,
            "deployed": live.get(&variable.name).is_some_and(|sealed| sealed.same_value(&variable.sealed)),
        }));
    }
    Ok(Answer::ok(&views))
}

/// Sets and removes variables.
pub(crate) async fn change(
    State(app): State<App>,
    At(path): At<OnService>,
    given: Given<Change>,
) -> Result<Answer, ApiError> {
    let organization = given.caller.organization();
    let name = |name: &String| name.parse::<VariableName>().map_err(|invalid| rejected(&invalid));
    let mut set = BTreeMap::new();
    for (key, value) in &given.body.set {
        set.insert(name(key)?, Secret::new(value));
    }
    let unset = given.body.unset.iter().map(name).collect::<Result<BTreeSet<_>, _>>()?;
    let service = app.service_id(organization, &path).await?;
    let change = VariableChange { set, unset, deploy: given.body.deploy };
    let (deployment, outcome) =
        app.bus.change_variables(&given.request, organization, service, change).await?;
    app.carried_out(&given.caller, deployment, &outcome).await
}
