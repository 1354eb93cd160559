//! The project and the service that a deployment goes to: made when they are not there, after asking whoever
//! can be asked.

use domain::name::{ProjectName, ServiceName};
use reqwest::Method;
use serde_json::json;

use super::is_missing;
use crate::client::failure::{Exit, Failure};
use crate::client::session::{Session, no_answer};
use crate::client::target::Place;

/// Where a deployment shall go.
pub(super) struct Wanted {
    pub(super) place: Place,
    /// Whether the project was named, rather than guessed.
    pub(super) is_project_named: bool,
    /// Whether the service was named.
    pub(super) is_service_named: bool,
    /// What is deployed, for the question.
    pub(super) what: String,
}

/// Sees that project and service are there.
///
/// # Errors
/// When they cannot be made, or somebody does not want them.
pub(super) async fn make(session: &Session, mut wanted: Wanted) -> Result<Place, Failure> {
    let api = &session.api;
    let mut found = api.get(&wanted.place.path(&[]), &[]).await;
    if matches!(&found, Err(error) if is_missing(error, "project_not_found")) {
        make_project(session, &mut wanted).await?;
        found = api.get(&wanted.place.path(&[]), &[]).await;
    }
    match found {
        Ok(_) => Ok(wanted.place),
        Err(error) if is_missing(&error, "service_not_found") => {
            make_service(session, &mut wanted).await?;
            Ok(wanted.place)
        }
        Err(error) if is_missing(&error, "environment_not_found") => {
            let Place { project, environment, .. } = &wanted.place;
            let command = format!("switchback environments create {environment} -p {project}");
            Err(Failure::from(error).try_next(format!("`{command}` makes it")))
        }
        Err(error) => Err(error.into()),
    }
}

async fn make_project(session: &Session, wanted: &mut Wanted) -> Result<(), Failure> {
    let name = &mut wanted.place.project;
    if session.ui.can_ask() {
        if wanted.is_project_named {
            let question = format!("There is no project {name}. Make it?");
            consent(session.ui.confirm(&question, true).await.map_err(no_answer)?)?;
        } else {
            session.ui.note(&format!("To deploy {}, a project is needed.", wanted.what));
            let chosen = session.ui.prompt("Name of the project", name).await.map_err(no_answer)?;
            if chosen != *name {
                session.ui.note(&format!(
                    "`project = \"{chosen}\"` in switchback.toml names it for the commands to come."
                ));
            }
            *name = chosen;
        }
    }
    let valid: ProjectName = name.parse().map_err(|error| invalid(&error, "-p"))?;
    let answer = session.api.command(Method::POST, &["projects"], Some(&json!({"name": valid}))).await;
    match answer {
        // Somebody chose the name of one that is there.
        Err(error) if is_missing(&error, "project_name_taken") && !wanted.is_project_named => return Ok(()),
        answer => answer?,
    };
    session.ui.note(&format!("Made project {valid}."));
    Ok(())
}

async fn make_service(session: &Session, wanted: &mut Wanted) -> Result<(), Failure> {
    let Place { project, environment, service: name } = &mut wanted.place;
    if session.ui.can_ask() {
        if wanted.is_service_named {
            let question = format!("There is no service {name} in {environment} of {project}. Make it?");
            consent(session.ui.confirm(&question, true).await.map_err(no_answer)?)?;
        } else {
            *name = session.ui.prompt("Name of the service", name).await.map_err(no_answer)?;
        }
    }
    let valid: ServiceName = name.parse().map_err(|error| invalid(&error, "-s"))?;
    let path = ["projects", project, "environments", environment, "services"];
    let answer = session.api.command(Method::POST, &path, Some(&json!({"name": valid}))).await;
    match answer {
        Err(error) if is_missing(&error, "service_name_taken") && !wanted.is_service_named => return Ok(()),
        answer => answer?,
    };
    session.ui.note(&format!("Made service {valid} in {environment} of {project}."));
    Ok(())
}

fn consent(is_given: bool) -> Result<(), Failure> {
    if is_given { Ok(()) } else { Err(Failure::new(Exit::Failed, "nothing was deployed")) }
}

fn invalid(error: &domain::name::InvalidName, option: &str) -> Failure {
    Failure::usage(error.to_string()).try_next(format!("name another with {option}"))
}
