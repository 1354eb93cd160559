//! A worker: says that it is about to do something, does it, says what came of it. Between any two of these
//! it may die, or sleep for so long that another takes over.

use domain::deployment::step::{Failure, Fence, Output, Step};
use domain::deployment::{Command, Event, Task, Work};
use domain::saga::Effect;
use domain::saga::deployment::react;
use domain::service::{self, Outcome};
use domain::testing::history::{LIMIT_MS, output};
use domain::testing::values;

use super::seed::Seed;
use super::world::{Item, World};

/// A worker with something in hand.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    item: Item,
    lease: u64,
    fence: Fence,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    Act,
    Say(Box<Command>),
    Finish,
}

/// What came of an effect.
enum Came {
    Done(Output),
    Undone,
    Failed { permanent: bool },
}

fn failure(permanent: bool) -> Failure {
    if permanent { values::permanent() } else { values::transient() }
}

impl Worker {
    /// Takes up an item, as the runner does: nothing, when it is not wanted any more.
    pub(super) fn take_up(world: &mut World, item: Item, lease: u64) -> Option<Self> {
        let state = world.deployment(item.deployment);
        let wanted = react(item.deployment, &state).into_iter().any(|effect| match effect {
            Effect::Work { work, attempt, .. } => (work, attempt) == (item.work, item.attempt),
            Effect::Service { .. } | Effect::Deployment { .. } => false,
        });
        if !wanted {
            world.finish(item, lease);
            return None;
        }
        if state.is_stopping() {
            // Its worker is gone, since it was handed out again.
            let fence = state.task().and_then(Task::fence).unwrap_or_default();
            let command = Command::Fail { work: item.work, fence, failure: failure(true) };
            return Some(Self { item, lease, fence, phase: Phase::Say(Box::new(command)) });
        }
        world.met.taken_over += usize::from(state.task().and_then(Task::fence).is_some());
        let started = world.give(item.deployment, Command::Start { work: item.work, limit_ms: LIMIT_MS });
        let fence = started.ok()?.iter().find_map(|event| {
            let (Event::StepStarted { fence, .. } | Event::UndoStarted { fence, .. }) = event else {
                return None;
            };
            Some(*fence)
        })?;
        Some(Self { item, lease, fence, phase: Phase::Act })
    }

    /// Its next thing. Nothing, when it is done or dead.
    pub(super) fn step(mut self, world: &mut World, seed: &mut Seed, faults: bool) -> Option<Self> {
        if faults && seed.one_in(40) {
            return None; // It dies; somebody else gets its item when the lease is over.
        }
        if faults && seed.one_in(12) {
            world.pass(seed.below(40));
            return Some(self); // It sleeps, perhaps for longer than its lease.
        }
        self.phase = match self.phase {
            Phase::Act => {
                let came = self.act(world, seed, faults);
                if faults && seed.one_in(40) {
                    return None; // It dies after it has done it.
                }
                Phase::Say(Box::new(self.command(came)))
            }
            Phase::Say(command) => {
                let said = world.give(self.item.deployment, *command);
                world.met.refused += usize::from(said.is_err());
                Phase::Finish
            }
            Phase::Finish => {
                world.finish(self.item, self.lease);
                return None;
            }
        };
        Some(self)
    }

    fn command(&self, came: Came) -> Command {
        let (work, fence) = (self.item.work, self.fence);
        match came {
            Came::Done(output) => Command::Complete { fence, output },
            Came::Undone => Command::CompleteUndo { step: work.step(), fence },
            Came::Failed { permanent } => Command::Fail { work, fence, failure: failure(permanent) },
        }
    }

    fn act(&self, world: &mut World, seed: &mut Seed, faults: bool) -> Came {
        let stopping = world.deployment(self.item.deployment).is_stopping();
        if stopping && seed.one_in(2) {
            return Came::Failed { permanent: true };
        }
        if self.item.work == Work::Do(Step::Activate) {
            return self.activate(world, seed, faults);
        }
        let fails = faults && seed.one_in(10);
        if fails && seed.one_in(2) {
            return Came::Failed { permanent: seed.one_in(8) };
        }
        let came = match self.item.work {
            Work::Do(step) => self.effect(world, step),
            Work::Undo(step) => self.undo(world, step),
        };
        if fails { Came::Failed { permanent: seed.one_in(8) } } else { came }
    }

    /// Whether the ports listen to this worker: not once they have seen a newer one.
    fn is_newest(&self, world: &mut World) -> bool {
        let seen = world.seen.entry(self.item.deployment).or_default();
        *seen = self.fence.max(*seen);
        *seen == self.fence
    }

    fn effect(&self, world: &mut World, step: Step) -> Came {
        let deployment = self.item.deployment;
        if step.leaves_something() {
            if !self.is_newest(world) {
                return Came::Failed { permanent: true };
            }
            world.left.insert((deployment, step));
        }
        match step {
            Step::Cut => self.cut(world),
            Step::Retire => {
                retire(world);
                Came::Done(Output::Retire {})
            }
            Step::RollOut => Came::Done(Output::RollOut { instances: values::instances(1, 1) }),
            Step::Fetch
            | Step::Detect
            | Step::Build
            | Step::Push
            | Step::Prepare
            | Step::Verify
            | Step::Activate => Came::Done(output(step, 1)),
        }
    }

    fn undo(&self, world: &mut World, step: Step) -> Came {
        if !self.is_newest(world) {
            return Came::Failed { permanent: true };
        }
        world.left.remove(&(self.item.deployment, step));
        world.is_safe();
        Came::Undone
    }

    fn cut(&self, world: &mut World) -> Came {
        let deployment = self.item.deployment;
        let build = world.deployment(deployment).facts().and_then(|facts| facts.build()).map(Box::new);
        let cut = world.give_service(service::Command::CutRelease { deployment, build });
        let releases = world.service.active().map(|active| active.releases.clone()).unwrap_or_default();
        let found = releases.into_iter().find(|(_, summary)| summary.deployment == deployment);
        match (cut, found) {
            (Ok(_), Some((release, _))) => Came::Done(Output::Cut { release }),
            (Ok(_) | Err(_), _) => Came::Failed { permanent: true },
        }
    }

    /// Moves the traffic. Whether it has moved is for the service to say: a worker that wants to give up
    /// gives the turn back first, and asks once more.
    fn activate(&self, world: &mut World, seed: &mut Seed, faults: bool) -> Came {
        let deployment = self.item.deployment;
        if faults && seed.one_in(8) {
            return Came::Failed { permanent: false }; // Nobody answered, and nothing was done.
        }
        if faults && seed.one_in(12) {
            let outcome = Outcome::Failed;
            let _ = world.give_service(service::Command::EndDeployment { deployment, outcome });
            let live = world.service.active().and_then(|active| active.live.as_ref());
            let moved = live.is_some_and(|live| live.deployment == deployment);
            world.met.given_up_too_late += usize::from(moved);
        }
        let instances = values::instances(1, 1);
        let moved = world.give_service(service::Command::Activate { deployment, instances });
        if faults && seed.one_in(6) {
            world.met.answers_lost += 1;
            return Came::Failed { permanent: false }; // Whatever the answer was.
        }
        match moved {
            Ok(_) => Came::Done(Output::Activate {}),
            Err(_) => Came::Failed { permanent: true },
        }
    }
}

/// Stops what earlier releases started: neither what has the traffic nor what is about to have it.
fn retire(world: &mut World) {
    let Some(active) = world.service.active() else { return };
    let kept =
        [active.live.as_ref().map(|live| live.deployment), active.turn.as_ref().map(|turn| turn.deployment)];
    let earlier = active.releases.values().map(|summary| summary.deployment);
    for deployment in earlier.filter(|id| !kept.contains(&Some(*id))).collect::<Vec<_>>() {
        world.left.remove(&(deployment, Step::RollOut));
    }
}
