//! Routes: which hostname's requests go to which instances. Read by the edge when it starts; what comes
//! after, it reads from the log.

use domain::event::Event;
use domain::hostname::Hostname;
use domain::id::{DeploymentId, OrganizationId, ServiceId};
use domain::service;
use domain::service::release::{Instance, ReleaseNumber};
use domain::stream::{Position, Recorded};
use serde::Serialize;

use crate::change::Change;
use crate::projection::Projection;
use crate::projector::checkpoint;
use crate::store::row::unreadable;
use crate::store::{FromRow, QueryError, ReadStore, Row, Select};
use crate::table::{Owner, Table, number, text};
use crate::value::json;

/// The projection.
pub const PROJECTION: Projection = Projection { name: "route", version: 2, tables: &[&ROUTES], changes };

static ROUTES: Table = Table {
    name: "routes",
    key: 1,
    owner: Owner::Organization("organization"),
    columns: &[
        text("service"),
        text("organization"),
        text("hostname"),
        number("release").or_null(),
        text("deployment").or_null(),
        text("instances").or_null(),
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
    let id = recorded.stream.id;
    match event {
        service::Event::Created { hostname, .. } => vec![ROUTES.insert(
            id,
            [("organization", recorded.stream.organization.into()), ("hostname", hostname.into())],
        )],
        service::Event::ReleaseActivated { release, deployment, instances } => {
            let set = [
                ("release", (*release).into()),
                ("deployment", deployment.into()),
                ("instances", json(instances).into()),
            ];
            vec![ROUTES.update(id, set)]
        }
        service::Event::InstancesMoved { instances, .. } => {
            vec![ROUTES.update(id, [("instances", json(instances).into())])]
        }
        service::Event::Deleted {} => vec![ROUTES.delete(id)],
        service::Event::VariablesChanged { .. }
        | service::Event::VariablesRevealed { .. }
        | service::Event::Scaled { .. }
        | service::Event::RollbackRequested { .. }
        | service::Event::DeploymentRequested { .. }
        | service::Event::DeploymentAdmitted { .. }
        | service::Event::DeploymentSuperseded { .. }
        | service::Event::DeploymentWithdrawn { .. }
        | service::Event::ReleaseCut { .. }
        | service::Event::InstanceExited { .. } // It is started again and says then where it is.
        | service::Event::DeploymentEnded { .. } => vec![],
    }
}

/// Where the requests for a hostname go.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// The hostname.
    pub hostname: Hostname,
    /// The service that answers to it.
    pub service: ServiceId,
    /// That service's organisation.
    pub organization: OrganizationId,
    /// What is live.
    pub release: ReleaseNumber,
    /// The deployment that brought it.
    pub deployment: DeploymentId,
    /// Where its instances are.
    pub instances: Vec<Instance>,
}

impl FromRow for Route {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        Ok(Self {
            hostname: row.get("hostname")?,
            service: row.get("service")?,
            organization: row.get("organization")?,
            release: row.get("release")?,
            deployment: row.get("deployment")?,
            instances: row
                .document("instances")?
                .ok_or_else(|| unreadable("instances", "it is null".into()))?,
        })
    }
}

const ROUTE: &str = "SELECT hostname, service, organization, release, deployment, instances FROM routes";

/// All routes, and the position that they stand for at least: what comes after it in the log may be in them
/// already, and changes nothing when it is applied again.
///
/// # Errors
/// [`QueryError`].
pub async fn all(store: &ReadStore) -> Result<(Vec<Route>, Position), QueryError> {
    let position = checkpoint::position(store, PROJECTION.name).await?;
    let select = Select::platform(ROUTE).with("WHERE release IS NOT NULL ORDER BY hostname, service", []);
    Ok((store.all(select).await?, position))
}

/// The routes of an organisation's services.
///
/// # Errors
/// [`QueryError`].
pub async fn of_organization(
    store: &ReadStore,
    organization: OrganizationId,
) -> Result<Vec<Route>, QueryError> {
    let select = Select::of(organization, ROUTE);
    let own = "WHERE organization = $1 AND release IS NOT NULL ORDER BY hostname, service";
    store.all(select.with(own, [])).await
}

/// A hostname and the service that answers to it, whether or not it has something live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The hostname.
    pub hostname: Hostname,
    /// The service.
    pub service: ServiceId,
}

impl FromRow for Name {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        Ok(Self { hostname: row.get("hostname")?, service: row.get("service")? })
    }
}

/// All hostnames: what goes live next answers to one of them.
///
/// # Errors
/// [`QueryError`].
pub async fn hostnames(store: &ReadStore) -> Result<Vec<Name>, QueryError> {
    store.all(Select::platform("SELECT hostname, service FROM routes ORDER BY hostname, service")).await
}
