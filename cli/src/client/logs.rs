//! `logs`: what an application prints, or how something was built.

use std::collections::VecDeque;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use crate::args::reading::{Build, Logs};
use crate::client::failure::{Exit, Failure};
use crate::client::follow::build_line;
use crate::client::http::{ApiError, read};
use crate::client::model::{Deployment, Line, Release};
use crate::client::session::Session;
use crate::client::stream::Stream;
use crate::ui::Form;
use crate::ui::style::Style;

/// How many lines are shown when nobody says.
const LINES_DEFAULT: usize = 100;
/// How many lines the server gives at once.
const PAGE: usize = 1_000;
/// How many of the last lines it gives.
const TAIL_MAX: usize = 10_000;

/// Runs `logs`.
///
/// # Errors
/// When there is no such log, or the server refuses.
pub(crate) async fn run(session: &Session, logs: &Logs) -> Result<(), Failure> {
    match &logs.build {
        Some(build) => of_build(session, logs, *build).await,
        None => of_application(session, logs).await,
    }
}

async fn of_build(session: &Session, logs: &Logs, build: Build) -> Result<(), Failure> {
    let id = match build {
        Build::Deployment(id) => id.to_string(),
        Build::Release(number) => {
            let place = session.place().await?;
            let path = place.path(&["releases"]);
            let release = session.api.get(&[&path[..], &[&number.to_string()]].concat(), &[]).await?;
            let release: Release = release.read()?;
            release.deployment.ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("release {number} was not made by a deployment"))
            })?
        }
    };
    let path = ["deployments", id.as_str(), "logs"];
    if logs.follow {
        return follow(session, &path, vec![("after", "0".to_owned())], true).await;
    }
    let mut last = VecDeque::new();
    let mut after = 0;
    loop {
        let query = [("after", after.to_string()), ("limit", PAGE.to_string())];
        let lines: Vec<Value> = session.api.get(&path, &query).await?.read()?;
        let count = lines.len();
        for data in lines {
            after = read::<Line>(&data)?.number;
            last.push_back(data);
            match logs.number {
                Some(number) if last.len() > number => drop(last.pop_front()),
                Some(_) => {}
                None => print(session, last.pop_back().as_ref(), true)?,
            }
        }
        if count < PAGE {
            break;
        }
    }
    last.iter().try_for_each(|line| print(session, Some(line), true))
}

async fn of_application(session: &Session, logs: &Logs) -> Result<(), Failure> {
    let place = session.place().await?;
    let path = place.path(&["logs"]);
    let mut query = Vec::new();
    if let Some(since) = logs.since {
        query.push(("since", since.to_query()));
    }
    let number = logs.number.or(logs.since.is_none().then_some(LINES_DEFAULT));
    if let Some(number) = number {
        query.push(("tail", number.min(TAIL_MAX).to_string()));
    }
    if logs.follow {
        return follow(session, &path, query, false).await;
    }
    let lines: Vec<Value> = session.api.get(&path, &query).await?.read()?;
    if lines.is_empty() {
        session.ui.note(&format!("{} has printed nothing.", place.service));
    }
    lines.iter().try_for_each(|line| print(session, Some(line), false))
}

async fn follow(
    session: &Session,
    path: &[&str],
    first: Vec<(&'static str, String)>,
    is_build: bool,
) -> Result<(), Failure> {
    let mut stream = Stream::of_lines(&session.api, path, first);
    let mut last = 0;
    let mut is_over = false;
    loop {
        let event = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => return Ok(()),
            event = stream.next() => event?,
        };
        match event {
            Some(event) if event.name == "line" => {
                let data: Value = serde_json::from_str(&event.data).map_err(ApiError::NotUnderstood)?;
                let number = read::<Line>(&data)?.number;
                if number > last {
                    last = number;
                    print(session, Some(&data), is_build)?;
                }
            }
            Some(event) if event.name == "status" => {
                let deployment = serde_json::from_str::<Deployment>(&event.data);
                is_over = deployment.is_ok_and(|deployment| deployment.status.is_over());
            }
            None if is_over => return Ok(()),
            Some(_) | None => {}
        }
    }
}

fn print(session: &Session, data: Option<&Value>, is_build: bool) -> Result<(), Failure> {
    let Some(data) = data else { return Ok(()) };
    let ui = &session.ui;
    if ui.form() == Form::Json {
        return Ok(ui.record(data)?);
    }
    let line: Line = read(data)?;
    let text = match (ui.form(), is_build) {
        (Form::Quiet, _) => ui.foreign(&line.text),
        (Form::Human | Form::Json, true) => build_line(session, &line),
        (Form::Human | Form::Json, false) => {
            let before = format!("{} {} |", clock(line.at), ui.foreign(&line.origin));
            format!("{} {}", ui.out_style(Style::Faint, &before), ui.foreign(&line.text))
        }
    };
    Ok(ui.line(&text)?)
}

fn clock(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
