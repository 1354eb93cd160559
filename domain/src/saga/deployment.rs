//! The saga of a deployment: from the turn that its service gives it to the turn given back.

use super::Effect;
use crate::deployment::{CancelReason, Command, Deployment, Progress, Task, Why};
use crate::event::Event;
use crate::id::{DeploymentId, ServiceId};
use crate::service::{Command as ServiceCommand, Outcome, Service};
use crate::{deployment, service};

/// Whether this event is one to look at a state for.
#[must_use]
pub const fn wakes(event: &Event) -> bool {
    match event {
        Event::Service(event) => match event {
            service::Event::DeploymentAdmitted { .. } | service::Event::Deleted {} => true,
            service::Event::Created { .. }
            | service::Event::VariablesChanged { .. }
            | service::Event::VariablesRevealed { .. }
            | service::Event::Scaled { .. }
            | service::Event::RollbackRequested { .. }
            | service::Event::DeploymentRequested { .. }
            | service::Event::DeploymentSuperseded { .. }
            | service::Event::DeploymentWithdrawn { .. }
            | service::Event::ReleaseCut { .. }
            | service::Event::ReleaseActivated { .. }
            | service::Event::InstancesMoved { .. }
            | service::Event::InstanceExited { .. }
            | service::Event::DeploymentEnded { .. } => false,
        },
        Event::Deployment(event) => match event {
            deployment::Event::StepStarted { .. } | deployment::Event::UndoStarted { .. } => false,
            deployment::Event::Begun { .. }
            | deployment::Event::StepSucceeded { .. }
            | deployment::Event::StepFailed { .. }
            | deployment::Event::CancelRequested { .. }
            | deployment::Event::UndoSucceeded { .. }
            | deployment::Event::UndoFailed { .. }
            | deployment::Event::WentLive { .. }
            | deployment::Event::Failed { .. }
            | deployment::Event::Cancelled { .. } => true,
        },
        Event::User(_) | Event::Organization(_) | Event::Project(_) | Event::Claim(_) => false,
    }
}

/// What a service's state asks for: that the deployment with the turn begins, and stops when the service is
/// gone. One that had not begun begins all the same: only what has begun can be stopped, and only what is
/// over gives the turn back.
#[must_use]
pub fn react_to_service(id: ServiceId, service: &Service) -> Vec<Effect> {
    let give = |turn: &service::Request, command| Effect::Deployment {
        deployment: turn.deployment,
        command: Box::new(command),
    };
    let begin =
        |turn: &service::Request| give(turn, Command::Begin { service: id, subject: turn.subject.clone() });
    match service {
        Service::Absent | Service::Deleted { turn: None } => vec![],
        Service::Active(active) => active.turn.iter().map(begin).collect(),
        Service::Deleted { turn: Some(turn) } => {
            let cancel = Command::Cancel { reason: CancelReason::ServiceDeleted };
            vec![begin(turn), give(turn, cancel)]
        }
    }
}

/// What a deployment's state asks for: the next piece of work, or that its service hears of its end.
#[must_use]
pub fn react(id: DeploymentId, state: &Deployment) -> Vec<Effect> {
    match state {
        Deployment::Absent => vec![],
        Deployment::Running { task, .. }
        | Deployment::Stopping { task, .. }
        | Deployment::Undoing { task, .. } => {
            vec![work(id, task)]
        }
        Deployment::Live { facts, task } => {
            vec![ended(id, facts.service, Outcome::Succeeded), work(id, task)]
        }
        Deployment::Over { facts, why } => {
            let outcome = match why {
                None => Outcome::Succeeded,
                Some(Why::Failed { .. }) => Outcome::Failed,
                Some(Why::Cancelled { .. }) => Outcome::Cancelled,
            };
            vec![ended(id, facts.service, outcome)]
        }
    }
}

fn work(deployment: DeploymentId, task: &Task) -> Effect {
    let not_before = match task.progress {
        Progress::Ready { not_before } => not_before,
        Progress::Underway { .. } => None,
    };
    Effect::Work { deployment, work: task.work, attempt: task.attempt, not_before }
}

fn ended(deployment: DeploymentId, service: ServiceId, outcome: Outcome) -> Effect {
    Effect::Service { service, command: Box::new(ServiceCommand::EndDeployment { deployment, outcome }) }
}

#[cfg(test)]
mod tests;
