//! How the server says that it serves, and where.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use clap::ValueEnum;
use serde_json::json;
use url::Url;

use crate::args::Role;
use crate::home::Home;
use crate::ui::{Form, Ui};

/// Says it of the whole platform.
pub(super) fn up(ui: &Ui, began: Instant, home: &Home, server: &Url, edge: SocketAddr) -> io::Result<()> {
    let took = began.elapsed().as_millis();
    match ui.form() {
        Form::Json => ui.record(&json!({
            "ready": true, "api": server.as_str().trim_end_matches('/'), "edge": edge,
            "data": home.path(), "took_ms": took,
        })),
        Form::Quiet => ui.line("ready"),
        Form::Human => {
            ui.line(&format!("ready in {took} ms"))?;
            ui.line(&format!("  api   {}", server.as_str().trim_end_matches('/')))?;
            ui.line(&format!("  edge  http://<service>.<project>.localhost:{}", edge.port()))?;
            ui.line(&format!("  data  {}", home.path().display()))?;
            ui.line("  stop with Ctrl-C")
        }
    }
}

/// Where a process of some roles is reached.
#[derive(Clone, Default)]
pub(super) struct Addresses {
    /// The API.
    pub(super) api: Option<SocketAddr>,
    /// The edge.
    pub(super) edge: Option<SocketAddr>,
    /// The edge, by HTTPS.
    pub(super) https: Option<SocketAddr>,
    /// Health and figures.
    pub(super) operations: Option<SocketAddr>,
}

/// Says it of some roles.
pub(super) fn roles(
    ui: &Ui,
    began: Instant,
    roles: &BTreeSet<Role>,
    addresses: &Addresses,
) -> io::Result<()> {
    let took = began.elapsed().as_millis();
    let names: Vec<String> = roles
        .iter()
        .filter_map(|role| role.to_possible_value().map(|value| value.get_name().to_owned()))
        .collect();
    let Addresses { api, edge, https, operations } = addresses;
    match ui.form() {
        Form::Json => ui.record(&json!({
            "ready": true, "roles": names, "api": api.map(|api| format!("http://{api}")), "edge": edge,
            "https": https, "operations": operations, "took_ms": took,
        })),
        Form::Quiet => ui.line("ready"),
        Form::Human => {
            ui.line(&format!("ready in {took} ms: {}", names.join(", ")))?;
            let lines = [("api", "http", api), ("edge", "http", edge), ("edge", "https", https)];
            let lines = lines.into_iter().chain([("operations", "http", operations)]);
            for (name, scheme, at) in lines {
                if let Some(at) = at {
                    ui.line(&format!("  {name:<11} {scheme}://{at}"))?;
                }
            }
            Ok(())
        }
    }
}
