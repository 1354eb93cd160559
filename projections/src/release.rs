//! Releases: what each fixed, how it stands, and what it changed against the one that was live before it.
//!
//! A release's whole specification is kept, without the sealed values: the fingerprints tell which variables
//! differ, and what brings a release back is the log.

mod query;

use domain::event::Event;
use domain::service;
use domain::service::release::{ReleaseNumber, Specification};
use domain::stream::Recorded;
use serde::Serializer;

pub(crate) use self::query::specifications;
pub use self::query::{Changed, Release, find, list};

use crate::change::Change;
use crate::projection::Projection;
use crate::table::{Owner, Table, number, text};
use crate::value::{Value, json};

/// The projection.
pub const PROJECTION: Projection = Projection { name: "release", version: 2, tables: &[&RELEASES], changes };

/// A deployment cuts one release at most, so a release is known by its deployment too.
static RELEASES: Table = Table {
    name: "releases",
    key: 1,
    owner: Owner::Organization("organization"),
    columns: &[
        text("deployment"),
        text("organization"),
        text("service"),
        number("number"),
        text("cut_at"),
        number("cut_position"),
        text("activated_at").or_null(),
        number("activated_position").or_null(),
        text("ended_at").or_null(),
        number("replicas"),
        text("specification"),
    ],
    indexes: &["service, number"],
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
    match event {
        service::Event::ReleaseCut { release, deployment, specification } => vec![RELEASES.insert(
            deployment,
            [
                ("organization", recorded.stream.organization.into()),
                ("service", recorded.stream.id.into()),
                ("number", (*release).into()),
                ("cut_at", recorded.at.into()),
                ("cut_position", recorded.position.into()),
                ("replicas", specification.replicas.into()),
                ("specification", without_values(specification).into()),
            ],
        )],
        service::Event::ReleaseActivated { deployment, .. } => {
            let set =
                [("activated_at", recorded.at.into()), ("activated_position", recorded.position.into())];
            vec![RELEASES.update(deployment, set)]
        }
        service::Event::DeploymentEnded { deployment, outcome: _ } => {
            vec![RELEASES.update(deployment, [("ended_at", recorded.at.into())])]
        }
        service::Event::Created { .. }
        | service::Event::VariablesChanged { .. }
        | service::Event::VariablesRevealed { .. }
        | service::Event::Scaled { .. }
        | service::Event::RollbackRequested { .. } // The deployment's row knows it.
        | service::Event::DeploymentRequested { .. }
        | service::Event::DeploymentAdmitted { .. }
        | service::Event::DeploymentSuperseded { .. }
        | service::Event::DeploymentWithdrawn { .. }
        | service::Event::InstancesMoved { .. }
        | service::Event::InstanceExited { .. }
        | service::Event::Deleted {} => vec![],
    }
}

fn without_values(specification: &Specification) -> Value {
    let mut specification = specification.clone();
    for sealed in specification.variables.values_mut() {
        sealed.data.clear();
    }
    json(&specification)
}

/// A release as people write it: `v7`.
pub(crate) fn written<S: Serializer>(number: &ReleaseNumber, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

#[expect(clippy::ref_option, reason = "serde hands the field over like this")]
pub(crate) fn written_optional<S: Serializer>(
    number: &Option<ReleaseNumber>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => written(number, serializer),
        None => serializer.serialize_none(),
    }
}
