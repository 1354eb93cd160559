//! Deployments: what was asked for, by whom and why, how far it is, and how it ended.

mod query;

use domain::deployment::step::{Output, Step};
use domain::deployment::{self};
use domain::event::Event;
use domain::service::release::Build;
use domain::service::{self, Subject};
use domain::source::{Revision, Source};
use domain::stream::Recorded;

pub use self::query::{Deployment, Failure, Filter, Status, Trigger, get, list};

use crate::change::{Assignment, Change};
use crate::projection::Projection;
use crate::table::{Owner, Table, number, text};
use crate::value::{Value, json};

/// The projection.
pub const PROJECTION: Projection =
    Projection { name: "deployment", version: 2, tables: &[&DEPLOYMENTS, &CAUSES], changes };

static DEPLOYMENTS: Table = Table {
    name: "deployments",
    key: 1,
    owner: Owner::Organization("organization"),
    columns: &[
        text("id"),
        text("organization"),
        text("service"),
        text("status"),
        // What it brings: `source`, `configuration` or `release`.
        text("subject"),
        text("source").or_null(),
        number("of_release").or_null(),
        text("actor_kind"),
        text("person").or_null(),
        text("requested_at"),
        number("requested_position"),
        text("admitted_at").or_null(),
        text("started_at").or_null(),
        text("finished_at").or_null(),
        text("step").or_null(),
        text("revision").or_null(),
        text("artifact").or_null(),
        number("release").or_null(),
        text("failed_step").or_null(),
        text("failure_code").or_null(),
        text("failure_message").or_null(),
        text("cancel_requested_at").or_null(),
        text("superseded_by").or_null(),
        number("position"),
    ],
    indexes: &["organization, requested_position", "service, requested_position"],
};

/// What else a commit had that asked for a deployment: an event alone does not say why it was made.
static CAUSES: Table = Table {
    name: "causes",
    key: 1,
    owner: Owner::Organization("organization"),
    columns: &[
        number("position"),
        text("organization"),
        number("has_variables").or_null(),
        number("has_scale").or_null(),
        number("rollback_from").or_null(),
        number("rollback_to").or_null(),
    ],
    indexes: &[],
};

/// What an event changes.
#[must_use]
pub fn changes(recorded: &Recorded) -> Vec<Change> {
    match &recorded.event {
        Event::Service(event) => of_service(recorded, event),
        Event::Deployment(event) => of_deployment(recorded, event),
        Event::User(_) | Event::Organization(_) | Event::Project(_) | Event::Claim(_) => vec![],
    }
}

fn of_service(recorded: &Recorded, event: &service::Event) -> Vec<Change> {
    let position = recorded.position;
    let whose = ("organization", recorded.stream.organization.into());
    match event {
        service::Event::VariablesChanged { .. } => {
            vec![CAUSES.upsert(position, [whose, ("has_variables", 1_i64.into())])]
        }
        service::Event::Scaled { .. } => vec![CAUSES.upsert(position, [whose, ("has_scale", 1_i64.into())])],
        service::Event::RollbackRequested { from, to, deployment: _ } => {
            let set = [whose, ("rollback_from", (*from).into()), ("rollback_to", (*to).into())];
            vec![CAUSES.upsert(position, set)]
        }
        service::Event::DeploymentRequested { deployment, subject } => {
            vec![DEPLOYMENTS.insert(deployment, requested(recorded, subject))]
        }
        service::Event::DeploymentAdmitted { deployment } => {
            let set = [("admitted_at", recorded.at.into()), ("position", position.into())];
            vec![DEPLOYMENTS.update(deployment, set)]
        }
        service::Event::DeploymentSuperseded { deployment, by } => {
            let set = [
                ("status", Status::Superseded.into()),
                ("finished_at", recorded.at.into()),
                ("superseded_by", by.into()),
                ("position", position.into()),
            ];
            vec![DEPLOYMENTS.update(deployment, set)]
        }
        service::Event::DeploymentWithdrawn { deployment } => {
            vec![DEPLOYMENTS.update(deployment, over(recorded, Status::Cancelled))]
        }
        service::Event::ReleaseCut { release, deployment, specification } => {
            let Build { artifact, revision, .. } = &specification.build;
            let set = [
                ("release", (*release).into()),
                ("artifact", artifact.into()),
                ("revision", optional(revision.as_ref()).into()),
                ("position", position.into()),
            ];
            vec![DEPLOYMENTS.update(deployment, set)]
        }
        service::Event::Created { .. }
        | service::Event::VariablesRevealed { .. }
        | service::Event::ReleaseActivated { .. } // `WentLive` follows in the deployment's own stream.
        | service::Event::InstancesMoved { .. }
        | service::Event::InstanceExited { .. }
        | service::Event::DeploymentEnded { .. } // Its own stream has said how.
        | service::Event::Deleted {} => vec![],
    }
}

fn requested(recorded: &Recorded, subject: &Subject) -> [Assignment; 12] {
    let none = || Value::Text(None);
    let (kind, source, of_release, revision) = match subject {
        Subject::Source { source, .. } => ("source", json(source), None, revision_of(source)),
        Subject::Configuration {} => ("configuration", none(), None, None),
        Subject::Release { release, build } => ("release", none(), Some(*release), build.revision.as_ref()),
    };
    [
        ("organization", recorded.stream.organization.into()),
        ("service", recorded.stream.id.into()),
        ("status", Status::Pending.into()),
        ("subject", kind.into()),
        ("source", source.into()),
        ("of_release", of_release.into()),
        ("revision", optional(revision).into()),
        ("actor_kind", recorded.actor.kind.into()),
        ("person", recorded.actor.person().into()),
        ("requested_at", recorded.at.into()),
        ("requested_position", recorded.position.into()),
        ("position", recorded.position.into()),
    ]
}

fn of_deployment(recorded: &Recorded, event: &deployment::Event) -> Vec<Change> {
    let (id, position) = (recorded.stream.id, recorded.position);
    match event {
        deployment::Event::Begun { .. } => {
            let set = [("started_at", recorded.at.into()), ("position", position.into())];
            vec![DEPLOYMENTS.update(id, set)]
        }
        // It is over for whoever waits for it; what is retired belongs to the release before.
        deployment::Event::StepStarted { step: Step::Retire, .. } => vec![],
        deployment::Event::StepStarted { step, .. } => {
            let set = [
                ("status", Status::of(*step).into()),
                ("step", (*step).into()),
                ("position", position.into()),
            ];
            vec![DEPLOYMENTS.update(id, set)]
        }
        deployment::Event::StepSucceeded { output, .. } => learnt(recorded, output),
        deployment::Event::CancelRequested { .. } => {
            let set = [("cancel_requested_at", recorded.at.into()), ("position", position.into())];
            vec![DEPLOYMENTS.update(id, set)]
        }
        deployment::Event::WentLive { .. } => vec![DEPLOYMENTS.update(id, over(recorded, Status::Success))],
        deployment::Event::Failed { step, failure } => {
            let why = [
                ("failed_step", (*step).into()),
                ("failure_code", failure.code.clone().into()),
                ("failure_message", failure.message.clone().into()),
            ];
            vec![DEPLOYMENTS.update(id, over(recorded, Status::Failed)), DEPLOYMENTS.update(id, why)]
        }
        deployment::Event::Cancelled { .. } => {
            vec![DEPLOYMENTS.update(id, over(recorded, Status::Cancelled))]
        }
        deployment::Event::StepFailed { .. } // It may be tried again; `Failed` says when it is not.
        | deployment::Event::UndoStarted { .. } // What is taken away is the timeline's concern.
        | deployment::Event::UndoSucceeded { .. }
        | deployment::Event::UndoFailed { .. } => vec![],
    }
}

fn over(recorded: &Recorded, status: Status) -> [Assignment; 4] {
    [
        ("status", status.into()),
        ("finished_at", recorded.at.into()),
        ("step", Value::Text(None).into()),
        ("position", recorded.position.into()),
    ]
}

fn learnt(recorded: &Recorded, output: &Output) -> Vec<Change> {
    let id = recorded.stream.id;
    match output {
        Output::Fetch { revision: Some(revision) } => {
            vec![DEPLOYMENTS.update(id, [("revision", json(revision).into())])]
        }
        Output::Push { artifact } => vec![DEPLOYMENTS.update(id, [("artifact", artifact.into())])],
        Output::Fetch { revision: None }
        | Output::Detect { .. }
        | Output::Build { .. }
        | Output::Cut { .. } // The service's own event says it.
        | Output::ArtifactMissing { .. }
        | Output::Prepare {}
        | Output::RollOut { .. }
        | Output::Verify {}
        | Output::Activate {}
        | Output::Retire {} => vec![],
    }
}

/// What is known of the revision before anything is fetched.
fn revision_of(source: &Source) -> Option<&Revision> {
    match source {
        Source::Upload { revision, .. } => revision.as_ref(),
        Source::Repository { .. } | Source::Image { .. } => None,
    }
}

fn optional(revision: Option<&Revision>) -> Value {
    revision.map_or(Value::Text(None), json)
}
