//! `deployments`, `status`, `cancel`, `redeploy`, `scale`, `open`.

use std::process::{Command, Stdio};

use chrono::Utc;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::args::deployment::{Cancel, Redeploy, Scale};
use crate::args::reading::Deployments;
use crate::client::failure::{Exit, Failure};
use crate::client::follow::{begun, conclude};
use crate::client::http::read;
use crate::client::model::{Deployment, Service};
use crate::client::session::Session;
use crate::ui::table::{Cell, Table};
use crate::ui::{Form, time};

/// Lists deployments.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn list(session: &Session, wanted: &Deployments) -> Result<(), Failure> {
    let place = session.place().await?;
    let listed = session.api.list(&place.path(&["deployments"]), &[], wanted.number).await?;
    let data = Value::Array(listed);
    let deployments: Vec<Deployment> = read(&data)?;
    let ids: Vec<&str> = deployments.iter().map(|deployment| deployment.id.as_str()).collect();
    session.show(&data, &ids.join("\n"), |ui| {
        let now = Utc::now();
        let mut table = Table::new(["ID", "STATUS", "RELEASE", "WHEN", "TOOK", "WHY", "REVISION"]);
        for deployment in &deployments {
            table.row([
                deployment.id.as_str().into(),
                Cell::status(deployment.status.as_str()),
                deployment.release.clone().unwrap_or_default().into(),
                time::ago(deployment.created_at, now).into(),
                deployment.duration().map(time::duration).unwrap_or_default().into(),
                deployment.trigger.clone().unwrap_or_default().into(),
                deployment.revision.as_ref().map(|it| ui.foreign(&it.short())).unwrap_or_default().into(),
            ]);
        }
        Ok(ui.table(&table)?)
    })
}

/// How a service is.
#[derive(Deserialize)]
struct ServiceStatus {
    name: String,
    status: String,
    health: String,
    release: Option<String>,
    url: Option<String>,
    replicas: Replicas,
    exits: Option<Exits>,
}

#[derive(Deserialize)]
struct Replicas {
    wanted: u32,
    ready: u32,
}

/// Instances that ended by themselves.
#[derive(Deserialize)]
struct Exits {
    times: u32,
    last_at: chrono::DateTime<Utc>,
    last_exit: String,
}

/// Shows what runs.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn status(session: &Session) -> Result<(), Failure> {
    let answer = session.api.get(&session.in_environment(&["status"])?, &[]).await?;
    let services: Vec<ServiceStatus> = read(&answer.data["services"])?;
    let words: Vec<String> =
        services.iter().map(|service| format!("{} {}", service.name, service.health)).collect();
    session.show(&answer.data, &words.join("\n"), |ui| {
        if services.is_empty() {
            ui.note("Nothing is here yet; `switchback deploy` changes that.");
            return Ok(());
        }
        let mut table = Table::new(["SERVICE", "STATUS", "HEALTH", "RELEASE", "READY", "URL"]);
        for service in &services {
            table.row([
                service.name.as_str().into(),
                Cell::status(&service.status),
                Cell::status(&service.health),
                service.release.clone().unwrap_or_default().into(),
                format!("{}/{}", service.replicas.ready, service.replicas.wanted).into(),
                service.url.clone().unwrap_or_default().into(),
            ]);
        }
        ui.table(&table)?;
        for service in &services {
            if let Some(Exits { times, last_at, last_exit }) = &service.exits {
                let when = time::ago(*last_at, Utc::now());
                let exit = ui.err_foreign(last_exit);
                ui.note(&format!("{} ended by itself {times} times, last {when}: {exit}", service.name));
            }
        }
        Ok(())
    })
}

/// Cancels a deployment.
///
/// # Errors
/// When it is over, or the server refuses.
pub(crate) async fn cancel(session: &Session, cancel: &Cancel) -> Result<(), Failure> {
    let id = cancel.deployment.to_string();
    let answer = session.api.command(Method::POST, &["deployments", &id, "cancel"], Some(&json!({}))).await?;
    let deployment: Deployment = answer.read()?;
    let how = if deployment.status.is_over() { "is" } else { "is being" };
    session.show(&answer.data, &id, |ui| {
        Ok(ui.line(&format!("Deployment {id} {how} cancelled, with everything it started."))?)
    })
}

/// Deploys again what ran before.
///
/// # Errors
/// When nothing did, or it fails.
pub(crate) async fn redeploy(session: &Session, redeploy: &Redeploy) -> Result<(), Failure> {
    let place = session.place().await?;
    let body = json!({"release": redeploy.release.map(|release| release.to_string())});
    let answer = session.api.command(Method::POST, &place.path(&["deployments"]), Some(&body)).await?;
    let deployment: Deployment = answer.read()?;
    conclude(session, &place, &deployment.id, redeploy.following, &Map::new()).await
}

/// Changes how many instances run.
///
/// # Errors
/// When the number is not allowed, or it fails.
pub(crate) async fn scale(session: &mut Session, scale: &Scale) -> Result<(), Failure> {
    if let Some(service) = &scale.wanted.service {
        session.target.service = Some(service.to_string());
    }
    let place = session.place().await?;
    let replicas = scale.wanted.replicas;
    let body = json!({"replicas": replicas});
    let answer = session.api.command(Method::POST, &place.path(&["scale"]), Some(&body)).await?;
    match begun(&answer.data) {
        Some(id) => conclude(session, &place, id, scale.following, &Map::new()).await,
        None => session.show(&answer.data, "", |ui| {
            Ok(ui.line(&format!(
                "{} will run {replicas} times; nothing is to be changed now.",
                place.service
            ))?)
        }),
    }
}

/// Opens a service in the browser; prints its address where there is none.
///
/// # Errors
/// When it has no address yet.
pub(crate) async fn open(session: &Session) -> Result<(), Failure> {
    let place = session.place().await?;
    let answer = session.api.get(&place.path(&[]), &[]).await?;
    let service: Service = answer.read()?;
    let is_address = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    let url = service
        .url
        .filter(is_address)
        .ok_or_else(|| Failure::new(Exit::NotFound, format!("service {} has no address", place.service)))?;
    if session.ui.form() == Form::Human && session.ui.can_draw() && start_browser(&url) {
        session.ui.note(&format!("Opening {url}"));
        return Ok(());
    }
    session.show(&json!({"url": url}), &url, |ui| Ok(ui.line(&url)?))
}

fn start_browser(url: &str) -> bool {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let nowhere = || Stdio::null();
    Command::new(opener).arg(url).stdin(nowhere()).stdout(nowhere()).stderr(nowhere()).spawn().is_ok()
}
