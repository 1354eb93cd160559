//! The router: reads the log, asks the sagas' pure half what a state wants, and sees to it: work goes into
//! the queue, commands to the bus.
//!
//! It keeps no state that matters. Asked again for the same state it does the same, and doing the same again
//! changes nothing: an item of work that is there is not added twice, a command whose effect holds has none.

use std::collections::HashMap;
use std::time::Duration;

use commands::error::CommandError;
use commands::request::Request;
use domain::context::Actor;
use domain::deployment::{Deployment, Work};
use domain::id::{CorrelationId, DeploymentId, EventId, OrganizationId, ServiceId, UserId};
use domain::saga::Effect;
use domain::saga::deployment::{react, react_to_service, wakes};
use domain::service::Service;
use domain::stream::{AggregateKind, Position, StreamId, Version};
use eventlog::commit::RecordedCommit;
use eventlog::crash_point;
use eventlog::error::{ReadError, StoreError};
use eventlog::log::Filter;
use eventlog::queue::Item;
use eventlog::trace::{self, Traceparent};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::context::Context;
use crate::measure::Duty;

/// How many commits are looked at together; a stream that is among them several times is looked at once.
const BATCH_MAX: usize = 500;
/// How many streams are looked at at once.
const STREAMS_AT_ONCE: usize = 32;
/// How long to wait before going on after an error.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// What an item of work says: for which deployment, in whose name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Whose it is.
    pub organization: OrganizationId,
    /// The deployment.
    pub deployment: DeploymentId,
    /// What is to be done.
    pub work: Work,
    /// The how-manieth try.
    pub attempt: u32,
    /// The person who began it.
    pub on_behalf_of: Option<UserId>,
    /// The chain it belongs to.
    pub correlation: CorrelationId,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Traceparent>,
}

impl Job {
    /// The request under which a worker records what it did.
    #[must_use]
    pub fn request(&self) -> Request {
        Request {
            correlation: self.correlation,
            traceparent: self.trace.map(String::from),
            ..Request::new(Actor::saga(self.on_behalf_of))
        }
    }

    /// What the item is known by: the same for the same try of the same work.
    #[must_use]
    pub fn item_id(&self) -> String {
        let (verb, step) = match self.work {
            Work::Do(step) => ("do", step),
            Work::Undo(step) => ("undo", step),
        };
        format!("{}/{verb}-{step}/{}", self.deployment, self.attempt)
    }
}

/// Something that stopped the router for a moment.
#[derive(Debug, thiserror::Error)]
enum RouteError {
    #[error("read of the log")]
    Read(#[from] ReadError),
    #[error("use of the work queue")]
    Queue(#[from] StoreError),
    #[error("command of a saga")]
    Command(#[from] CommandError),
    #[error("the subscription ended")]
    Ended,
}

/// Why a stream is looked at: the last event of it that wakes a saga.
#[derive(Clone, Copy)]
struct Wake {
    version: Version,
    event: EventId,
    person: Option<UserId>,
    correlation: CorrelationId,
    trace: Option<Traceparent>,
}

/// Routes until it is told to stop. Errors are logged and waited out.
pub async fn run(context: Context, shutdown: CancellationToken) {
    let _duty = Duty::begin("router");
    while !shutdown.is_cancelled() {
        let routed = tokio::select! {
            routed = route(&context) => routed,
            () = shutdown.cancelled() => return,
        };
        if let Err(error) = routed {
            warn!(error = &error as &dyn std::error::Error, "the router waits a moment and goes on");
        }
        tokio::time::sleep(PAUSE_AFTER_ERROR).await;
    }
}

async fn route(context: &Context) -> Result<(), RouteError> {
    let from = context.queue.routed().await?;
    info!(position = from.0, "routing events from position {from}");
    let filter = Filter::kinds([AggregateKind::Service, AggregateKind::Deployment]);
    let commits = context.bus.log().subscribe(from, filter).await;
    let mut batches = commits.ready_chunks(BATCH_MAX);
    while let Some(batch) = batches.next().await {
        let batch = batch.into_iter().collect::<Result<Vec<_>, _>>()?;
        if let Some(last) = batch.last().map(|commit| commit.head.position) {
            route_batch(context, &batch).await?;
            crash_point!("router.after_effects");
            context.queue.set_routed(last).await?;
        }
    }
    Err(RouteError::Ended)
}

async fn route_batch(context: &Context, batch: &[RecordedCommit]) -> Result<(), RouteError> {
    let mut woken: HashMap<StreamId, Wake> = HashMap::new();
    for recorded in batch.iter().flat_map(|commit| &commit.events).filter(|recorded| wakes(&recorded.event)) {
        let wake = Wake {
            version: recorded.version,
            event: recorded.id,
            person: recorded.actor.person(),
            correlation: recorded.correlation,
            trace: recorded.traceparent.as_deref().and_then(|text| text.parse().ok()),
        };
        woken.insert(recorded.stream, wake);
    }
    stream::iter(woken)
        .map(Ok)
        .try_for_each_concurrent(STREAMS_AT_ONCE, |(stream, wake)| look(context, stream, wake))
        .await
}

async fn look(context: &Context, stream: StreamId, wake: Wake) -> Result<(), RouteError> {
    let effects = match stream.kind {
        AggregateKind::Service => {
            let state = context.bus.state_at_least::<Service>(stream, wake.version).await?;
            react_to_service(ServiceId(stream.id), &state)
        }
        AggregateKind::Deployment => {
            let state = context.bus.state_at_least::<Deployment>(stream, wake.version).await?;
            react(DeploymentId(stream.id), &state)
        }
        AggregateKind::User | AggregateKind::Organization | AggregateKind::Project | AggregateKind::Claim => {
            vec![]
        }
    };
    for effect in effects {
        let span = trace::continued(info_span!("react", aggregate = %stream.kind), wake.trace);
        carry_out(context, stream.organization, wake, effect).instrument(span).await?;
    }
    Ok(())
}

async fn carry_out(
    context: &Context,
    organization: OrganizationId,
    wake: Wake,
    effect: Effect,
) -> Result<(), RouteError> {
    let request = Request {
        correlation: wake.correlation,
        causation: Some(wake.event),
        // Not the span of this moment: whatever follows from one command stands side by side below it.
        traceparent: wake.trace.map(String::from),
        ..Request::new(Actor::saga(wake.person))
    };
    let given = match effect {
        Effect::Work { deployment, work, attempt, not_before } => {
            let Wake { person: on_behalf_of, correlation, trace, .. } = wake;
            let job = Job { organization, deployment, work, attempt, on_behalf_of, correlation, trace };
            crash_point!("router.before_enqueue");
            context.queue.enqueue(&item(&job, not_before)).await?;
            crash_point!("router.after_enqueue");
            return Ok(());
        }
        Effect::Service { service, command } => {
            let stream = StreamId::service(organization, service);
            context.bus.dispatch::<Service>(&request, stream, *command).await
        }
        Effect::Deployment { deployment, command } => {
            let stream = StreamId::deployment(organization, deployment);
            context.bus.dispatch::<Deployment>(&request, stream, *command).await
        }
    };
    match given {
        Ok(_) => Ok(()),
        // Somebody else was first, or it is of no use any more: the state says what is next.
        Err(CommandError::Rejected { code, .. }) => {
            debug!(code, "a saga's command was refused");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn item(job: &Job, not_before: Option<chrono::DateTime<chrono::Utc>>) -> Item {
    Item {
        id: job.item_id(),
        lane: job.work.step().lane().as_str().to_owned(),
        payload: serde_json::json!(job),
        not_before,
    }
}

/// Forgets the queue and derives it from the log again, from the first position. For an operator whose queue
/// was lost.
///
/// # Errors
/// [`StoreError`].
pub async fn start_over(context: &Context) -> Result<(), StoreError> {
    context.queue.clear().await?;
    context.queue.set_routed(Position::ZERO).await
}
