//! The reconciler: compares what should run (the log) with what runs (the runtime), at start and for ever
//! after. It starts what is missing, stops what nobody asked for, and records what it did.

mod wanted;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use commands::error::CommandError;
use commands::request::Request;
use domain::context::Actor;
use domain::deployment::step::Step;
use domain::deployment::{Deployment, Why};
use domain::id::{DeploymentId, OrganizationId, ServiceId};
use domain::service::release::{Instance, InstanceId};
use domain::service::{Command, Service};
use domain::stream::{StreamId, Version};
use eventlog::crash_point;
use eventlog::error::ReadError;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::wanted::Wanted;
use self::wanted::WantedServices;
use crate::context::Context;
use crate::deployment::retire::STOP_GRACE;
use crate::deployment::roll_out::{StartPlan, attach, lines, start};
use crate::key::StepKey;
use crate::measure::{Duty, RESTARTS};
use crate::runtime::{Exit, InstanceState, RuntimeError};
use crate::step::StepError;

/// How often everything is compared, also when nothing was heard.
const PERIOD: Duration = Duration::from_secs(5);
/// The first pause before an instance that ended is started again; it doubles each time.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(60);
/// An instance that ran as long as this is not in a loop of crashes any more.
const STABLE: Duration = Duration::from_secs(60);
/// How long an instance that is not wanted any more may finish what is in flight.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// How long the runtime may take to stop an instance, beside the time that the instance has; then it is told
/// again.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How long the instances of one service may keep the others waiting.
const SERVICE_LIMIT: Duration = Duration::from_secs(60);

/// Something that kept the reconciler from comparing; it does again after a moment.
#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error("read of what should run")]
    Read(#[from] ReadError),
    #[error("look at what runs")]
    Runtime(#[from] RuntimeError),
    #[error("start of an instance")]
    Start(#[from] StepError),
    #[error("record of what was done")]
    Command(#[from] CommandError),
    #[error("wait for the runtime any longer")]
    Late(#[from] Elapsed),
}

/// How often an instance was started again, and when last.
#[derive(Clone, Copy)]
struct Restarts {
    count: u32,
    last: Instant,
}

impl Restarts {
    fn pause(self) -> Duration {
        RESTART_PAUSE.saturating_mul(1 << self.count.saturating_sub(1).min(16)).min(RESTART_PAUSE_MAX)
    }
}

/// Keeps running what should run.
pub struct Reconciler {
    context: Context,
    wanted: WantedServices,
    restarts: HashMap<InstanceId, Restarts>,
    /// Deployments whose instances are being removed, each by a task of its own: draining takes its time.
    removing: Arc<Mutex<HashSet<DeploymentId>>>,
}

impl Reconciler {
    /// Begins with what a read model says of the log up to a position; with nothing and zero, the whole log
    /// is read.
    #[must_use]
    pub fn new(context: Context, known: Vec<Wanted>, up_to: domain::stream::Position) -> Self {
        let wanted = WantedServices::new(known, up_to);
        Self { context, wanted, restarts: HashMap::new(), removing: Arc::default() }
    }

    /// Compares until it is told to stop; then it stops at once, wherever it is. What a runtime has begun it
    /// does to its end, and what is not recorded the next one finds.
    pub async fn run(mut self, shutdown: CancellationToken) {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.compare_for_ever() => {}
        }
    }

    async fn compare_for_ever(&mut self) {
        let _duty = Duty::begin("reconciler");
        let mut exits = self.context.runtime.exits();
        loop {
            if let Err(error) = self.compare().await {
                warn!(error = &error as &dyn std::error::Error, "what runs is compared again in a moment");
            }
            let next = self.next_restart().unwrap_or(PERIOD).min(PERIOD);
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                heard = exits.recv() => match heard {
                    Ok(exit) => self.record_exit(&exit).await,
                    Err(RecvError::Lagged(_)) => {} // The comparison sees what was missed.
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    async fn compare(&mut self) -> Result<(), ReconcileError> {
        self.wanted.catch_up(self.context.bus.log()).await?;
        for wanted in self.wanted.all() {
            let kept = tokio::time::timeout(SERVICE_LIMIT, self.keep_running(&wanted)).await;
            if let Err(error) = kept.map_err(ReconcileError::from).flatten() {
                let service = wanted.service;
                let error = &error as &dyn std::error::Error;
                warn!(service.id = %service, error, "service {service} does not run as it should");
            }
        }
        self.remove_unwanted().await
    }

    /// When the next pause before a restart is over.
    fn next_restart(&self) -> Option<Duration> {
        let now = Instant::now();
        let due = |restarts: &Restarts| (restarts.last + restarts.pause()).checked_duration_since(now);
        self.restarts.values().filter_map(due).min()
    }

    async fn record_exit(&mut self, exit: &Exit) {
        // It may have gone live since everything was compared last.
        if let Err(error) = self.wanted.catch_up(self.context.bus.log()).await {
            warn!(error = &error as &dyn std::error::Error, "the end of an instance may not be recorded");
        }
        let Some(wanted) = self.wanted.of(exit.id) else { return };
        let (id, how) = (exit.id, &exit.exit);
        warn!(instance.id = %id, "instance {id} of {} ended by itself: {how}", wanted.release);
        let command =
            Command::RecordExit { release: wanted.release, instance: exit.id, exit: exit.exit.clone() };
        let request = Request::new(Actor::reconciler());
        let recorded = self.context.bus.dispatch::<Service>(&request, wanted.stream(), command).await;
        if let Err(error) = recorded {
            warn!(error = &error as &dyn std::error::Error, "the end of an instance is not recorded");
        }
    }

    /// Starts what is missing of a service, and says where its instances are when that has changed. What does
    /// not run is taken out of the traffic before it is started again: its address may be somebody else's by
    /// now.
    async fn keep_running(&mut self, wanted: &Wanted) -> Result<(), ReconcileError> {
        let state = self.context.bus.state_at_least::<Service>(wanted.stream(), Version::ZERO).await?;
        let Some(live) = state.active().and_then(|active| active.live.as_ref()) else { return Ok(()) };
        let (mut running, mut missing) = (vec![], vec![]);
        for ordinal in 0..live.specification.replicas {
            let id = InstanceId { deployment: wanted.deployment, ordinal };
            match self.context.runtime.state(id).await? {
                InstanceState::Running { address } => {
                    running.push(Instance { id, address });
                    self.forget_stable(id);
                    self.attach(wanted, id).await;
                }
                InstanceState::Exited { .. } => {
                    // What it printed last is still in the runtime, until it is started again.
                    self.attach(wanted, id).await;
                    missing.push(id);
                }
                InstanceState::Absent => missing.push(id),
            }
        }
        self.record(wanted, &live.instances, &running).await?;
        let recorded = running.clone();
        for id in missing {
            if self.may_restart(id) {
                let before = wanted.instances.iter().find(|instance| instance.id == id);
                running.extend(self.restart(wanted, id, before.map(|instance| instance.address)).await?);
            }
        }
        running.sort_by_key(|instance| instance.id);
        crash_point!("reconcile.before_record");
        self.record(wanted, &recorded, &running).await
    }

    /// Has what an instance prints stored, when it is none that this process has started.
    async fn attach(&self, wanted: &Wanted, id: InstanceId) {
        if let Err(error) = attach(&self.context, wanted.service, wanted.release, id).await {
            let error = &error as &dyn std::error::Error;
            warn!(instance.id = %id, error, "what instance {id} prints is not stored for the moment");
        }
    }

    /// Says where the instances of a release are, when that is not what was said last.
    async fn record(
        &self,
        wanted: &Wanted,
        said: &[Instance],
        instances: &[Instance],
    ) -> Result<(), ReconcileError> {
        if said == instances {
            return Ok(());
        }
        let command = Command::MoveInstances { release: wanted.release, instances: instances.to_vec() };
        let request = Request::new(Actor::reconciler());
        self.context.bus.dispatch::<Service>(&request, wanted.stream(), command).await?;
        Ok(())
    }

    fn may_restart(&mut self, id: InstanceId) -> bool {
        let now = Instant::now();
        match self.restarts.get_mut(&id) {
            None => {
                self.restarts.insert(id, Restarts { count: 1, last: now });
                true
            }
            Some(restarts) if now.duration_since(restarts.last) >= restarts.pause() => {
                *restarts = Restarts { count: restarts.count + 1, last: now };
                true
            }
            Some(_) => false,
        }
    }

    fn forget_stable(&mut self, id: InstanceId) {
        let stable = |restarts: &Restarts| restarts.last.elapsed() >= STABLE;
        if self.restarts.get(&id).is_some_and(stable) {
            self.restarts.remove(&id);
        }
    }

    async fn restart(
        &self,
        wanted: &Wanted,
        id: InstanceId,
        before: Option<SocketAddr>,
    ) -> Result<Option<Instance>, ReconcileError> {
        let state = self.context.bus.state::<Service>(wanted.stream()).await?;
        let Some(active) = state.active() else { return Ok(None) };
        let Some(live) = active.live.as_ref().filter(|live| live.number == wanted.release) else {
            return Ok(None); // Replaced in the meantime.
        };
        let deployment = StreamId::deployment(wanted.organization, wanted.deployment);
        let deployment = self.context.bus.state::<Deployment>(deployment).await?;
        let fence = deployment.facts().map(|facts| facts.fence).unwrap_or_default();
        let key = StepKey { deployment: wanted.deployment, step: Step::RollOut, fence };
        let plan = StartPlan {
            service: wanted.stream(),
            active,
            number: live.number,
            specification: &live.specification,
        };
        let started = match start(&self.context, key, id, before, &plan).await {
            Ok(started) => started,
            Err(error) => {
                // Such as an image that is gone: whoever looks why nothing runs looks here.
                let log = lines(&self.context, wanted.service, live.number, id);
                log.say(format!("it could not be started again: {error}")).await;
                return Err(error.into());
            }
        };
        RESTARTS.count::<&str, 0>([]);
        crash_point!("reconcile.after_start");
        info!(instance.id = %id, "instance {id} of {} is started again", live.number);
        Ok(Some(started))
    }

    /// Stops instances that no release wants and no deployment has in hand.
    async fn remove_unwanted(&mut self) -> Result<(), ReconcileError> {
        let mut unwanted: HashMap<DeploymentId, Vec<InstanceId>> = HashMap::new();
        for id in self.context.runtime.list().await? {
            if self.wanted.of(id).is_none() {
                unwanted.entry(id.deployment).or_default().push(id);
            }
        }
        for (deployment, instances) in unwanted {
            let Some(owner) = self.find_owner(deployment).await? else { continue };
            let is_first = lock(&self.removing).insert(deployment);
            if is_first {
                self.restarts.retain(|id, _| id.deployment != deployment);
                let (context, removing) = (self.context.clone(), Arc::clone(&self.removing));
                tokio::spawn(async move {
                    remove(&context, &owner, &instances).await;
                    lock(&removing).remove(&deployment);
                });
            }
        }
        Ok(())
    }

    /// Whose instances these are, when nothing has them in hand any more: neither their own deployment nor
    /// another of the service, which retires those before it in its own time.
    async fn find_owner(&self, deployment: DeploymentId) -> Result<Option<Owner>, ReconcileError> {
        let known = self.wanted.organization_of(deployment);
        let organization = match known {
            Some(organization) => Some(organization),
            // From before the position that we began at; then what runs says it.
            None => self.context.runtime.organization_of(deployment).await?,
        };
        let Some(organization) = organization else {
            // Begun after we looked last, or by another installation: not ours to stop.
            return Ok(None);
        };
        let stream = StreamId::deployment(organization, deployment);
        Ok(match self.context.bus.state::<Deployment>(stream).await? {
            Deployment::Over { facts, .. } if self.is_in_hand(organization, facts.service).await? => None,
            Deployment::Over { facts, why } => {
                let had_traffic = !matches!(why, Some(Why::Failed { .. } | Why::Cancelled { .. }));
                Some(Owner { service: facts.service, release: facts.release, had_traffic })
            }
            Deployment::Absent
            | Deployment::Running { .. }
            | Deployment::Stopping { .. }
            | Deployment::Undoing { .. }
            | Deployment::Live { .. } => None,
        })
    }

    async fn is_in_hand(
        &self,
        organization: OrganizationId,
        service: ServiceId,
    ) -> Result<bool, ReconcileError> {
        let stream = StreamId::service(organization, service);
        let state = self.context.bus.state_at_least::<Service>(stream, Version::ZERO).await?;
        Ok(state.active().is_some_and(|active| active.turn.is_some()))
    }
}

/// Lets instances finish what is in flight, and stops them. What cannot be stopped is found again.
async fn remove(context: &Context, owner: &Owner, instances: &[InstanceId]) {
    if let Some(release) = owner.release.filter(|_| owner.had_traffic) {
        context.traffic.drained(owner.service, release, DRAIN_LIMIT).await;
    }
    for id in instances {
        if let Some(release) = owner.release
            && let Err(error) = attach(context, owner.service, release, *id).await
        {
            let error = &error as &dyn std::error::Error;
            warn!(error, "what instance {id} prints as it ends may not be stored");
        }
        info!(instance.id = %id, "instance {id} is not wanted any more and is stopped");
        let stop = context.runtime.stop(*id, STOP_GRACE);
        let stopped = tokio::time::timeout(STOP_GRACE + STOP_LIMIT, stop).await;
        if let Err(error) = stopped.map_err(ReconcileError::from).and_then(|done| Ok(done?)) {
            warn!(error = &error as &dyn std::error::Error, "instance {id} could not be stopped");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Owner {
    service: ServiceId,
    release: Option<domain::service::release::ReleaseNumber>,
    had_traffic: bool,
}
