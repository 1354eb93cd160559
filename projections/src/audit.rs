//! The history: one row for each event, with a sentence that says what happened. Never the value of a
//! variable.
//!
//! Histories outlive what they tell of, so rows keep ids, and the names are looked up when they are read.

mod query;
mod sentence;

use domain::claim;
use domain::event::Event;
use domain::id::OrganizationId;
use domain::project;
use domain::service;
use domain::stream::{AggregateKind, Recorded};
use domain::user;
use uuid::Uuid;

pub use self::query::{Entry, Filter, list};

use crate::change::Change;
use crate::projection::Projection;
use crate::table::{Owner, Table, number, text};
use crate::value::Value;

/// The projection.
pub const PROJECTION: Projection = Projection { name: "audit", version: 2, tables: &[&HISTORY], changes };

static HISTORY: Table = Table {
    name: "history",
    key: 2,
    owner: Owner::Organization("organization"),
    columns: &[
        number("position"),
        // The version in the stream: it tells the events of one commit apart, and their order.
        number("version"),
        text("id"),
        text("organization"),
        text("at"),
        text("type"),
        text("aggregate"),
        text("stream"),
        text("actor_kind"),
        text("actor"),
        text("person").or_null(),
        text("command"),
        text("correlation"),
        text("project").or_null(),
        text("environment").or_null(),
        text("service").or_null(),
        text("deployment").or_null(),
        // Whether it is a detail of something else that has a row of its own.
        number("is_detail"),
        text("sentence"),
    ],
    indexes: &["organization, position, version"],
};

/// What an event changes: each event has a row.
#[must_use]
pub fn changes(recorded: &Recorded) -> Vec<Change> {
    let told = sentence::of(&recorded.event);
    let about = About::of(recorded);
    let event_type = format!("dev.switchback.{}.{}.v1", recorded.event.aggregate(), told.name);
    vec![HISTORY.insert(
        (recorded.position, recorded.version),
        [
            ("id", recorded.id.into()),
            ("organization", organization_of(recorded).into()),
            ("at", recorded.at.into()),
            ("type", event_type.into()),
            ("aggregate", recorded.stream.kind.into()),
            ("stream", recorded.stream.id.into()),
            ("actor_kind", recorded.actor.kind.into()),
            ("actor", recorded.actor.id.into()),
            ("person", recorded.actor.person().into()),
            ("command", recorded.command.into()),
            ("correlation", recorded.correlation.into()),
            ("project", about.project.into()),
            ("environment", about.environment.into()),
            ("service", about.service.into()),
            ("deployment", about.deployment.into()),
            ("is_detail", i64::from(told.is_detail).into()),
            ("sentence", Value::from(told.text).into()),
        ],
    )]
}

/// Whose history it belongs to. What is written in the platform's own streams may still be somebody's.
fn organization_of(recorded: &Recorded) -> OrganizationId {
    match &recorded.event {
        Event::User(user::Event::TokenIssued { organization, .. }) => *organization,
        Event::Claim(claim::Event::Taken { owner, .. }) => owner.organization,
        Event::User(user::Event::Registered { .. } | user::Event::TokenRevoked { .. })
        | Event::Claim(claim::Event::Released {})
        | Event::Organization(_)
        | Event::Project(_)
        | Event::Service(_)
        | Event::Deployment(_) => recorded.stream.organization,
    }
}

/// What an event is about, as far as it says.
#[derive(Default)]
struct About {
    project: Option<Uuid>,
    environment: Option<Uuid>,
    service: Option<Uuid>,
    deployment: Option<Uuid>,
}

impl About {
    fn of(recorded: &Recorded) -> Self {
        let mut about = Self::default();
        let id = Some(recorded.stream.id);
        match recorded.stream.kind {
            AggregateKind::Project => about.project = id,
            AggregateKind::Service => about.service = id,
            AggregateKind::Deployment => about.deployment = id,
            AggregateKind::User | AggregateKind::Organization | AggregateKind::Claim => {}
        }
        match &recorded.event {
            Event::Project(project::Event::EnvironmentAdded { environment }) => {
                about.environment = Some(environment.id.0);
            }
            Event::Project(project::Event::EnvironmentRemoved { environment }) => {
                about.environment = Some(environment.0);
            }
            Event::Service(event) => about.of_service(event),
            Event::Project(
                project::Event::Created { .. } | project::Event::Renamed { .. } | project::Event::Deleted {},
            )
            | Event::User(_)
            | Event::Organization(_)
            | Event::Deployment(_)
            | Event::Claim(_) => {}
        }
        about
    }

    fn of_service(&mut self, event: &service::Event) {
        match event {
            service::Event::Created { project, environment, .. } => {
                self.project = Some(project.0);
                self.environment = Some(environment.0);
            }
            service::Event::RollbackRequested { deployment, .. }
            | service::Event::DeploymentRequested { deployment, .. }
            | service::Event::DeploymentAdmitted { deployment }
            | service::Event::DeploymentSuperseded { deployment, .. }
            | service::Event::DeploymentWithdrawn { deployment }
            | service::Event::ReleaseCut { deployment, .. }
            | service::Event::ReleaseActivated { deployment, .. }
            | service::Event::DeploymentEnded { deployment, .. } => self.deployment = Some(deployment.0),
            service::Event::VariablesChanged { .. }
            | service::Event::VariablesRevealed { .. }
            | service::Event::Scaled { .. }
            | service::Event::InstancesMoved { .. }
            | service::Event::InstanceExited { .. }
            | service::Event::Deleted {} => {}
        }
    }
}
