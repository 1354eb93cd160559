//! What builds and applications print: read, or followed by server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse, Response, Sse as SseAnswer};
use chrono::{DateTime, Utc};
use commands::policy::Action;
use domain::event::Event;
use domain::id::DeploymentId;
use domain::stream::{AggregateKind, Position, StreamId};
use eventlog::commit::RecordedCommit;
use eventlog::log::Filter;
use eventlog::logs::{Line, LogName, MAX_LINES};
use futures::{Stream, StreamExt};
use projections::deployment::Deployment;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::actor::Caller;
use crate::answer::Answer;
use crate::app::App;
use crate::error::ApiError;
use crate::params::{At, Params};
use crate::resolve::OnService;

/// How many lines an answer has when nobody says.
const LINES_DEFAULT: usize = 1_000;
/// How many events wait for a reader that is slower than the log.
const WAITING_MAX: usize = 256;
/// How often a silent stream shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Which lines.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogParams {
    /// Lines after this number.
    pub(crate) after: Option<u64>,
    /// How many at most.
    pub(crate) limit: Option<usize>,
    /// The last so many.
    pub(crate) tail: Option<usize>,
    /// Printed since then.
    pub(crate) since: Option<DateTime<Utc>>,
    /// Whether to go on with what comes.
    #[serde(default)]
    pub(crate) follow: bool,
}

type Events = SseAnswer<axum::response::sse::KeepAliveStream<ReceiverStream<Result<Sse, Infallible>>>>;

/// Reads lines.
pub(crate) async fn read(app: &App, log: LogName, params: &LogParams) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&lines(app, log, params).await?))
}

async fn lines(app: &App, log: LogName, params: &LogParams) -> Result<Vec<Line>, ApiError> {
    let limit = params.limit.unwrap_or(LINES_DEFAULT);
    if !(1..=MAX_LINES).contains(&limit) || params.tail.is_some_and(|tail| tail > MAX_LINES) {
        let message = format!("a log is read by 1 to {MAX_LINES} lines at once");
        return Err(ApiError::parameter("limit", message));
    }
    let found = match (params.tail, params.since) {
        (Some(tail), _) => app.logs.last(log, tail).await?,
        (None, Some(_)) => app.logs.last(log, MAX_LINES).await?,
        (None, None) => app.logs.read(log, params.after.unwrap_or(0), limit).await?,
    };
    let since = params.since.unwrap_or(DateTime::UNIX_EPOCH);
    Ok(found.into_iter().filter(|line| line.at >= since).collect())
}

/// What a service's instances print.
pub(crate) async fn of_service(
    State(app): State<App>,
    caller: Caller,
    At(path): At<OnService>,
    Params(params): Params<LogParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.may(Action::Read)?;
    let service = app.service(caller.organization(), &path).await?;
    let log = LogName::Application(service.id);
    if !params.follow {
        return Ok(read(&app, log, &params).await?.into_response());
    }
    // A tail first, then what comes; a client that lost the connection says where it was.
    let first = match last_event_id(&headers).or(params.after) {
        Some(_) => vec![],
        None => lines(&app, log, &params).await?,
    };
    let after = last_event_id(&headers).or(params.after).or(first.last().map(|line| line.number));
    let after = match after {
        Some(after) => after,
        None => app.logs.last(log, 1).await?.last().map_or(0, |line| line.number),
    };
    Ok(send(app.clone(), |events| async move {
        for line in &first {
            if events.send(line_event(line)).await.is_err() {
                return;
            }
        }
        let mut following = app.logs.follow(log, after).await;
        while let Some(Ok(line)) = following.next().await {
            if events.send(line_event(&line)).await.is_err() {
                return;
            }
        }
    })
    .into_response())
}

/// Follows a deployment: its lines, and how it stands, until it is over and every line of it was sent.
pub(crate) fn follow_deployment(app: App, caller: Caller, deployment: Deployment, after: u64) -> Events {
    send(app.clone(), |events| async move {
        let _ = deployment_events(&app, &caller, deployment, after, &events).await;
    })
}

/// A stream that its reader left, or that cannot go on; the reader comes again with the last id it has seen.
struct Ended;

impl<E: std::error::Error> From<E> for Ended {
    fn from(_: E) -> Self {
        Self
    }
}

async fn deployment_events(
    app: &App,
    caller: &Caller,
    deployment: Deployment,
    mut after: u64,
    events: &mpsc::Sender<Sse>,
) -> Result<(), Ended> {
    let id = deployment.id;
    let log = LogName::Build(id);
    let filter = Filter {
        organization: Some(caller.organization()),
        kinds: vec![AggregateKind::Service, AggregateKind::Deployment],
    };
    let mut changes = app.bus.log().subscribe(deployment.position, filter).await;
    let mut following = app.logs.follow(log, after).await;
    let mut shown = String::new();
    let mut now = deployment;
    loop {
        let view = app.deployment_view(&now, caller).await.map_err(|_| Ended)?.to_string();
        if now.status.is_over() {
            // Every line of a step is stored before its end is recorded, so none comes after this.
            for line in app.logs.read(log, after, MAX_LINES).await? {
                events.send(line_event(&line)).await?;
            }
            return Ok(events.send(Sse::default().event("status").data(view)).await?);
        }
        if view != shown {
            events.send(Sse::default().event("status").data(&view)).await?;
            shown = view;
        }
        let changed = loop {
            tokio::select! {
                line = following.next() => {
                    let line = line.ok_or(Ended)??;
                    after = line.number;
                    events.send(line_event(&line)).await?;
                }
                commit = changes.next() => {
                    let commit = commit.ok_or(Ended)??;
                    if let Some(position) = concerns(&commit, id, now.service.0) {
                        break position;
                    }
                }
            }
        };
        app.reached(changed).await.map_err(|_| Ended)?;
        now = app.deployment(caller.organization(), &id.to_string()).await.map_err(|_| Ended)?;
    }
}

/// Whether a commit may have changed how a deployment stands.
fn concerns(commit: &RecordedCommit, deployment: DeploymentId, service: uuid::Uuid) -> Option<Position> {
    let of_deployment = commit.stream == StreamId::deployment(commit.stream.organization, deployment);
    let of_service = commit.stream.kind == AggregateKind::Service && commit.stream.id == service;
    let matters = commit.events.iter().any(|recorded| match &recorded.event {
        Event::Service(_) => of_service,
        Event::Deployment(_) => of_deployment,
        Event::User(_) | Event::Organization(_) | Event::Project(_) | Event::Claim(_) => false,
    });
    matters.then_some(commit.head.position)
}

fn line_event(line: &Line) -> Sse {
    data_event("line", line).id(line.number.to_string())
}

pub(crate) fn data_event(name: &str, data: &impl Serialize) -> Sse {
    // Lines and rows are made of strings and numbers, which always are JSON.
    Sse::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

/// The id of the last event that a client has seen, when it comes again.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

/// Answers with events that a task makes, for as long as somebody reads and the platform runs.
pub(crate) fn send<F, T>(app: App, make: F) -> Events
where
    F: FnOnce(mpsc::Sender<Sse>) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let (events, waiting) = mpsc::channel::<Sse>(WAITING_MAX);
    let (made, answer) = mpsc::channel(WAITING_MAX);
    let making = make(events);
    tokio::spawn(async move {
        let pass_on = pass_on(ReceiverStream::new(waiting), made);
        tokio::select! {
            ((), ()) = async { tokio::join!(making, pass_on) } => {}
            () = app.shutdown.cancelled() => {}
        }
    });
    SseAnswer::new(ReceiverStream::new(answer)).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

async fn pass_on(mut waiting: impl Stream<Item = Sse> + Unpin, made: mpsc::Sender<Result<Sse, Infallible>>) {
    while let Some(event) = waiting.next().await {
        if made.send(Ok(event)).await.is_err() {
            return;
        }
    }
}
