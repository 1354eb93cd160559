//! `tokens`, `projects`, `environments`, `services`: made, listed, shown, deleted.

use chrono::Utc;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::args::resource::{Environments, Projects, Services, Tokens};
use crate::client::failure::{Exit, Failure};
use crate::client::http::read;
use crate::client::model::{Environment, Project, Service, Token, name_of};
use crate::client::session::Session;
use crate::ui::table::{Cell, Table};
use crate::ui::time;

/// How many are listed at most.
const LISTED_MAX: usize = 1_000;

async fn list_of<T: DeserializeOwned>(session: &Session, path: &[&str]) -> Result<(Value, Vec<T>), Failure> {
    let data = Value::Array(session.api.list(path, &[], LISTED_MAX).await?);
    let items = read(&data)?;
    Ok((data, items))
}

async fn delete(session: &Session, path: &[&str], what: &str, name: &str) -> Result<(), Failure> {
    session.consent(&format!("Delete {what} {name}?")).await?;
    session.api.command(Method::DELETE, path, None).await?;
    session.show(&json!({"deleted": name}), name, |ui| Ok(ui.line(&format!("Deleted {what} {name}."))?))
}

/// Runs `tokens`.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn tokens(session: &Session, tokens: Tokens) -> Result<(), Failure> {
    let path = ["auth", "tokens"];
    match tokens {
        Tokens::List => {
            let answer = session.api.get(&path, &[]).await?;
            let listed: Vec<Token> = answer.read()?;
            let ids: Vec<&str> = listed.iter().map(|token| token.id.as_str()).collect();
            session.show(&answer.data, &ids.join("\n"), |ui| {
                let mut table = Table::new(["ID", "MADE", "NAME"]);
                for token in &listed {
                    let made = time::ago(token.created_at, Utc::now());
                    table.row([token.id.as_str().into(), made.into(), Cell::from(ui.foreign(&token.name))]);
                }
                Ok(ui.table(&table)?)
            })
        }
        Tokens::Create { name } => {
            let answer = session.api.command(Method::POST, &path, Some(&json!({"name": name}))).await?;
            let token = answer.data["token"].as_str().unwrap_or_default();
            session.show(&answer.data, token, |ui| {
                ui.line(token)?;
                ui.note("Keep it safe: it is shown this once. `switchback login` signs in with it.");
                Ok(())
            })
        }
        Tokens::Delete { id } => delete(session, &[&path[..], &[&id]].concat(), "token", &id).await,
    }
}

/// Runs `projects`.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn projects(session: &Session, projects: Projects) -> Result<(), Failure> {
    match projects {
        Projects::List => {
            let (data, listed) = list_of::<Project>(session, &["projects"]).await?;
            let names: Vec<&str> = listed.iter().map(|project| project.name.as_str()).collect();
            session.show(&data, &names.join("\n"), |ui| {
                let mut table = Table::new(["NAME", "SERVICES", "MADE", "ENVIRONMENTS"]);
                for project in &listed {
                    table.row([
                        project.name.as_str().into(),
                        name_of(&project.services).into(),
                        time::ago(project.created_at, Utc::now()).into(),
                        Cell::from(environment_names(&project.environments)),
                    ]);
                }
                Ok(ui.table(&table)?)
            })
        }
        Projects::Create { name } => {
            let body = json!({"name": name});
            let answer = session.api.command(Method::POST, &["projects"], Some(&body)).await?;
            let project: Project = answer.read()?;
            session.show(&answer.data, &project.name, |ui| {
                let environments = environment_names(&project.environments);
                Ok(ui.line(&format!("Made project {}, with {environments}.", project.name))?)
            })
        }
        Projects::Show { name } => {
            let name = name.map_or_else(|| session.target.project().map(ToOwned::to_owned), Ok)?;
            let answer = session.api.get(&["projects", &name], &[]).await?;
            let project: Project = answer.read()?;
            session.show(&answer.data, &project.name, |ui| {
                let mut table = Table::of_fields();
                table.field("name", Some(project.name.as_str()));
                table.field("id", Some(project.id.as_str()));
                table.field("slug", Some(project.slug.as_str()));
                table.field("environments", Some(environment_names(&project.environments)));
                table.field("services", Some(name_of(&project.services)));
                table.field("made", Some(time::ago(project.created_at, Utc::now())));
                Ok(ui.table(&table)?)
            })
        }
        Projects::Rename { name, to } => {
            let body = json!({"name": to});
            let answer = session.api.command(Method::PATCH, &["projects", &name], Some(&body)).await?;
            session.show(&answer.data, to.as_str(), |ui| {
                Ok(ui.line(&format!("Project {name} is now called {to}."))?)
            })
        }
        Projects::Delete { name } => delete(session, &["projects", &name], "project", &name).await,
    }
}

fn environment_names(environments: &[Environment]) -> String {
    environments.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Runs `environments`.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn environments(session: &Session, environments: Environments) -> Result<(), Failure> {
    let path = session.in_project(&["environments"])?;
    match environments {
        Environments::List => {
            let answer = session.api.get(&path, &[]).await?;
            let listed: Vec<Environment> = answer.read()?;
            let names: Vec<&str> = listed.iter().map(|environment| environment.name.as_str()).collect();
            session.show(&answer.data, &names.join("\n"), |ui| {
                let mut table = Table::new(["NAME", "ID"]);
                for environment in &listed {
                    table.row([environment.name.as_str(), environment.id.as_str()].map(Cell::from));
                }
                Ok(ui.table(&table)?)
            })
        }
        Environments::Create { name } => {
            let answer = session.api.command(Method::POST, &path, Some(&json!({"name": name}))).await?;
            session.show(&answer.data, name.as_str(), |ui| {
                Ok(ui.line(&format!("Made environment {name} in {}.", session.target.project()?))?)
            })
        }
        Environments::Show { name } => {
            let name = name.unwrap_or_else(|| session.target.environment.clone());
            show_environment(session, &path, &name).await
        }
        Environments::Delete { name } => {
            delete(session, &[&path[..], &[&name]].concat(), "environment", &name).await
        }
    }
}

async fn show_environment(session: &Session, path: &[&str], name: &str) -> Result<(), Failure> {
    let answer = session.api.get(path, &[]).await?;
    let listed: Vec<Environment> = answer.read()?;
    let environment = listed.iter().find(|one| one.name == name || one.id == name).ok_or_else(|| {
        let names = environment_names(&listed);
        Failure::new(Exit::NotFound, format!("there is no environment `{name}`"))
            .because(format!("there are {names}"))
            .coded("environment_not_found")
    })?;
    let path = [path, &[&environment.name, "services"]].concat();
    let (data, services) = list_of::<Service>(session, &path).await?;
    let shown = json!({"id": environment.id, "name": environment.name, "services": data});
    session.show(&shown, &environment.name, |ui| {
        let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
        let mut table = Table::of_fields();
        table.field("name", Some(environment.name.as_str()));
        table.field("id", Some(environment.id.as_str()));
        table.field("services", Some(names.join(", ")));
        Ok(ui.table(&table)?)
    })
}

/// Runs `services`.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn services(session: &Session, services: Services) -> Result<(), Failure> {
    let path = session.in_environment(&["services"])?;
    match services {
        Services::List => {
            let (data, listed) = list_of::<Service>(session, &path).await?;
            let names: Vec<&str> = listed.iter().map(|service| service.name.as_str()).collect();
            session.show(&data, &names.join("\n"), |ui| {
                let mut table = Table::new(["NAME", "STATUS", "RELEASE", "REPLICAS", "URL"]);
                for service in &listed {
                    table.row([
                        service.name.as_str().into(),
                        Cell::status(&service.status),
                        service.release.clone().unwrap_or_default().into(),
                        name_of(&service.replicas).into(),
                        service.url.clone().unwrap_or_default().into(),
                    ]);
                }
                Ok(ui.table(&table)?)
            })
        }
        Services::Create { name } => {
            let answer = session.api.command(Method::POST, &path, Some(&json!({"name": name}))).await?;
            session.show(&answer.data, name.as_str(), |ui| {
                let (project, environment) = (session.target.project()?, &session.target.environment);
                Ok(ui.line(&format!("Made service {name} in {environment} of {project}."))?)
            })
        }
        Services::Show { name } => {
            let name = match name {
                Some(name) => name,
                None => session.place().await?.service,
            };
            let answer = session.api.get(&[&path[..], &[&name]].concat(), &[]).await?;
            let service: Service = answer.read()?;
            session.show(&answer.data, &service.name, |ui| {
                let mut table = Table::of_fields();
                table.field("name", Some(service.name.as_str()));
                table.field("id", Some(service.id.as_str()));
                table.field("project", Some(service.project.as_str()));
                table.field("environment", Some(service.environment.as_str()));
                table.field("status", Some(Cell::status(&service.status)));
                table.field("release", service.release.as_deref());
                table.field("deployment", service.deployment.as_deref());
                table.field("replicas", Some(name_of(&service.replicas)));
                table.field("url", service.url.as_deref());
                table.field("made", Some(time::ago(service.created_at, Utc::now())));
                Ok(ui.table(&table)?)
            })
        }
        Services::Delete { name } => delete(session, &[&path[..], &[&name]].concat(), "service", &name).await,
    }
}
