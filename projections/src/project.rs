//! Projects and their environments. A deleted project is kept for the histories that name it, and found by no
//! query here.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::event::Event;
use domain::id::{EnvironmentId, OrganizationId, ProjectId};
use domain::name::{EnvironmentName, ProjectName};
use domain::project;
use domain::stream::{Position, Recorded};
use serde::Serialize;

use crate::change::Change;
use crate::page::{Listed, Page};
use crate::projection::Projection;
use crate::store::row::row;
use crate::store::select::pattern;
use crate::store::{QueryError, ReadStore, Select};
use crate::table::{Kind, Owner, Table, number, text};

/// The projection.
pub const PROJECTION: Projection =
    Projection { name: "project", version: 2, tables: &[&PROJECTS, &ENVIRONMENTS], changes };

static PROJECTS: Table = Table {
    name: "projects",
    key: 1,
    owner: Owner::Organization("organization"),
    columns: &[
        text("id"),
        text("organization"),
        text("name"),
        text("slug"),
        text("created_at"),
        text("deleted_at").or_null(),
        number("position"),
    ],
    indexes: &["organization, slug"],
};

static ENVIRONMENTS: Table = Table {
    name: "environments",
    key: 1,
    owner: Owner::Organization("organization"),
    columns: &[
        text("id"),
        text("organization"),
        text("project"),
        text("name"),
        number("place"),
        text("created_at"),
        text("removed_at").or_null(),
    ],
    indexes: &["project"],
};

/// What an event changes.
#[must_use]
pub fn changes(recorded: &Recorded) -> Vec<Change> {
    match &recorded.event {
        Event::Project(event) => of_project(recorded, event),
        Event::User(_)
        | Event::Organization(_)
        | Event::Service(_)
        | Event::Deployment(_)
        | Event::Claim(_) => vec![],
    }
}

fn of_project(recorded: &Recorded, event: &project::Event) -> Vec<Change> {
    let id = recorded.stream.id;
    let touched = || PROJECTS.update(id, [("position", recorded.position.into())]);
    match event {
        project::Event::Created { name, environments } => {
            let created = PROJECTS.insert(
                id,
                [
                    ("organization", recorded.stream.organization.into()),
                    ("name", name.into()),
                    ("slug", name.slug().into()),
                    ("created_at", recorded.at.into()),
                    ("position", recorded.position.into()),
                ],
            );
            let environments =
                environments.iter().zip(0_u32..).map(|(added, place)| environment(recorded, added, place));
            [created].into_iter().chain(environments).collect()
        }
        project::Event::Renamed { name } => vec![PROJECTS.update(
            id,
            [("name", name.into()), ("slug", name.slug().into()), ("position", recorded.position.into())],
        )],
        project::Event::EnvironmentAdded { environment: added } => {
            vec![environment(recorded, added, 0), touched()]
        }
        project::Event::EnvironmentRemoved { environment } => {
            vec![ENVIRONMENTS.update(environment, [("removed_at", recorded.at.into())]), touched()]
        }
        project::Event::Deleted {} => vec![
            PROJECTS.update(id, [("deleted_at", recorded.at.into()), ("position", recorded.position.into())]),
        ],
    }
}

/// The ids of environments come with commands: one that was removed could come again.
fn environment(recorded: &Recorded, added: &project::Environment, place: u32) -> Change {
    ENVIRONMENTS.upsert(
        added.id,
        [
            ("organization", recorded.stream.organization.into()),
            ("project", recorded.stream.id.into()),
            ("name", (&added.name).into()),
            ("place", place.into()),
            ("created_at", recorded.at.into()),
            ("removed_at", None::<String>.into()),
        ],
    )
}

row! {
    /// A project.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct Summary {
        /// Which one.
        pub id: ProjectId,
        /// Its name.
        pub name: ProjectName,
        /// Its name as it stands in addresses.
        pub slug: String,
        /// Since when.
        pub created_at: DateTime<Utc>,
        /// The position of its last change.
        pub position: Position,
        /// How many services it has, in all environments.
        pub services: u32,
    }
}

row! {
    /// An environment of a project.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct Environment {
        /// Which one.
        pub id: EnvironmentId,
        /// The project it is of.
        pub project: ProjectId,
        /// Its name.
        pub name: EnvironmentName,
        /// Since when.
        pub created_at: DateTime<Utc>,
        /// How many services it has.
        pub services: u32,
    }
}

/// A project and its environments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Project {
    /// The project.
    #[serde(flatten)]
    pub project: Summary,
    /// Its environments, in the order in which they were made.
    pub environments: Vec<Environment>,
}

const PROJECT: &str = "SELECT p.id, p.name, p.slug, p.created_at, p.position, \
     (SELECT COUNT(*) FROM services s WHERE s.organization = p.organization AND s.project = p.id \
     AND s.deleted_at IS NULL) AS services \
     FROM projects p WHERE p.organization = $1 AND p.deleted_at IS NULL";

const ENVIRONMENT: &str = "SELECT e.id, e.project, e.name, e.created_at, \
     (SELECT COUNT(*) FROM services s WHERE s.environment = e.id AND s.deleted_at IS NULL) AS services \
     FROM environments e JOIN projects p ON p.id = e.project \
     WHERE e.organization = $1 AND e.removed_at IS NULL AND p.deleted_at IS NULL";

/// The organisation's projects by slug; with `text`, those whose name has it in it.
///
/// # Errors
/// [`QueryError`].
pub async fn list(
    store: &ReadStore,
    organization: OrganizationId,
    text: Option<&str>,
    page: &Page,
) -> Result<Listed<Project>, QueryError> {
    let mut select = Select::of(organization, PROJECT)
        .with_some("AND lower(p.name) LIKE ? ESCAPE '\\'", text.map(pattern));
    if let Some(after) = page.after("projects", [Kind::Text, Kind::Text])? {
        select = select.with("AND (p.slug, p.id) > (?, ?)", after);
    }
    let select = select.with("ORDER BY p.slug, p.id LIMIT ?", [page.fetch().into()]);
    let rows: Vec<Summary> = store.all(select).await?;
    let listed = page.of("projects", rows, |row| vec![row.slug.clone().into(), row.id.into()]);
    with_environments(store, organization, listed).await
}

/// One project.
///
/// # Errors
/// [`QueryError`].
pub async fn get(
    store: &ReadStore,
    organization: OrganizationId,
    project: ProjectId,
) -> Result<Option<Project>, QueryError> {
    let select = Select::of(organization, PROJECT).with("AND p.id = ?", [project.into()]);
    with_one_environments(store, organization, select).await
}

/// The project that a person means by an id, a slug or a name.
///
/// # Errors
/// [`QueryError`].
pub async fn find(
    store: &ReadStore,
    organization: OrganizationId,
    text: &str,
) -> Result<Option<Project>, QueryError> {
    if let Ok(id) = text.parse()
        && let Some(project) = get(store, organization, id).await?
    {
        return Ok(Some(project));
    }
    // Slugs are unique, and a name has one slug only. Whoever lost the race for a slug is gone within a
    // minute.
    let Ok(name) = text.parse::<ProjectName>() else { return Ok(None) };
    let select = Select::of(organization, PROJECT)
        .with("AND p.slug = ? ORDER BY p.created_at, p.id LIMIT 1", [name.slug().into()]);
    with_one_environments(store, organization, select).await
}

/// The environments of a project, in the order in which they were made.
///
/// # Errors
/// [`QueryError`].
pub async fn environments(
    store: &ReadStore,
    organization: OrganizationId,
    project: ProjectId,
) -> Result<Vec<Environment>, QueryError> {
    store.all(of_projects(organization, [project])).await
}

/// The environment of a project that a person means by an id or a name.
///
/// # Errors
/// [`QueryError`].
pub async fn environment_of(
    store: &ReadStore,
    organization: OrganizationId,
    project: ProjectId,
    text: &str,
) -> Result<Option<Environment>, QueryError> {
    let select = Select::of(organization, ENVIRONMENT).with("AND e.project = ?", [project.into()]);
    let select = match text.parse::<EnvironmentId>() {
        Ok(id) => select.with("AND e.id = ?", [id.into()]),
        Err(_) => select.with("AND e.name = ?", [text.to_owned().into()]),
    };
    store.optional(select).await
}

fn of_projects(organization: OrganizationId, projects: impl IntoIterator<Item = ProjectId>) -> Select {
    Select::of(organization, ENVIRONMENT)
        .with_list("AND e.project IN", projects.into_iter().map(Into::into))
        .with("ORDER BY e.created_at, e.place, e.id", [])
}

async fn with_one_environments(
    store: &ReadStore,
    organization: OrganizationId,
    select: Select,
) -> Result<Option<Project>, QueryError> {
    let Some(project) = store.optional::<Summary>(select).await? else { return Ok(None) };
    let environments = environments(store, organization, project.id).await?;
    Ok(Some(Project { project, environments }))
}

async fn with_environments(
    store: &ReadStore,
    organization: OrganizationId,
    listed: Listed<Summary>,
) -> Result<Listed<Project>, QueryError> {
    let all: Vec<Environment> =
        store.all(of_projects(organization, listed.items.iter().map(|project| project.id))).await?;
    let mut of: HashMap<ProjectId, Vec<Environment>> = HashMap::new();
    for environment in all {
        of.entry(environment.project).or_default().push(environment);
    }
    Ok(listed.map(|project| {
        let environments = of.remove(&project.id).unwrap_or_default();
        Project { project, environments }
    }))
}
