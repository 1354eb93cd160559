//! The server that the command line is signed in to, when it runs: what it says of itself.

use serde_json::Value;

use super::{Finding, LIMIT};
use crate::args::Global;
use crate::credentials;

/// Asks it whether it is ready.
pub(super) async fn look(global: &Global) -> Vec<Finding> {
    const WHAT: &str = "server";
    let given = global.url.as_deref().and_then(|url| url.parse().ok());
    let signed_in = || credentials::load().ok().and_then(|credentials| credentials.current());
    let Some(server): Option<url::Url> = given.or_else(signed_in) else { return vec![] };
    let ready = match server.join("/ready") {
        Ok(url) => url,
        Err(error) => return vec![Finding::failed(WHAT, error.to_string(), "give its address with --url")],
    };
    let client = reqwest::Client::builder().timeout(LIMIT).build();
    let asked = match client {
        Ok(client) => client.get(ready).send().await,
        Err(error) => Err(error),
    };
    let answer: Result<Value, reqwest::Error> = match asked {
        Ok(answer) => answer.json().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) if answer["status"] == "ready" => {
            vec![Finding::ok(WHAT, format!("{server} is ready"))]
        }
        Ok(answer) => {
            let engines = answer["engines"].as_object().into_iter().flatten();
            let down = engines.filter(|(_, engine)| engine["state"] != "ok");
            down.map(|(name, engine)| {
                let problem = engine["problem"].as_str().unwrap_or("it does not answer as it should");
                let found = format!("{server} is not ready: its {name} is down: {problem}");
                Finding::failed(
                    WHAT,
                    found,
                    "run `switchback doctor` where that server runs, with its settings",
                )
            })
            .collect()
        }
        Err(error) if error.is_connect() => vec![Finding::warning(
            WHAT,
            format!("nobody answers at {server}, where the command line is signed in to"),
            "start it with `switchback up`, or sign in to another with `switchback login URL`",
        )],
        Err(error) => {
            let found = format!("{server} gave no answer that could be read: {}", error.without_url());
            vec![Finding::warning(WHAT, found, "is it a Switchback server?")]
        }
    }
}
