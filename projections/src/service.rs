//! Services: where they are, what they answer to, what is live, and whose turn it is. Whether what is live
//! works is not here: nobody appends that to the log.

mod query;

use domain::event::Event;
use domain::service;
use domain::service::release::InstanceId;
use domain::stream::Recorded;

pub use self::query::{Exits, Filter, Live, Place, Service, find, get, list, locate, place};

use crate::change::{Assignment, Change};
use crate::projection::Projection;
use crate::table::{Owner, Table, number, text};
use crate::value::plus;

/// The projection.
pub const PROJECTION: Projection =
    Projection { name: "service", version: 2, tables: &[&SERVICES, &EXITS], changes };

static SERVICES: Table = Table {
    name: "services",
    key: 1,
    owner: Owner::Organization("organization"),
    columns: &[
        text("id"),
        text("organization"),
        text("project"),
        text("environment"),
        text("name"),
        text("hostname"),
        text("created_at"),
        text("deleted_at").or_null(),
        number("position"),
        // How many instances were asked for by command, and when that or a variable was last changed.
        number("replicas").or_null(),
        number("configured_position").or_null(),
        number("live_release").or_null(),
        text("live_deployment").or_null(),
        text("live_since").or_null(),
        text("turn").or_null(),
        text("waiting").or_null(),
    ],
    indexes: &["organization, project", "environment, name"],
};

static EXITS: Table = Table {
    name: "exits",
    key: 2,
    owner: Owner::Organization("organization"),
    columns: &[
        text("service"),
        number("release"),
        text("organization"),
        number("times"),
        text("last_at"),
        text("last_instance"),
        text("last_exit"),
    ],
    indexes: &[],
};

/// What an event changes.
#[must_use]
pub fn changes(recorded: &Recorded) -> Vec<Change> {
    match &recorded.event {
        Event::Service(event) => of_service(recorded, event),
        Event::User(_)
        | Event::Organization(_)
        | Event::Project(_)
        | Event::Deployment(_)
        | Event::Claim(_) => vec![],
    }
}

fn of_service(recorded: &Recorded, event: &service::Event) -> Vec<Change> {
    let (id, position) = (recorded.stream.id, recorded.position);
    match event {
        service::Event::Created { project, environment, name, hostname } => vec![SERVICES.insert(
            id,
            [
                ("organization", recorded.stream.organization.into()),
                ("project", project.into()),
                ("environment", environment.into()),
                ("name", name.into()),
                ("hostname", hostname.into()),
                ("created_at", recorded.at.into()),
                ("position", position.into()),
            ],
        )],
        service::Event::VariablesChanged { .. } => {
            let set = [("configured_position", position.into()), ("position", position.into())];
            vec![SERVICES.update(id, set)]
        }
        service::Event::Scaled { replicas } => {
            let set = [
                ("replicas", (*replicas).into()),
                ("configured_position", position.into()),
                ("position", position.into()),
            ];
            vec![SERVICES.update(id, set)]
        }
        service::Event::DeploymentRequested { deployment, .. } => {
            vec![SERVICES.update(id, [("waiting", deployment.into()), ("position", position.into())])]
        }
        service::Event::DeploymentAdmitted { deployment } => {
            let set = [
                ("turn", deployment.into()),
                ("waiting", None::<String>.into()),
                ("position", position.into()),
            ];
            vec![SERVICES.update(id, set)]
        }
        service::Event::DeploymentWithdrawn { .. } | service::Event::DeploymentSuperseded { .. } => {
            vec![SERVICES.update(id, [("waiting", None::<String>.into()), ("position", position.into())])]
        }
        service::Event::DeploymentEnded { .. } => {
            vec![SERVICES.update(id, [("turn", None::<String>.into()), ("position", position.into())])]
        }
        service::Event::ReleaseActivated { release, deployment, .. } => {
            let set = [
                ("live_release", (*release).into()),
                ("live_deployment", deployment.into()),
                ("live_since", recorded.at.into()),
                ("position", position.into()),
            ];
            vec![SERVICES.update(id, set)]
        }
        service::Event::InstanceExited { release, instance, exit } => {
            vec![EXITS.upsert((id, *release), exited(recorded, instance, exit))]
        }
        service::Event::Deleted {} => {
            let set = [("deleted_at", recorded.at.into()), ("position", position.into())];
            vec![SERVICES.update(id, set), EXITS.delete(id)]
        }
        service::Event::RollbackRequested { .. }
        | service::Event::VariablesRevealed { .. }
        | service::Event::ReleaseCut { .. } // One that does not run yet is the releases' concern.
        | service::Event::InstancesMoved { .. } => vec![], // Where instances are is the routes' concern.
    }
}

fn exited(recorded: &Recorded, instance: &InstanceId, exit: &str) -> [Assignment; 5] {
    [
        ("organization", recorded.stream.organization.into()),
        ("times", plus(1)),
        ("last_at", recorded.at.into()),
        ("last_instance", instance.into()),
        ("last_exit", exit.to_owned().into()),
    ]
}
