//! The runner: takes work from the queue, says in the log that it is about to do it, does it, and says what
//! came of it.
//!
//! A second worker that gets the same work loses the race for the first line; a paused one that wakes up late
//! is refused at the last, by its fence. What a kill at any line leaves is found by whoever comes next,
//! because the names of all effects follow from deployment and step.

mod cancel;
mod fair;

use std::time::Duration;

use commands::error::CommandError;
use domain::deployment::step::{Failure, Fence, Lane, Output as Found, Step};
use domain::deployment::{Command, Deployment, Event, Task, Work};
use domain::event::Event as AnyEvent;
use domain::saga::Effect;
use domain::saga::deployment::react;
use domain::stream::StreamId;
use eventlog::crash_point;
use eventlog::error::{ReadError, StoreError};
use eventlog::queue::Lease;
use eventlog::trace;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span, info, info_span, warn};

use self::cancel::Cancellations;
use self::fair::Shares;
use crate::context::Context;
use crate::deployment::{self, Done};
use crate::key::StepKey;
use crate::router::Job;
use crate::step::StepError;

/// How long to wait before going on after an error.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);
/// How long a step that was told to stop has until it is given up.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Something that kept a piece of work from being taken up or recorded; it is tried again when the lease is
/// over.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error("use of the work queue")]
    Queue(#[from] StoreError),
    #[error("read of the deployment")]
    Read(#[from] ReadError),
    #[error("record of what a step did")]
    Command(#[from] CommandError),
    #[error("the item of work has a form that this version does not know")]
    Payload(#[from] serde_json::Error),
}

/// Takes work of some lanes until it is told to stop; what is in hand then is let go of, and taken up by the
/// next.
pub async fn run(context: Context, lanes: Vec<Lane>, shutdown: CancellationToken) {
    let cancellations = Cancellations::default();
    let watch = cancellations.watch(context.clone(), shutdown.clone());
    let shares = Shares::new(context.settings.slots(Lane::Build));
    let slots = lanes.into_iter().flat_map(|lane| vec![lane; context.settings.slots(lane)]);
    let workers = slots.map(|lane| slot(&context, lane, &shares, &cancellations, &shutdown));
    tokio::join!(watch, join_all(workers));
}

async fn slot(
    context: &Context,
    lane: Lane,
    shares: &Shares,
    cancellations: &Cancellations,
    shutdown: &CancellationToken,
) {
    loop {
        let leased = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            leased = lease(context, lane, shares) => leased,
        };
        let worked = match leased {
            Ok((lease, _share)) => Box::pin(take_up(context, &lease, cancellations, shutdown)).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = worked {
            warn!(error = &error as &dyn std::error::Error, "a piece of work is tried again later");
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
    }
}

/// The next piece of work; of the build lane, one whose organisation has its turn.
async fn lease(
    context: &Context,
    lane: Lane,
    shares: &Shares,
) -> Result<(Lease, Option<fair::Share>), StoreError> {
    match lane {
        Lane::Build => {
            let (queue, clock) = (&context.queue, context.bus.clock());
            let (lease, share) = shares.lease(queue, clock, context.settings.lease).await?;
            Ok((lease, Some(share)))
        }
        Lane::Rollout => {
            let lease = context.queue.lease(lane.as_str(), context.settings.lease).await?;
            Ok((lease, None))
        }
    }
}

async fn take_up(
    context: &Context,
    lease: &Lease,
    cancellations: &Cancellations,
    shutdown: &CancellationToken,
) -> Result<(), WorkError> {
    let job: Job = match serde_json::from_value(lease.item.payload.clone()) {
        Ok(job) => job,
        Err(error) => {
            context.queue.park(lease, &format!("not understood: {error}")).await?;
            return Err(error.into());
        }
    };
    let (verb, step) = match job.work {
        Work::Do(step) => ("step", step),
        Work::Undo(step) => ("undo", step),
    };
    let span = info_span!(
        "work",
        otel.name = %format_args!("{verb} {step}"),
        otel.kind = "consumer",
        deployment.id = %job.deployment,
        work = ?job.work,
        attempt = job.attempt,
        failure = Empty,
        otel.status_code = Empty,
    );
    let span = trace::continued(span, job.trace);
    Box::pin(work(context, lease, &job, cancellations, shutdown)).instrument(span).await
}

async fn work(
    context: &Context,
    lease: &Lease,
    job: &Job,
    cancellations: &Cancellations,
    shutdown: &CancellationToken,
) -> Result<(), WorkError> {
    let stream = StreamId::deployment(job.organization, job.deployment);
    let state = context.bus.state::<Deployment>(stream).await?;
    let Some(not_before) = still_wanted(job, &state) else {
        return Ok(context.queue.finish(lease).await?);
    };
    if let Some(until) = not_before.filter(|until| *until > context.bus.clock().now()) {
        return Ok(context.queue.delay(lease, until).await?);
    }
    if state.is_stopping() {
        // Its worker is gone, since the work was given to us: say so in its stead.
        record(context, job, given_up(job.work, state.task())).await?;
        return Ok(context.queue.finish(lease).await?);
    }
    let cancel = cancellations.register(stream, shutdown);
    let Some(fence) = start(context, job).await? else {
        return Ok(context.queue.finish(lease).await?);
    };
    let key = StepKey { deployment: job.deployment, step: job.work.step(), fence };
    let result = tokio::select! {
        result = bounded(context, job, key, &cancel) => result,
        lost = keep_lease(context, lease) => {
            let error = &lost as &dyn std::error::Error;
            warn!(error, "the lease is lost; another worker may have the work");
            return Ok(());
        }
    };
    if shutdown.is_cancelled() && result.is_err() {
        return Ok(()); // The platform stops, not the deployment: the next start takes this up again.
    }
    crash_point!("step.after_effect", job.work.step());
    record(context, job, outcome(job.work, fence, result)).await?;
    crash_point!("step.after_result", job.work.step());
    context.queue.finish(lease).await?;
    crash_point!("step.after_finish", job.work.step());
    Ok(())
}

/// Whether the deployment still asks for this, and since when it may be done.
fn still_wanted(job: &Job, state: &Deployment) -> Option<Option<chrono::DateTime<chrono::Utc>>> {
    react(job.deployment, state).into_iter().find_map(|effect| match effect {
        Effect::Work { work, attempt, not_before, .. } if (work, attempt) == (job.work, job.attempt) => {
            Some(not_before)
        }
        Effect::Work { .. } | Effect::Service { .. } | Effect::Deployment { .. } => None,
    })
}

/// Says in the log that the work is about to be done. Nothing, when somebody else was quicker.
async fn start(context: &Context, job: &Job) -> Result<Option<Fence>, WorkError> {
    let limit = context.settings.limit(job.work.step());
    let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    crash_point!("step.before_intent", job.work.step());
    let command = Command::Start { work: job.work, limit_ms };
    let stream = StreamId::deployment(job.organization, job.deployment);
    let started = context.bus.dispatch::<Deployment>(&job.request(), stream, command).await;
    crash_point!("step.after_intent", job.work.step());
    match started {
        Ok(outcome) => {
            Ok(
                outcome.events.iter().find_map(|event| {
                    let AnyEvent::Deployment(
                        Event::StepStarted { fence, .. } | Event::UndoStarted { fence, .. },
                    ) = event
                    else {
                        return None;
                    };
                    Some(*fence)
                }),
            )
        }
        Err(CommandError::Rejected { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Does the work within its limit, and ends it when it is cancelled.
async fn bounded(
    context: &Context,
    job: &Job,
    key: StepKey,
    cancel: &CancellationToken,
) -> Result<Done, StepError> {
    let limit = context.settings.limit(key.step);
    let stop = cancel.child_token();
    let mut doing = Box::pin(deployment::carry_out(context, job, key, &stop));
    let (code, message) = tokio::select! {
        result = &mut doing => return result,
        () = cancel.cancelled() => ("cancelled", "it was cancelled".to_owned()),
        () = tokio::time::sleep(limit) => {
            let limit = limit.as_secs_f64();
            ("timed_out", format!("{} took longer than its limit of {limit} s and was ended", key.step))
        }
    };
    stop.cancel();
    match tokio::time::timeout(STOP_LIMIT, doing).await {
        Ok(Ok(done)) => return Ok(done), // It came to its end in the last moment.
        Ok(Err(error)) => info!(error = &error as &dyn std::error::Error, "the step was stopped"),
        Err(_) => warn!("the step did not stop within {} s", STOP_LIMIT.as_secs()),
    }
    // Whether the traffic has moved must be found out, however long it takes.
    let permanent = key.step != Step::Activate;
    Err(StepError { code, message, permanent, source: None })
}

/// Keeps the lease for as long as it is polled; ends when it cannot.
async fn keep_lease(context: &Context, lease: &Lease) -> StoreError {
    let period = context.settings.lease;
    loop {
        tokio::time::sleep(period / 3).await;
        match context.queue.extend(lease, period).await {
            Ok(()) => {}
            Err(lost @ StoreError::LeaseLost { .. }) => return lost,
            Err(error) => warn!(error = &error as &dyn std::error::Error, "the lease could not be extended"),
        }
    }
}

fn outcome(work: Work, fence: Fence, result: Result<Done, StepError>) -> Command {
    match (work, result) {
        (_, Ok(Done::Step(output))) => Command::Complete { fence, output: *output },
        (Work::Do(step) | Work::Undo(step), Ok(Done::Undo)) => Command::CompleteUndo { step, fence },
        (work, Err(error)) => {
            let source = error.source.as_deref().map(ToString::to_string).unwrap_or_default();
            Span::current().record("failure", error.code).record("otel.status_code", "ERROR");
            info!(code = error.code, source, "{work:?} failed: {error}");
            Command::Fail { work, fence, failure: error.failure() }
        }
    }
}

fn given_up(work: Work, task: Option<&Task>) -> Command {
    let failure = Failure { code: "cancelled".into(), message: "it was cancelled".into(), permanent: true };
    Command::Fail { work, fence: task.and_then(Task::fence).unwrap_or_default(), failure }
}

async fn record(context: &Context, job: &Job, command: Command) -> Result<(), WorkError> {
    let stream = StreamId::deployment(job.organization, job.deployment);
    match context.bus.dispatch::<Deployment>(&job.request(), stream, command).await {
        Ok(_) => Ok(()),
        Err(CommandError::Rejected { code, message, .. }) => {
            warn!(code, "what was done is not recorded: {message}");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// What a step found out; a shorthand for tests and steps.
impl From<Found> for Done {
    fn from(output: Found) -> Self {
        Self::Step(Box::new(output))
    }
}
