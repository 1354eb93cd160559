//! What the engine tells by itself: which containers have ended, and which of them nobody asked to.

use std::collections::{HashMap, HashSet};
use std::sync::Weak;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use chrono::Utc;
use domain::service::release::InstanceId;
use eventlog::logs::Channel;
use futures::StreamExt;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::runtime::Exit;
use crate::runtime::docker::container::{Container, exit_in_words};
use crate::runtime::docker::engine::Trouble;
use crate::runtime::docker::{Shared, labels};

/// Before the engine is listened to again, when it went away.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the last lines of an instance may take before the line that says that it ended.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// Containers that were sent a signal and have not ended, at most; more are forgotten.
const ASKED_MAX: usize = 10_000;
/// A signal that asks a program to read its settings again, not to end.
const RELOAD: [&str; 2] = ["1", "SIGHUP"];

/// What was heard by now.
struct Heard {
    /// The moment of the last event, in nanoseconds.
    until: i64,
    /// Containers that were sent a signal: their end was asked for, by whichever process of ours or by an
    /// operator.
    asked: HashSet<String>,
}

/// Listens until the runtime is gone.
pub(super) async fn listen(shared: Weak<Shared>, since: i64) {
    let mut heard = Heard { until: since, asked: HashSet::new() };
    let Some(closing) = shared.upgrade().map(|shared| shared.closing.clone()) else { return };
    let mut is_said = false;
    loop {
        let listening = listen_once(&shared, &mut heard, &mut is_said);
        let ended = tokio::select! {
            () = closing.cancelled() => return,
            ended = listening => ended,
        };
        if let Err(trouble) = ended
            && !is_said
        {
            is_said = true; // Once for each time that it goes away.
            warn!("the Docker Engine is not heard any more: {}", trouble.said);
        }
        let Some(shared) = shared.upgrade() else { return };
        shared.outages.begin(Utc::now());
        // Their containers may have been removed while nobody listened.
        shared.readers().retain(|_, reader| !reader.done.is_cancelled());
        drop(shared);
        sleep(PAUSE).await;
    }
}

async fn listen_once(shared: &Weak<Shared>, heard: &mut Heard, is_said: &mut bool) -> Result<(), Trouble> {
    let Some(strong) = shared.upgrade() else { return Ok(()) };
    strong.engine.version().await?;
    if strong.outages.end(Utc::now()) {
        info!("the Docker Engine is heard again");
    }
    let client = strong.engine.client().await?;
    let ours = labels::is(labels::INSTALLATION, strong.settings.installation);
    drop(strong);
    let mut events = client.events(Some(options(heard.until, ours)));
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| Trouble::new("tell what happens", error))?;
        *is_said = false;
        let Some(shared) = shared.upgrade() else { return Ok(()) };
        let at = event.time_nano.unwrap_or_default();
        // After a pause the last one comes again.
        if at > heard.until {
            heard.until = at;
            hear(&shared, event, &mut heard.asked);
        }
    }
    Ok(())
}

fn options(since: i64, ours: String) -> EventsOptions {
    let filters = [
        ("type", vec!["container".to_owned()]),
        ("event", ["kill", "die", "destroy"].map(str::to_owned).into()),
        ("label", vec![ours]),
    ];
    let since = format!("{}.{:09}", since / 1_000_000_000, since % 1_000_000_000);
    let filters: HashMap<String, Vec<String>> =
        filters.into_iter().map(|(name, values)| (name.to_owned(), values)).collect();
    EventsOptions { since: Some(since), until: None, filters: Some(filters) }
}

fn hear(shared: &std::sync::Arc<Shared>, event: EventMessage, asked: &mut HashSet<String>) {
    let actor = event.actor.unwrap_or_default();
    let (Some(container), Some(attributes)) = (actor.id, actor.attributes) else { return };
    match event.action.as_deref() {
        Some("kill") => {
            let signal = attributes.get("signal").map(String::as_str).unwrap_or_default();
            if !RELOAD.contains(&signal) && asked.len() < ASKED_MAX {
                asked.insert(container);
            }
        }
        Some("die") if !asked.remove(&container) && !shared.is_stopping(&container) => {
            let Some(id) = labels::instance(&attributes) else { return };
            let status = attributes.get("exitCode").and_then(|code| code.parse().ok()).unwrap_or_default();
            tokio::spawn(tell(std::sync::Arc::downgrade(shared), id, container, status));
        }
        Some("destroy") => shared.forget_reader(&container),
        _ => debug!("an event of a container that says nothing new"),
    }
}

/// Tells of an instance that ended by itself, in its log and to whoever listens.
async fn tell(shared: Weak<Shared>, id: InstanceId, container: String, status: i64) {
    let Some(shared) = shared.upgrade() else { return };
    let found = shared.engine.inspect(&container).await.ok().flatten().and_then(Container::of);
    if found.as_ref().and_then(|found| found.finished).is_some_and(|at| shared.outages.cover(at)) {
        return; // Ended by the engine, when it stopped or came back.
    }
    let exit = found.as_ref().map_or_else(|| exit_in_words(status), Container::exit);
    // There may be no reader.
    let _ = shared.exits.send(Exit { id, exit: exit.clone() });
    let reader = shared.readers().get(&id).filter(|reader| reader.container == container).cloned();
    drop(shared);
    if let Some(reader) = reader {
        let _ = timeout(READ_LIMIT, reader.done.cancelled()).await; // Then the line comes before others.
        let at = found.and_then(|found| found.finished).unwrap_or_else(Utc::now);
        reader.output.line_at(Channel::Platform, at, format!("the program ended with {exit}")).await;
    }
}
