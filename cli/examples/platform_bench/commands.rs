//! Commands through the bus and through HTTP, beside the log's engine used bare on the same disk or server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use commands::bus::Bus;
use commands::clock::SystemClock;
use commands::keyring::Keyring;
use commands::request::Request;
use commands::service::VariableChange;
use commands::user::Installation;
use domain::context::Actor;
use domain::id::{OrganizationId, ServiceId, UserId};
use domain::project::Project;
use domain::secret::Secret;
use domain::stream::StreamId;
use eventlog::error::BoxError;
use eventlog::jetstream::{JetStreamLog, Settings};
use eventlog::log::SharedLog;
use eventlog::sqlite::SqliteLog;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::measure::{bare_jetstream, bare_sqlite, rate, remove_streams, settings, tell_beside, text};
use crate::server::Server;

const AT_ONCE: usize = 64;
const OWNER: UserId = UserId(Uuid::from_u128(0xa));
const HOME: OrganizationId = OrganizationId(Uuid::from_u128(0xb));
/// What the issue asks of commands through HTTP on `JetStream`.
const GOAL: f64 = 0.25;

/// What the log is on.
pub(crate) enum Engine {
    /// A file.
    Sqlite,
    /// A server; its name in the table says how it syncs.
    JetStream { name: String, url: String, monitor: String },
}

/// Measures the three, one after the other, twice; the better of each counts.
pub(crate) async fn measure_commands(binary: &Path, dir: &Path, engine: &Engine) -> Result<(), BoxError> {
    let (mut bare, mut bus, mut http) = (0_f64, 0_f64, 0_f64);
    for _ in 0..2 {
        let place = tempfile::tempdir_in(dir)?;
        bare = bare.max(bare_rate(engine, place.path()).await?);
        bus = bus.max(bus_rate(engine, place.path()).await?);
        http = http.max(http_rate(binary, engine, place.path()).await?);
    }
    let (on, beside, goal) = match engine {
        Engine::Sqlite => ("SQLite".to_owned(), "a bare group-commit loop", None),
        Engine::JetStream { name, .. } => {
            (format!("JetStream ({name})"), "the raw client's publishes", Some(GOAL))
        }
    };
    tell_beside(&format!("commands through the bus on {on}, 64 at once"), bus, (beside, bare), None)?;
    tell_beside(&format!("commands through HTTP on {on}, 64 at once"), http, (beside, bare), goal)
}

fn log_settings(url: &str, monitor: &str) -> Settings {
    Settings { monitors: vec![monitor.to_owned()], ..settings(url) }
}

async fn bare_rate(engine: &Engine, place: &Path) -> Result<f64, BoxError> {
    match engine {
        Engine::Sqlite => bare_sqlite(&place.join("bare.db"), AT_ONCE).await,
        Engine::JetStream { url, monitor, .. } => {
            let settings = log_settings(url, monitor);
            // Makes the stream as the platform's is.
            drop(JetStreamLog::connect(&settings).await?);
            let rate = bare_jetstream(&settings, AT_ONCE).await?;
            remove_streams(&settings).await?;
            Ok(rate)
        }
    }
}

async fn bus_rate(engine: &Engine, place: &Path) -> Result<f64, BoxError> {
    let keyring = Keyring::open(&place.join("keys"))?;
    let on = |log: SharedLog| Bus::new(log, Arc::new(SystemClock), keyring);
    match engine {
        Engine::Sqlite => {
            let log = Arc::new(SqliteLog::open(&place.join("log")).await?);
            let rate = change_variables(on(Arc::<SqliteLog>::clone(&log))).await?;
            log.close().await;
            Ok(rate)
        }
        Engine::JetStream { url, monitor, .. } => {
            let settings = log_settings(url, monitor);
            let rate = change_variables(on(Arc::new(JetStreamLog::connect(&settings).await?))).await?;
            remove_streams(&settings).await?;
            Ok(rate)
        }
    }
}

async fn change_variables(bus: Bus) -> Result<f64, BoxError> {
    bus.set_up(Installation { owner: OWNER, organization: HOME }).await?;
    let request = || Request::new(Actor::user(OWNER));
    let (project, _) = bus.create_project(&request(), HOME, "bench".parse()?).await?;
    let state = bus.state::<Project>(StreamId::project(HOME, project)).await?;
    let Project::Active { environments, .. } = state else { return Err("there is no project".into()) };
    let environment = *environments.keys().next().ok_or("an environment")?;
    let mut services = vec![];
    for number in 0..AT_ONCE {
        let name = format!("web-{number}").parse()?;
        let place = (project, environment);
        services.push(bus.create_service(&request(), HOME, place, name, "localhost").await?.0);
    }
    rate(AT_ONCE, |number, done| {
        let (bus, service): (Bus, ServiceId) = (bus.clone(), services[number]);
        async move {
            for count in 0_u64.. {
                let value = Secret::new(format!("{count} {}", text()));
                let set = BTreeMap::from([("COUNTER".parse()?, value)]);
                let change = VariableChange { set, unset: BTreeSet::new(), deploy: false };
                bus.change_variables(&Request::new(Actor::user(OWNER)), HOME, service, change).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
    })
    .await
}

async fn http_rate(binary: &Path, engine: &Engine, place: &Path) -> Result<f64, BoxError> {
    let home = place.join("http");
    std::fs::create_dir_all(&home)?;
    let settings: Vec<&str> = match engine {
        Engine::Sqlite => vec![],
        Engine::JetStream { url, monitor, .. } => {
            vec!["--log", url, "--log-monitor", monitor, "--accept-lax-log"]
        }
    };
    let server = Server::start(binary, &home, &settings)?;
    let api = server.api.clone();
    api.ask(Method::POST, "projects", Some(json!({ "name": "bench" }))).await?;
    let services = "projects/bench/environments/production/services";
    for number in 0..AT_ONCE {
        api.ask(Method::POST, services, Some(json!({ "name": format!("web-{number}") }))).await?;
    }
    let rate = rate(AT_ONCE, |number, done| {
        let (api, path) = (api.clone(), format!("{services}/web-{number}/variables"));
        async move {
            for count in 0_u64.. {
                let set = json!({ "COUNTER": format!("{count} {}", text()) });
                api.ask(Method::PATCH, &path, Some(json!({ "set": set, "deploy": false }))).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
    })
    .await?;
    drop(server);
    if let Engine::JetStream { url, .. } = engine {
        remove_streams(&Settings::new(url)).await?;
    }
    Ok(rate)
}
