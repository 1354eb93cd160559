//! Following a deployment to its end: its output as it is made, and what came of it.
//!
//! Leaving it (Ctrl-C, a time limit, a server that is away) never ends the deployment.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::args::deployment::Following;
use crate::client::failure::{Exit, Failure};
use crate::client::http::{ApiError, read};
use crate::client::model::{Deployment, Line, Status};
use crate::client::session::Session;
use crate::client::sse::Event;
use crate::client::stream::Stream;
use crate::client::target::Place;
use crate::ui::progress::Progress;
use crate::ui::style::Style;
use crate::ui::{Form, time};

/// How long lines may still come after a deployment is over.
const AFTER_THE_END: Duration = Duration::from_secs(2);
/// How many lines of an application that did not come up are shown.
const LAST_LINES: usize = 20;

/// What was begun by a command: the deployment's id, whether the server sends it alone or with all about it.
pub(crate) fn begun(data: &Value) -> Option<&str> {
    let deployment = &data["deployment"];
    deployment.as_str().or_else(|| deployment["id"].as_str())
}

/// Follows a deployment to its end and says what came of it; or says only that it has begun. What the command
/// has to add to the result's JSON is in `extra`.
///
/// # Errors
/// When it did not come to a good end, or was not over in time.
pub(crate) async fn conclude(
    session: &Session,
    place: &Place,
    id: &str,
    following: Following,
    extra: &Map<String, Value>,
) -> Result<(), Failure> {
    if following.detach {
        let deployment = session.api.get(&["deployments", id], &[]).await?.read()?;
        let result = result(&deployment, extra);
        return session.show(&result, id, |ui| {
            ui.line(&format!("Deployment {id} has begun."))?;
            ui.note(&format!("`{}` follows it.", follow_command(id)));
            Ok(())
        });
    }
    let deployment = to_the_end(session, id, following.timeout).await?;
    if session.ui.form() == Form::Json {
        session.ui.record(&result(&deployment, extra))?;
    }
    if deployment.status == Status::Success {
        return announce(session, &deployment);
    }
    Err(failure(session, place, &deployment).await)
}

/// The last line of `--json`.
fn result(deployment: &Deployment, extra: &Map<String, Value>) -> Value {
    let mut result = json!({
        "deployment": deployment.id,
        "release": deployment.release,
        "status": deployment.status.as_str(),
        "commit": deployment.revision.as_ref().map(|revision| &revision.id),
        "image": deployment.image,
        "url": deployment.url,
        "duration_ms": deployment.duration_ms,
    });
    if let (Some(fields), Some(failure)) = (result.as_object_mut(), &deployment.failure) {
        fields.insert("failure".to_owned(), json!(failure));
    }
    if let Some(fields) = result.as_object_mut() {
        fields.extend(extra.clone());
    }
    result
}

fn announce(session: &Session, deployment: &Deployment) -> Result<(), Failure> {
    let url = deployment.url.as_deref().unwrap_or_default();
    match session.ui.form() {
        Form::Json => Ok(()),
        Form::Quiet => Ok(session.ui.line(url)?),
        Form::Human => {
            let release = deployment.release.as_deref().unwrap_or("It");
            let took = deployment.duration().map(|took| format!(" after {}", time::duration(took)));
            let line = format!("{release} is live{}: {url}", took.unwrap_or_default());
            Ok(session.ui.line(&session.ui.out_style(Style::Good, &line))?)
        }
    }
}

fn follow_command(id: &str) -> String {
    format!("switchback logs -f --build {id}")
}

/// What leaves a deployment alone.
fn goes_on(exit: Exit, what: &str, id: &str) -> Failure {
    Failure::new(exit, what)
        .because(format!("deployment {id} goes on"))
        .try_next(format!("`{}` follows it, `switchback cancel {id}` stops it", follow_command(id)))
}

async fn to_the_end(session: &Session, id: &str, limit: Duration) -> Result<Deployment, Failure> {
    let mut follower = Follower::new(session);
    let mut stream =
        Stream::of_lines(&session.api, &["deployments", id, "logs"], vec![("after", "0".into())]);
    let deadline = Instant::now() + limit;
    let mut last: Option<(Deployment, Instant)> = None;
    loop {
        let until = last.as_ref().map_or(deadline, |(_, over)| *over);
        let event = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {
                return Err(goes_on(Exit::Interrupted, "no longer followed", id));
            }
            event = stream.next() => event,
            () = tokio::time::sleep_until(until) => {
                let what = format!("not over after {}", humantime::format_duration(limit));
                return last.map(|(over, _)| over).ok_or_else(|| goes_on(Exit::TimedOut, &what, id));
            }
        };
        let seen = match event {
            Ok(Some(event)) => follower.see(&event)?,
            // The server has said everything, or was stopped: how the deployment stands tells which.
            Ok(None) => match last {
                Some((over, _)) => return Ok(over),
                None => match session.api.get(&["deployments", id], &[]).await {
                    Ok(answer) => Some(answer.data),
                    Err(error) if error.retry_after().is_some() => None,
                    Err(error) => return Err(lost(error, id)),
                },
            },
            Err(error) => return Err(lost(error, id)),
        };
        if let Some(seen) = seen {
            let deployment: Deployment = read(&seen)?;
            follower.stands(&deployment);
            if deployment.status.is_over() {
                last = Some((deployment, Instant::now() + AFTER_THE_END));
            }
        }
    }
}

fn lost(error: ApiError, id: &str) -> Failure {
    let is_refusal = error.code().is_some();
    let failure = Failure::from(error);
    if is_refusal { failure } else { failure.because(format!("what became of deployment {id} is not known")) }
}

/// Shows what is seen.
struct Follower<'a> {
    session: &'a Session,
    progress: Progress,
    last_line: u64,
    waits_for: Option<String>,
}

impl<'a> Follower<'a> {
    fn new(session: &'a Session) -> Self {
        let progress = Progress::waiting(&session.ui);
        progress.message("beginning".to_owned());
        Self { session, progress, last_line: 0, waits_for: None }
    }

    /// Shows an event. Answers with the deployment, when the event says how it stands.
    fn see(&mut self, event: &Event) -> Result<Option<Value>, Failure> {
        let data: Value = serde_json::from_str(&event.data).map_err(ApiError::NotUnderstood)?;
        let is_line = event.name == "line";
        if is_line {
            let line: Line = read(&data)?;
            // A new connection may bring what the old one has brought.
            if line.number <= self.last_line {
                return Ok(None);
            }
            self.last_line = line.number;
            if self.session.ui.form() == Form::Human {
                let shown = build_line(self.session, &line);
                self.progress.above(|| self.session.ui.line(&shown))?;
            }
        }
        if self.session.ui.form() == Form::Json {
            let mut record = json!({"event": event.name});
            if let (Some(record), Value::Object(fields)) = (record.as_object_mut(), &data) {
                record.extend(fields.clone());
            }
            self.session.ui.record(&record)?;
        }
        Ok((event.name == "status").then_some(data))
    }

    fn stands(&mut self, deployment: &Deployment) {
        let doing = match (&deployment.waits_for, deployment.step.as_deref()) {
            (Some(other), _) => format!("waits for deployment {other}"),
            (None, Some(step)) => step_words(step).to_owned(),
            (None, None) => deployment.status.as_str().to_lowercase(),
        };
        if deployment.waits_for.is_some() && deployment.waits_for != self.waits_for {
            self.progress.above(|| self.session.ui.note(&format!("It {doing}.")));
        }
        self.waits_for.clone_from(&deployment.waits_for);
        self.progress.message(doing);
    }
}

/// A line of a build, for people.
pub(crate) fn build_line(session: &Session, line: &Line) -> String {
    let text = session.ui.foreign(&line.text);
    if line.channel == "platform" {
        return session.ui.out_style(Style::Heading, &format!("==> {text}"));
    }
    text
}

fn step_words(step: &str) -> &str {
    match step {
        "fetch" => "fetching the source",
        "detect" => "finding out how to build it",
        "build" => "building",
        "push" => "storing what was built",
        "cut" => "making the release",
        "prepare" => "running the release command",
        "roll_out" => "starting it",
        "verify" => "waiting for it to answer",
        "activate" => "moving the traffic",
        "retire" => "stopping the release before",
        other => other,
    }
}

async fn failure(session: &Session, place: &Place, deployment: &Deployment) -> Failure {
    let id = &deployment.id;
    match (&deployment.status, &deployment.failure) {
        (Status::Cancelled, _) => Failure::new(Exit::Failed, "the deployment was cancelled"),
        (Status::Superseded, _) => {
            Failure::new(Exit::Failed, "a newer deployment took its place before it began")
                .try_next("`switchback deployments` shows which")
        }
        (_, Some(why)) => {
            let step = why.step.as_deref().unwrap_or_default();
            let what = format!("the deployment failed while {}", step_words(step));
            let mut failure = Failure::new(Exit::Failed, what).because(&why.message);
            if matches!(step, "roll_out" | "verify" | "prepare") && session.ui.form() != Form::Json {
                failure = with_last_lines(session, place, deployment, failure).await;
            }
            if let Some(code) = &why.code {
                failure = failure.coded(code);
            }
            failure.try_next(format!("`switchback logs --build {id}` shows all of its output"))
        }
        (_, None) => Failure::new(Exit::Failed, "the deployment failed")
            .try_next(format!("`switchback logs --build {id}` shows its output")),
    }
}

/// What the instances of the release that did not come up have printed. The release before prints into the
/// same log.
async fn with_last_lines(
    session: &Session,
    place: &Place,
    deployment: &Deployment,
    failure: Failure,
) -> Failure {
    let since = deployment.created_at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    let query = [("since", since)];
    let Ok(answer) = session.api.get(&place.path(&["logs"]), &query).await else { return failure };
    let lines: Vec<Line> = answer.read().unwrap_or_default();
    let release = deployment.release.as_deref().unwrap_or_default();
    let is_its =
        |line: &&Line| release.is_empty() || line.origin.split_once('.').is_none_or(|(of, _)| of == release);
    let its: Vec<String> = lines.iter().filter(is_its).map(|line| format!("  {}", line.text)).collect();
    match its.len().saturating_sub(LAST_LINES) {
        _ if its.is_empty() => failure,
        skipped => failure.because(format!("it printed last:\n{}", its[skipped..].join("\n"))),
    }
}
