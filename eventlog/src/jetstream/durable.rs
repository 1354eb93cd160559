//! Whether what NATS acknowledges survives a power cut.
//!
//! A lone server syncs every two minutes unless it is told otherwise, and tells no client about it: neither
//! when one connects, nor in what it says of a stream. Two places know: the monitoring endpoint, and the
//! system account, when ours may ask it (deploy/engines/README.md). Where neither answers, nothing is proven.

use std::time::Duration;

use async_nats::Subject;
use futures::StreamExt as _;
use serde::Deserialize;
use tracing::warn;

use crate::jetstream::connection::Connection;
use crate::jetstream::{ConnectError, Settings, monitor};

/// With so many replicas, one power cut takes the unsynced writes of a minority only.
const ENOUGH_REPLICAS: usize = 3;
const ASK: &str = "$SYS.REQ.SERVER.PING.JSZ";
/// Servers of a cluster that answer later than this after one another are not waited for.
const ANSWERS_LIMIT: Duration = Duration::from_millis(500);

/// What a server says of itself, at either place.
#[derive(Debug, Default, Deserialize)]
struct Jsz {
    #[serde(default)]
    config: Option<Config>,
}

#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    sync_always: bool,
}

#[derive(Debug, Deserialize)]
struct Answer {
    server: Server,
    #[serde(default)]
    data: Jsz,
}

#[derive(Debug, Deserialize)]
struct Server {
    #[serde(default)]
    name: String,
}

/// Connects to servers that keep what they acknowledge.
pub(super) async fn connect(settings: &Settings) -> Result<Connection, ConnectError> {
    let connection = Connection::open(settings).await?;
    if settings.replicas < ENOUGH_REPLICAS {
        check(&connection).await?;
    }
    Ok(connection)
}

/// Refuses servers that are not proven to sync before they acknowledge, unless that was accepted.
async fn check(connection: &Connection) -> Result<(), ConnectError> {
    let mut servers = ask_system_account(connection).await;
    if servers.is_empty() {
        servers = ask_monitors(connection).await?;
    }
    let found = match servers.iter().find(|(_, syncs)| !syncs) {
        Some((server, _)) => Err(ConnectError::LosesOnPowerCut { server: server.clone() }),
        None if servers.is_empty() => Err(ConnectError::NotProven),
        None => Ok(()),
    };
    match found {
        Err(err) if connection.settings.accept_loss_on_power_cut => {
            warn!("accepted by a setting: {err}");
            Ok(())
        }
        found => found,
    }
}

/// Each server with its name and whether it syncs. Empty when nobody answers.
async fn ask_system_account(connection: &Connection) -> Vec<(String, bool)> {
    let mut servers = Vec::new();
    let client = &connection.client;
    let inbox = Subject::from(client.new_inbox());
    let Ok(mut answers) = client.subscribe(inbox.clone()).await else { return servers };
    if client.publish_with_reply(ASK, inbox, "".into()).await.is_err() {
        return servers;
    }
    while let Ok(Some(message)) = tokio::time::timeout(ANSWERS_LIMIT, answers.next()).await {
        if message.status.is_some() {
            break; // Nobody listens: our account may not ask.
        }
        if let Ok(Answer { server, data: Jsz { config: Some(config) } }) =
            serde_json::from_slice(&message.payload)
        {
            servers.push((server.name, config.sync_always));
        }
    }
    servers
}

async fn ask_monitors(connection: &Connection) -> Result<Vec<(String, bool)>, ConnectError> {
    let mut servers = Vec::new();
    for url in &connection.settings.monitors {
        let unreachable = |source| ConnectError::Unreachable { urls: url.clone(), source };
        let body = monitor::get(url, "/jsz").await.map_err(unreachable)?;
        let jsz: Jsz = serde_json::from_slice(&body).map_err(|source| unreachable(source.into()))?;
        servers.push((url.clone(), jsz.config.is_some_and(|config| config.sync_always)));
    }
    Ok(servers)
}
