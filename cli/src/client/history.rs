//! `history` and `events`: who did what, and the log itself.

use chrono::Utc;
use serde_json::Value;

use crate::args::reading::{Events, History};
use crate::client::failure::Failure;
use crate::client::http::{ApiError, Parameter, read};
use crate::client::model::Entry;
use crate::client::session::Session;
use crate::client::stream::Stream;
use crate::ui::style::Style;
use crate::ui::table::{Cell, Table};
use crate::ui::{Form, time};

/// How many events the server gives at once.
const PAGE: usize = 1_000;
/// What all types begin with; what people write and read is the rest.
const TYPE_PREFIX: &str = domain::event::TYPE_PREFIX;

/// Runs `history`.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn history(session: &Session, wanted: &History) -> Result<(), Failure> {
    let mut query: Vec<Parameter> = Vec::new();
    query.extend(wanted.since.map(|since| ("since", since.to_query())));
    query.extend(wanted.until.map(|until| ("until", until.to_query())));
    query.extend(wanted.actor.clone().map(|actor| ("actor", actor)));
    query.extend(wanted.event_type.clone().map(|event_type| ("type", event_type)));
    // Only what was named: the history of everything is what most people want to see.
    if let Some(project) = &session.target.project {
        query.push(("project", project.clone()));
        query.extend(session.target.service.clone().map(|service| ("service", service)));
        let is_named = session.target.service.is_some() || session.global.environment.is_some();
        query.extend(is_named.then(|| ("environment", session.target.environment.clone())));
    }
    let data = Value::Array(session.api.list(&["history"], &query, wanted.number).await?);
    let entries: Vec<Entry> = read(&data)?;
    let positions: Vec<String> = entries.iter().map(|entry| entry.position.to_string()).collect();
    session.show(&data, &positions.join("\n"), |ui| {
        let now = Utc::now();
        let mut table = Table::new(["POSITION", "WHEN", "WHO", "WHAT"]);
        for entry in &entries {
            let who = entry.actor.name.as_deref().unwrap_or(&entry.actor.kind);
            let what = if entry.summary.is_empty() { &entry.event_type } else { &entry.summary };
            table.row([
                Cell::new(entry.position.to_string(), Style::Faint),
                time::ago(entry.at, now).into(),
                ui.foreign(who).into(),
                ui.foreign(what).into(),
            ]);
        }
        Ok(ui.table(&table)?)
    })
}

/// Runs `events`.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn events(session: &Session, wanted: &Events) -> Result<(), Failure> {
    let types: Vec<Parameter> = wanted.event_type.clone().map(|types| ("type", types)).into_iter().collect();
    if wanted.follow {
        let from = match wanted.from {
            Some(from) => from,
            None => newest(session).await?,
        };
        return follow(session, [types, vec![("from", from.to_string())]].concat()).await;
    }
    let (mut from, mut count) = (wanted.from.unwrap_or(0).to_string(), 0);
    let is_document = session.ui.form() == Form::Json;
    if is_document {
        session.ui.line("[")?;
    }
    loop {
        let query = [("from", from), ("limit", PAGE.to_string())];
        let answer = session.api.get(&["events"], &[&types[..], &query].concat()).await?;
        for event in answer.read::<Vec<Value>>()? {
            if is_document && count > 0 {
                session.ui.line(",")?;
            }
            print(session, &event)?;
            count += 1;
        }
        match answer.next {
            Some(next) => from = next,
            None if is_document => return Ok(session.ui.line("]")?),
            None => return Ok(()),
        }
    }
}

/// Where the log is now.
async fn newest(session: &Session) -> Result<u64, Failure> {
    let query = [("details", "true".to_owned())];
    let listed = session.api.list(&["history"], &query, 1).await?;
    Ok(listed.first().and_then(|entry| entry["position"].as_u64()).unwrap_or(0))
}

async fn follow(session: &Session, query: Vec<Parameter>) -> Result<(), Failure> {
    let mut stream = Stream::new(&session.api, &["events", "stream"], query);
    loop {
        let event = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => return Ok(()),
            event = stream.next() => event?,
        };
        if let Some(event) = event {
            let data: Value = serde_json::from_str(&event.data).map_err(ApiError::NotUnderstood)?;
            print(session, &data)?;
        }
    }
}

/// The stream that a subject names, without what all subjects of an organisation begin with.
fn stream(subject: &str) -> &str {
    let dots = subject.rmatch_indices('.').nth(1);
    dots.map_or(subject, |(at, _)| &subject[at + 1..])
}

fn print(session: &Session, event: &Value) -> Result<(), Failure> {
    let ui = &session.ui;
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    match ui.form() {
        Form::Json => ui.record(event)?,
        Form::Quiet => ui.line(text("id"))?,
        Form::Human => {
            let event_type = text("type").trim_start_matches(TYPE_PREFIX).trim_start_matches('.');
            let place = ui.out_style(Style::Faint, &format!("{:>8} {}", text("sbposition"), text("time")));
            let data = ui.foreign(&event["data"].to_string());
            let subject = ui.out_style(Style::Faint, stream(text("subject")));
            ui.line(&format!("{place} {event_type} {subject} {data}"))?;
        }
    }
    Ok(())
}
