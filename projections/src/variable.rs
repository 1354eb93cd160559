//! The variables of services, sealed: a value is shown only by whoever has the keyring, and asks it to.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::event::Event;
use domain::id::{OrganizationId, ServiceId, UserId};
use domain::name::VariableName;
use domain::secret::Sealed;
use domain::service;
use domain::stream::{Position, Recorded};
use serde::Serialize;

use crate::change::Change;
use crate::projection::Projection;
use crate::store::row::unreadable;
use crate::store::{FromRow, QueryError, ReadStore, Row, Select};
use crate::table::{Owner, Table, number, text};
use crate::value::json;

/// The projection.
pub const PROJECTION: Projection =
    Projection { name: "variable", version: 2, tables: &[&VARIABLES], changes };

static VARIABLES: Table = Table {
    name: "variables",
    key: 2,
    owner: Owner::Organization("organization"),
    columns: &[
        text("service"),
        text("name"),
        text("organization"),
        text("sealed"),
        text("changed_at"),
        text("changed_by").or_null(),
        number("position"),
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
        service::Event::VariablesChanged { set, unset } => {
            let gone = unset.iter().map(|name| VARIABLES.delete((id, name)));
            let there = set.iter().map(|(name, sealed)| {
                VARIABLES.upsert(
                    (id, name),
                    [
                        ("organization", recorded.stream.organization.into()),
                        ("sealed", json(sealed).into()),
                        ("changed_at", recorded.at.into()),
                        ("changed_by", recorded.actor.person().into()),
                        ("position", recorded.position.into()),
                    ],
                )
            });
            gone.chain(there).collect()
        }
        service::Event::Deleted {} => vec![VARIABLES.delete(id)],
        service::Event::Created { .. }
        | service::Event::VariablesRevealed { .. } // A look changes nothing.
        | service::Event::Scaled { .. }
        | service::Event::RollbackRequested { .. } // The variables that come back have an event of their own.
        | service::Event::DeploymentRequested { .. }
        | service::Event::DeploymentAdmitted { .. }
        | service::Event::DeploymentSuperseded { .. }
        | service::Event::DeploymentWithdrawn { .. }
        | service::Event::ReleaseCut { .. }
        | service::Event::ReleaseActivated { .. }
        | service::Event::InstancesMoved { .. }
        | service::Event::InstanceExited { .. }
        | service::Event::DeploymentEnded { .. } => vec![],
    }
}

/// A variable. Serialised, it has no value: whoever reveals it adds one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: VariableName,
    /// Its value, for the keyring.
    #[serde(skip)]
    pub sealed: Sealed,
    /// When it was set.
    pub changed_at: DateTime<Utc>,
    /// By whom.
    pub changed_by: Option<UserId>,
    /// The position of that change.
    pub position: Position,
}

impl FromRow for Variable {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        Ok(Self {
            name: row.get("name")?,
            sealed: row.document("sealed")?.ok_or_else(|| unreadable("sealed", "it is null".into()))?,
            changed_at: row.get("changed_at")?,
            changed_by: row.optional("changed_by")?,
            position: row.get("position")?,
        })
    }
}

const VARIABLE: &str = "SELECT v.service, v.name, v.sealed, v.changed_at, v.changed_by, v.position \
     FROM variables v WHERE v.organization = $1";

/// A service's variables by name, as its next release will have them. There are few: no pages.
///
/// # Errors
/// [`QueryError`].
pub async fn list(
    store: &ReadStore,
    organization: OrganizationId,
    service: ServiceId,
) -> Result<Vec<Variable>, QueryError> {
    let select = Select::of(organization, VARIABLE);
    store.all(select.with("AND v.service = ? ORDER BY v.name", [service.into()])).await
}

/// One variable of a service.
///
/// # Errors
/// [`QueryError`].
pub async fn get(
    store: &ReadStore,
    organization: OrganizationId,
    service: ServiceId,
    name: &VariableName,
) -> Result<Option<Variable>, QueryError> {
    let select = Select::of(organization, VARIABLE);
    store.optional(select.with("AND v.service = ? AND v.name = ?", [service.into(), name.into()])).await
}

/// The variables of one service.
pub(crate) type Variables = HashMap<VariableName, Sealed>;

/// A variable and whose it is.
struct Owned {
    service: ServiceId,
    variable: Variable,
}

impl FromRow for Owned {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        Ok(Self { service: row.get("service")?, variable: Variable::from_row(row)? })
    }
}

pub(crate) async fn of_services(
    store: &ReadStore,
    organization: OrganizationId,
    services: impl IntoIterator<Item = ServiceId>,
) -> Result<HashMap<ServiceId, Variables>, QueryError> {
    let select = Select::of(organization, VARIABLE)
        .with_list("AND v.service IN", services.into_iter().map(Into::into));
    let mut of: HashMap<ServiceId, Variables> = HashMap::new();
    for Owned { service, variable } in store.all(select).await? {
        of.entry(service).or_default().insert(variable.name, variable.sealed);
    }
    Ok(of)
}

/// Whether a release has the same variables as its service has now.
pub(crate) fn are_same(of_release: &BTreeMap<VariableName, Sealed>, now: &Variables) -> bool {
    let same =
        |(name, sealed): (&VariableName, &Sealed)| now.get(name).is_some_and(|now| now.same_value(sealed));
    of_release.len() == now.len() && of_release.iter().all(same)
}
