//! The world of the simulation: what is in the log, what the router has heard of, what waits in the queue,
//! what workers have in hand, and what steps have left behind.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use domain::aggregate::{Aggregate, replay};
use domain::deployment::step::{Fence, Step};
use domain::deployment::{self, Deployment, Work};
use domain::id::DeploymentId;
use domain::saga::Effect;
use domain::saga::deployment::{react, react_to_service};
use domain::service::{self, Service};
use domain::testing::history::created;
use domain::testing::{NOW, context_at, values};

use super::seed::Seed;
use super::woken_by;
use super::worker::Worker;

/// How long a worker that says nothing keeps what it was given, in seconds.
const LEASE_SECONDS: i64 = 30;

/// What the router hears of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stream {
    Service,
    Deployment(DeploymentId),
}

/// An item of work: one try of one piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    pub(super) deployment: DeploymentId,
    pub(super) work: Work,
    pub(super) attempt: u32,
}

/// How an item stands in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) not_before: DateTime<Utc>,
    /// To whom it was handed out, and until when.
    pub(super) lease: Option<(u64, DateTime<Utc>)>,
}

/// How often what the simulation is for has happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Happened {
    pub(super) taken_over: usize,
    pub(super) refused: usize,
    pub(super) answers_lost: usize,
    pub(super) given_up_too_late: usize,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) now: DateTime<Utc>,
    pub(super) service: Service,
    pub(super) service_events: Vec<service::Event>,
    pub(super) deployments: BTreeMap<DeploymentId, (Deployment, Vec<deployment::Event>)>,
    pub(super) inbox: Vec<Stream>,
    pub(super) queue: BTreeMap<Item, Place>,
    pub(super) workers: Vec<Worker>,
    /// What steps have left, by the name that every port derives from deployment and step.
    pub(super) left: BTreeSet<(DeploymentId, Step)>,
    /// What could not be taken away, for an operator to see.
    pub(super) parked: BTreeSet<(DeploymentId, Step)>,
    /// The highest fence that the ports have seen.
    pub(super) seen: BTreeMap<DeploymentId, Fence>,
    pub(super) last_command: Option<service::Command>,
    pub(super) met: Happened,
    ids: u32,
    leases: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            now: NOW,
            service: replay(&[created()]),
            service_events: vec![created()],
            deployments: BTreeMap::new(),
            inbox: vec![],
            queue: BTreeMap::new(),
            workers: vec![],
            left: BTreeSet::new(),
            parked: BTreeSet::new(),
            seen: BTreeMap::new(),
            last_command: None,
            met: Happened::default(),
            ids: 0,
            leases: 0,
        }
    }

    /// An id that was not used.
    pub(super) fn fresh(&mut self) -> DeploymentId {
        self.ids += 1;
        values::deployment(self.ids)
    }

    pub(super) fn pass(&mut self, seconds: u32) {
        self.now += TimeDelta::seconds(i64::from(seconds));
    }

    /// All events, to see whether there are more.
    pub(super) fn everything(&self) -> (Vec<service::Event>, Vec<(DeploymentId, Vec<deployment::Event>)>) {
        let deployments = self.deployments.iter().map(|(id, (_, events))| (*id, events.clone()));
        (self.service_events.clone(), deployments.collect())
    }

    pub(super) fn give_service(
        &mut self,
        command: service::Command,
    ) -> Result<Vec<service::Event>, service::Rejection> {
        let events = self.service.decide(command, &context_at(self.now))?;
        for event in &events {
            self.service = std::mem::take(&mut self.service).evolve(event);
            self.inbox.extend(woken_by(Stream::Service, event.clone()));
        }
        self.service_events.extend(events.clone());
        self.is_safe();
        Ok(events)
    }

    pub(super) fn give(
        &mut self,
        id: DeploymentId,
        command: deployment::Command,
    ) -> Result<Vec<deployment::Event>, deployment::Rejection> {
        let (state, history) = self.deployments.entry(id).or_default();
        let decided = state.decide(command, &context_at(self.now));
        if history.is_empty() && decided.is_err() {
            self.deployments.remove(&id); // A stream is there with its first event.
            return decided;
        }
        let events = decided?;
        for event in &events {
            *state = std::mem::take(state).evolve(event);
            self.inbox.extend(woken_by(Stream::Deployment(id), event.clone()));
            if let deployment::Event::UndoFailed { step, retry_at: None, .. } = event {
                self.parked.insert((id, *step));
            }
        }
        history.extend(events.clone());
        Ok(events)
    }

    pub(super) fn deployment(&self, id: DeploymentId) -> Deployment {
        self.deployments.get(&id).map(|(state, _)| state.clone()).unwrap_or_default()
    }

    /// The router looks at one stream that it has heard of: any of them, since many look at once.
    pub(super) fn route(&mut self, seed: &mut Seed, faults: bool) {
        if self.inbox.is_empty() {
            return;
        }
        let at = seed.index(self.inbox.len());
        let stream = self.inbox[at];
        let effects = match stream {
            Stream::Service => react_to_service(values::SERVICE, &self.service),
            Stream::Deployment(id) => react(id, &self.deployment(id)),
        };
        for effect in effects {
            if faults && seed.one_in(10) {
                return; // It dies, and hears of the same again.
            }
            self.carry_out(effect);
        }
        if !(faults && seed.one_in(5)) {
            self.inbox.swap_remove(at);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Work { deployment, work, attempt, not_before } => {
                let place = Place { not_before: not_before.unwrap_or(self.now), lease: None };
                self.queue.entry(Item { deployment, work, attempt }).or_insert(place);
            }
            // Refused: somebody was first, and the state says what is next.
            Effect::Service { command, .. } => drop(self.give_service(*command)),
            Effect::Deployment { deployment, command } => drop(self.give(deployment, *command)),
        }
    }

    /// Somebody loses the queue and what the router has heard of, and derives both from the log again.
    pub(super) fn start_over(&mut self) {
        self.queue.clear();
        let events = self.service_events.iter().filter_map(|event| woken_by(Stream::Service, event.clone()));
        self.inbox = events.collect();
        for (id, (_, events)) in &self.deployments {
            let woken = events.iter().filter_map(|event| woken_by(Stream::Deployment(*id), event.clone()));
            self.inbox.extend(woken);
        }
        self.inbox.dedup();
    }

    /// The queue hands out an item that nobody has, or whose lease is over.
    pub(super) fn hand_out(&mut self, seed: &mut Seed) {
        let is_free = |place: &Place| place.lease.is_none_or(|(_, until)| until < self.now);
        let free = self.queue.iter().filter(|(_, place)| is_free(place) && place.not_before <= self.now);
        let free: Vec<Item> = free.map(|(item, _)| *item).collect();
        let Some(item) = free.get(seed.index(free.len())).copied() else { return };
        self.leases += 1;
        let lease = self.leases;
        if let Some(place) = self.queue.get_mut(&item) {
            place.lease = Some((lease, self.now + TimeDelta::seconds(LEASE_SECONDS)));
        }
        let worker = Worker::take_up(self, item, lease);
        self.workers.extend(worker);
    }

    /// Takes an item out of the queue, when it is still whose lease it is.
    pub(super) fn finish(&mut self, item: Item, lease: u64) {
        if self.queue.get(&item).and_then(|place| place.lease).is_some_and(|(held, _)| held == lease) {
            self.queue.remove(&item);
        }
    }

    /// One of the workers does its next thing.
    pub(super) fn work(&mut self, seed: &mut Seed, faults: bool) {
        if self.workers.is_empty() {
            return;
        }
        let at = seed.index(self.workers.len());
        let worker = self.workers.swap_remove(at);
        if let Some(goes_on) = worker.step(self, seed, faults) {
            self.workers.push(goes_on);
        }
    }

    /// What holds at every moment: the release that has the traffic runs.
    pub(super) fn is_safe(&self) {
        let live = self.service.active().and_then(|active| active.live.as_ref());
        if let Some(live) = live {
            let runs = self.left.contains(&(live.deployment, Step::RollOut));
            assert!(runs, "seed {}: {} has the traffic and does not run", self.seed, live.number);
        }
    }
}
