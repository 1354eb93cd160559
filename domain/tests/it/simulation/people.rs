//! What people do meanwhile: deploy, change, roll back, cancel, delete, and press the button twice.

use std::collections::{BTreeMap, BTreeSet};

use domain::deployment::{CancelReason, Command as DeploymentCommand, Rejection as Refused};
use domain::id::DeploymentId;
use domain::rollback::{Target, find};
use domain::service::{Command, Rejection, Subject};
use domain::testing::history::recorded;
use domain::testing::values;

use super::seed::Seed;
use super::world::World;

/// Asks for a deployment out of the repository.
pub(super) fn deploy(world: &mut World) -> DeploymentId {
    let deployment = world.fresh();
    let subject = values::from_source();
    world.give_service(Command::Deploy { deployment, subject }).expect("a deployment can be asked for");
    deployment
}

/// One thing that somebody does. Refusals are theirs to read.
pub(super) fn somebody(world: &mut World, seed: &mut Seed) {
    let command = match seed.below(24) {
        0..8 => Command::Deploy { deployment: world.fresh(), subject: subject(seed) },
        8..11 => {
            let value = seed.below(4).to_string();
            let set = BTreeMap::from([values::sealed("A", &value)]);
            Command::ChangeVariables { set, unset: BTreeSet::new(), deploy: Some(world.fresh()) }
        }
        11..13 => {
            let replicas = u16::try_from(seed.below(4)).unwrap_or(0);
            Command::Scale { replicas, deploy: Some(world.fresh()) }
        }
        13..17 => match roll_back(world, seed) {
            Some(command) => command,
            None => return,
        },
        17..20 => return cancel(world, seed),
        20..23 => match &world.last_command {
            Some(again) => again.clone(),
            None => return,
        },
        _ if seed.one_in(12) => Command::Delete,
        _ => return,
    };
    world.last_command = Some(command.clone());
    let _ = world.give_service(command);
}

fn subject(seed: &mut Seed) -> Subject {
    if seed.one_in(4) { Subject::Configuration {} } else { values::from_source() }
}

fn roll_back(world: &mut World, seed: &mut Seed) -> Option<Command> {
    let active = world.service.active()?;
    let numbers: Vec<_> = active.releases.keys().copied().collect();
    let target = match numbers.get(seed.index(numbers.len() + 1)) {
        Some(number) => Target::Release(*number),
        None => Target::Before,
    };
    let (to, then) = find(&recorded(world.service_events.clone()), target).ok()?;
    Some(Command::RollBack { deployment: world.fresh(), to, then: Box::new(then) })
}

/// As the command bus does it: taken back while it waits, otherwise stopped, and begun for that when it has
/// not.
fn cancel(world: &mut World, seed: &mut Seed) {
    let Some(active) = world.service.active() else { return };
    let turn = active.turn.as_ref().map(|request| (request.deployment, request.subject.clone()));
    let waiting = active.waiting.as_ref().map(|request| request.deployment);
    let Some(deployment) = (if seed.one_in(3) { waiting } else { turn.as_ref().map(|(id, _)| *id) }) else {
        return;
    };
    let withdrawn = world.give_service(Command::Withdraw { deployment });
    if withdrawn != Err(Rejection::NotItsTurn(deployment)) {
        return;
    }
    let cancel = DeploymentCommand::Cancel { reason: CancelReason::Requested };
    if world.give(deployment, cancel.clone()) != Err(Refused::NotFound) {
        return;
    }
    let Some((_, subject)) = turn.filter(|(id, _)| *id == deployment) else { return };
    let begin = DeploymentCommand::Begin { service: values::SERVICE, subject };
    world.give(deployment, begin).expect("it has not begun");
    world.give(deployment, cancel).expect("it has just begun");
}
