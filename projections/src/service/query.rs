//! The queries of services.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::hostname::Hostname;
use domain::id::{DeploymentId, EnvironmentId, OrganizationId, ProjectId, ServiceId};
use domain::name::{EnvironmentName, ProjectName, ServiceName};
use domain::service::release::{InstanceId, ReleaseNumber};
use domain::stream::Position;
use serde::Serialize;

use crate::page::{Listed, Page};
use crate::release;
use crate::store::row::row;
use crate::store::select::pattern;
use crate::store::{FromRow, QueryError, ReadStore, Row, Select};
use crate::table::Kind;
use crate::variable;

/// What runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Live {
    /// The release.
    #[serde(serialize_with = "release::written")]
    pub release: ReleaseNumber,
    /// The deployment that brought it.
    pub deployment: DeploymentId,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How many instances of it there should be.
    pub replicas: u16,
    /// Those of its instances that ended by themselves.
    pub exits: Option<Exits>,
}

/// Instances that ended by themselves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exits {
    /// How often that happened.
    pub times: u32,
    /// When last.
    pub last_at: DateTime<Utc>,
    /// Which instance it was.
    pub last_instance: InstanceId,
    /// How it ended.
    pub last_exit: String,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    /// Which one.
    pub id: ServiceId,
    /// Its name.
    pub name: ServiceName,
    /// The project it is of.
    pub project: ProjectId,
    /// That project's name.
    pub project_name: Option<ProjectName>,
    /// The environment it is in.
    pub environment: EnvironmentId,
    /// That environment's name.
    pub environment_name: Option<EnvironmentName>,
    /// What it answers to.
    pub hostname: Hostname,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// The position of its last change.
    pub position: Position,
    /// What runs.
    pub live: Option<Live>,
    /// How many instances were asked for by command; otherwise what is deployed says how many.
    pub replicas: Option<u16>,
    /// Whether variables or the scale were changed and what runs does not have the change yet.
    pub staged: bool,
    /// The deployment that has the turn.
    pub turn: Option<DeploymentId>,
    /// The one that waits for it.
    pub waiting: Option<DeploymentId>,
}

impl FromRow for Service {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        let exits = match row.optional("times")? {
            None => None,
            Some(times) => Some(Exits {
                times,
                last_at: row.get("last_at")?,
                last_instance: row.get("last_instance")?,
                last_exit: row.get("last_exit")?,
            }),
        };
        let live = match row.optional("live_release")? {
            None => None,
            Some(release) => Some(Live {
                release,
                deployment: row.get("live_deployment")?,
                since: row.get("live_since")?,
                replicas: row.optional("live_replicas")?.unwrap_or(1),
                exits,
            }),
        };
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            project: row.get("project")?,
            project_name: row.optional("project_name")?,
            environment: row.get("environment")?,
            environment_name: row.optional("environment_name")?,
            hostname: row.get("hostname")?,
            created_at: row.get("created_at")?,
            position: row.get("position")?,
            live,
            replicas: row.optional("replicas")?,
            staged: row.get::<i64>("may_be_staged")? > 0,
            turn: row.optional("turn")?,
            waiting: row.optional("waiting")?,
        })
    }
}

/// Which services are wanted. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this project.
    pub project: Option<ProjectId>,
    /// Only in this environment.
    pub environment: Option<EnvironmentId>,
    /// Only those whose name has this in it.
    pub text: Option<String>,
}

/// A change that was made after the live release was fixed may still be the one that it has: whoever asks
/// looks closer.
const SERVICE: &str = "SELECT s.id, s.name, s.project, p.name AS project_name, s.environment, \
     e.name AS environment_name, s.hostname, s.created_at, s.position, s.live_release, s.live_deployment, \
     s.live_since, s.replicas, s.turn, s.waiting, r.replicas AS live_replicas, \
     x.times, x.last_at, x.last_instance, x.last_exit, \
     CAST(CASE WHEN s.configured_position > r.cut_position THEN 1 ELSE 0 END AS BIGINT) AS may_be_staged \
     FROM services s LEFT JOIN projects p ON p.id = s.project \
     LEFT JOIN environments e ON e.id = s.environment \
     LEFT JOIN releases r ON r.deployment = s.live_deployment \
     LEFT JOIN exits x ON x.service = s.id AND x.release = s.live_release \
     WHERE s.organization = $1 AND s.deleted_at IS NULL";

const LOCATE: &str = "SELECT s.id FROM services s JOIN environments e ON e.id = s.environment \
     JOIN projects p ON p.id = s.project \
     WHERE s.organization = $1 AND s.deleted_at IS NULL AND e.removed_at IS NULL AND p.deleted_at IS NULL";

/// Services by project, environment and name.
///
/// # Errors
/// [`QueryError`].
pub async fn list(
    store: &ReadStore,
    organization: OrganizationId,
    filter: &Filter,
    page: &Page,
) -> Result<Listed<Service>, QueryError> {
    let mut select = Select::of(organization, SERVICE)
        .with_some("AND s.project = ?", filter.project)
        .with_some("AND s.environment = ?", filter.environment)
        .with_some("AND lower(s.name) LIKE ? ESCAPE '\\'", filter.text.as_deref().map(pattern));
    if let Some(after) = page.after("services", [Kind::Text; 4])? {
        select = select.with("AND (s.project, s.environment, s.name, s.id) > (?, ?, ?, ?)", after);
    }
    let select =
        select.with("ORDER BY s.project, s.environment, s.name, s.id LIMIT ?", [page.fetch().into()]);
    let rows = store.all(select).await?;
    let mut listed = page.of("services", rows, |row: &Service| {
        vec![row.project.into(), row.environment.into(), (&row.name).into(), row.id.into()]
    });
    look_closer(store, organization, &mut listed.items).await?;
    Ok(listed)
}

/// One service.
///
/// # Errors
/// [`QueryError`].
pub async fn get(
    store: &ReadStore,
    organization: OrganizationId,
    service: ServiceId,
) -> Result<Option<Service>, QueryError> {
    one(store, organization, Select::of(organization, SERVICE).with("AND s.id = ?", [service.into()])).await
}

/// The service of an environment that a person means by an id or a name.
///
/// # Errors
/// [`QueryError`].
pub async fn find(
    store: &ReadStore,
    organization: OrganizationId,
    environment: EnvironmentId,
    text: &str,
) -> Result<Option<Service>, QueryError> {
    let select = Select::of(organization, SERVICE).with("AND s.environment = ?", [environment.into()]);
    let select = match text.parse::<ServiceId>() {
        Ok(id) => select.with("AND s.id = ?", [id.into()]),
        Err(_) => select.with("AND s.name = ? ORDER BY s.created_at, s.id LIMIT 1", [text.to_owned().into()]),
    };
    one(store, organization, select).await
}

async fn one(
    store: &ReadStore,
    organization: OrganizationId,
    select: Select,
) -> Result<Option<Service>, QueryError> {
    let mut found = store.all(select).await?;
    look_closer(store, organization, &mut found).await?;
    Ok(found.into_iter().next())
}

/// Finds out of those services that may have staged changes which have: a value that was changed and changed
/// back is none. That needs the releases' documents, so it is done for few.
async fn look_closer(
    store: &ReadStore,
    organization: OrganizationId,
    services: &mut [Service],
) -> Result<(), QueryError> {
    let suspects: Vec<_> = services
        .iter()
        .filter(|service| service.staged)
        .filter_map(|service| service.live.as_ref().map(|live| (service.id, live.deployment)))
        .collect();
    if suspects.is_empty() {
        return Ok(());
    }
    let variables = variable::of_services(store, organization, suspects.iter().map(|(id, _)| *id)).await?;
    let specifications =
        release::specifications(store, organization, suspects.iter().map(|(_, deployment)| *deployment))
            .await?;
    let none = HashMap::new();
    for service in services.iter_mut().filter(|service| service.staged) {
        let live = service.live.as_ref().and_then(|live| specifications.get(&live.deployment));
        let now = variables.get(&service.id).unwrap_or(&none);
        service.staged = live.is_some_and(|live| {
            let replicas = service.replicas.unwrap_or(live.build.plan.run.replicas);
            replicas != live.replicas || !variable::are_same(&live.variables, now)
        });
    }
    Ok(())
}

row! {
    /// Which service is meant.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Located {
        /// Its id.
        id: ServiceId,
    }
}

/// The service that a person means by the names of its project, its environment and itself, in one query.
/// `None` says little: ids are looked for by [`find`] and its like, step by step, and so is what is wrong.
///
/// # Errors
/// [`QueryError`].
pub async fn locate(
    store: &ReadStore,
    organization: OrganizationId,
    project: &str,
    environment: &str,
    service: &str,
) -> Result<Option<ServiceId>, QueryError> {
    let Ok(slug) = project.parse::<ProjectName>().map(|name| name.slug()) else { return Ok(None) };
    let select = Select::of(organization, LOCATE)
        .with("AND p.slug = ? AND e.name = ?", [slug.into(), environment.to_owned().into()])
        .with("AND s.name = ?", [service.to_owned().into()])
        .with("ORDER BY p.created_at, p.id, s.created_at, s.id LIMIT 1", []);
    let found: Option<Located> = store.optional(select).await?;
    Ok(found.map(|located| located.id))
}

row! {
    /// Where a service is, for whoever has its id only.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct Place {
        /// Its name.
        pub name: ServiceName,
        /// The project it is of.
        pub project: ProjectId,
        /// The environment it is in.
        pub environment: EnvironmentId,
    }
}

/// Where a service is or was: deleted ones too.
///
/// # Errors
/// [`QueryError`].
pub async fn place(
    store: &ReadStore,
    organization: OrganizationId,
    service: ServiceId,
) -> Result<Option<Place>, QueryError> {
    let select =
        Select::of(organization, "SELECT name, project, environment FROM services WHERE organization = $1");
    store.optional(select.with("AND id = ?", [service.into()])).await
}
