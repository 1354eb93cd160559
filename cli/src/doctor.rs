//! Looks at everything that the platform stands on, with the settings it would be started with, and says what
//! is wrong and what to do. It changes nothing.

mod docker;
mod engines;
mod machine;
mod server;

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use crate::args::{Doctor, Global};
use crate::client::failure::{Exit, Failure};
use crate::ui::{Form, Ui};

/// How long one look may take.
const LIMIT: Duration = Duration::from_secs(15);

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// It works, and somebody should know something of it.
    Warning,
    /// It would keep the platform from working.
    Failed,
}

/// What was found when something was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at: `event log`, `registry`.
    what: &'static str,
    /// How it is.
    state: State,
    /// What was seen.
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, state: State::Ok, found: found.into(), advice: None }
    }

    fn warning(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, state: State::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    fn failed(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, state: State::Failed, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Looks at everything, and reports.
pub(crate) async fn doctor(doctor: Doctor, global: &Global) -> ExitCode {
    let ui = Ui::new(global);
    let settings = &doctor.settings;
    let mut findings = machine::look(settings);
    let (engines, docker, server) =
        tokio::join!(engines::look(settings), docker::look(settings), server::look(global));
    findings.extend(engines.into_iter().chain(docker).chain(server));
    match report(&ui, &findings) {
        Ok(()) if findings.iter().all(|finding| finding.state != State::Failed) => ExitCode::SUCCESS,
        Ok(()) => Exit::Failed.into(),
        Err(error) => Failure::from(error).report(&ui),
    }
}

fn report(ui: &Ui, findings: &[Finding]) -> std::io::Result<()> {
    let worst = findings.iter().map(|finding| finding.state).max().unwrap_or(State::Ok);
    match ui.form() {
        Form::Json => ui.record(&serde_json::json!({ "state": worst, "findings": findings })),
        Form::Quiet => {
            for finding in findings.iter().filter(|finding| finding.state != State::Ok) {
                ui.line(&format!("{}: {}", finding.what, finding.found))?;
            }
            Ok(())
        }
        Form::Human => {
            let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
            for finding in findings {
                let word = match finding.state {
                    State::Ok => "ok",
                    State::Warning => "warning",
                    State::Failed => "FAILED",
                };
                ui.line(&format!("{word:<8} {:<width$}  {}", finding.what, finding.found))?;
                for line in finding.advice.iter().flat_map(|advice| advice.lines()) {
                    ui.line(&format!("{:<8} {:<width$}    {line}", "", ""))?;
                }
            }
            Ok(())
        }
    }
}

/// An error and what led to it, in one line.
fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let said = error.to_string();
        if !words.contains(&said) {
            words.push_str(": ");
            words.push_str(&said);
        }
        source = error.source();
    }
    words
}
