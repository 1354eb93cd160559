//! What a program of the application is given: its variables, opened, and what the platform adds.

use std::collections::BTreeMap;

use commands::keyring::{KeyringError, Place};
use domain::name::VariableName;
use domain::project::Project;
use domain::secret::{Sealed, Secret};
use domain::service::Active;
use domain::service::release::{ReleaseNumber, Specification};
use domain::stream::StreamId;

use super::InHand;
use crate::builder::process::run_defaults;
use crate::context::Context;
use crate::runtime::Environment;
use crate::step::StepError;

/// The variables in the clear.
pub(super) async fn open(
    step: &InHand<'_>,
    sealed: &BTreeMap<VariableName, Sealed>,
) -> Result<BTreeMap<String, Secret>, StepError> {
    open_variables(step.context, step.service_stream(), sealed).await
}

/// The variables of a service in the clear.
pub(crate) async fn open_variables(
    context: &Context,
    service: StreamId,
    sealed: &BTreeMap<VariableName, Sealed>,
) -> Result<BTreeMap<String, Secret>, StepError> {
    let mut opened = BTreeMap::new();
    for (name, value) in sealed {
        let place = Place { organization: service.organization, service: service.id.into(), name };
        let secret =
            context.bus.keyring().unseal(place, value).await.map_err(|error| unreadable(name, error))?;
        opened.insert(name.to_string(), secret);
    }
    Ok(opened)
}

fn unreadable(name: &VariableName, error: KeyringError) -> StepError {
    let permanent = !error.is_passing();
    let message = if permanent {
        format!("the value of {name} cannot be opened; set it again")
    } else {
        format!("the key of {name} cannot be reached at the moment")
    };
    StepError { code: "secret_unreadable", message, permanent, source: Some(Box::new(error)) }
}

/// Everything that a program of a release is given.
pub(crate) async fn of_release(
    context: &Context,
    service: StreamId,
    active: &Active,
    number: ReleaseNumber,
    specification: &Specification,
) -> Result<Environment, StepError> {
    let defaults = run_defaults(specification.build.plan.language);
    let mut variables: BTreeMap<String, Secret> =
        defaults.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
    variables.extend(open_variables(context, service, &specification.variables).await?);
    let project = StreamId::project(service.organization, active.project);
    let environment = match context.bus.state::<Project>(project).await? {
        Project::Active { environments, .. } => {
            environments.get(&active.environment).map(ToString::to_string).unwrap_or_default()
        }
        Project::Absent | Project::Deleted => String::new(),
    };
    let build = &specification.build;
    let revision = build.revision.as_ref().map(|revision| revision.id.to_string()).unwrap_or_default();
    let added = [
        ("SWITCHBACK_RELEASE", number.to_string()),
        ("SWITCHBACK_COMMIT", revision),
        ("SWITCHBACK_SERVICE", active.name.to_string()),
        ("SWITCHBACK_ENVIRONMENT", environment),
    ];
    variables.extend(added.map(|(name, value)| (name.to_owned(), Secret::new(value))));
    let run = &build.plan.run;
    Ok(Environment {
        organization: service.organization,
        service: service.id.into(),
        files: context.registry.locate(service.id.into(), build).await?,
        root: build.plan.root.clone(),
        port: run.port,
        read_only: run.read_only,
        variables,
        memory_bytes: run.memory_bytes,
        cpu_millis: run.cpu_millis,
    })
}
