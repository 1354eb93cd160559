//! The queries of the history.

use chrono::{DateTime, Utc};
use domain::event::TYPE_PREFIX;
use domain::id::{
    CommandId, CorrelationId, DeploymentId, EnvironmentId, EventId, OrganizationId, ProjectId, ServiceId,
    UserId,
};
use domain::name::{EnvironmentName, ProjectName, ServiceName};
use domain::stream::{AggregateKind, Position, Version};
use serde::Serialize;
use uuid::Uuid;

use super::sentence::{ENVIRONMENT, PROJECT, SERVICE};
use crate::page::{Listed, Page};
use crate::store::select::pattern;
use crate::store::{FromRow, QueryError, ReadStore, Row, Select};
use crate::table::Kind;
use crate::user::Who;

/// One event, as a history shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The position of its commit in the log.
    pub position: Position,
    /// Its version in its stream.
    pub version: Version,
    /// The event.
    pub id: EventId,
    /// When it was decided.
    pub at: DateTime<Utc>,
    /// By whom.
    pub who: Who,
    /// The kind of event, as it stands in a `CloudEvent`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What kind of thing it happened to.
    pub aggregate: AggregateKind,
    /// Which one.
    pub stream: Uuid,
    /// What happened, for people: goes on from the name of whoever did it.
    pub summary: String,
    /// Whether it is a detail of something else that is told too.
    pub detail: bool,
    /// The project it is about.
    pub project: Option<ProjectId>,
    /// Its name.
    pub project_name: Option<ProjectName>,
    /// The environment it is about.
    pub environment: Option<EnvironmentId>,
    /// Its name.
    pub environment_name: Option<EnvironmentName>,
    /// The service it is about.
    pub service: Option<ServiceId>,
    /// Its name.
    pub service_name: Option<ServiceName>,
    /// The deployment it is about.
    pub deployment: Option<DeploymentId>,
    /// The command it came from.
    pub command: CommandId,
    /// What began the chain it belongs to.
    pub correlation: CorrelationId,
}

impl FromRow for Entry {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        Ok(Self {
            position: row.get("position")?,
            version: row.get("version")?,
            id: row.get("id")?,
            at: row.get("at")?,
            who: Who::from_row(row)?,
            event_type: row.get("type")?,
            aggregate: row.get("aggregate")?,
            stream: row.get("stream")?,
            summary: row.get("summary")?,
            detail: row.get::<i64>("is_detail")? == 1,
            project: row.optional("project")?,
            project_name: row.optional("project_name")?,
            environment: row.optional("environment")?,
            environment_name: row.optional("environment_name")?,
            service: row.optional("service")?,
            service_name: row.optional("service_name")?,
            deployment: row.optional("deployment")?,
            command: row.get("command")?,
            correlation: row.get("correlation")?,
        })
    }
}

/// Which part of the history is wanted. Empty: all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before this.
    pub since: Option<DateTime<Utc>>,
    /// Before this.
    pub until: Option<DateTime<Utc>>,
    /// Only what this person did, directly or through a part of the platform.
    pub person: Option<UserId>,
    /// Only types that begin like this: `service`, `service.scaled`, or a full name.
    pub event_type: Option<String>,
    /// Only about this project.
    pub project: Option<ProjectId>,
    /// Only about this environment.
    pub environment: Option<EnvironmentId>,
    /// Only about this service.
    pub service: Option<ServiceId>,
    /// Only about this deployment.
    pub deployment: Option<DeploymentId>,
    /// Only with this in the sentence or in the name of whoever did it.
    pub text: Option<String>,
    /// Without the details of what is told too.
    pub without_details: bool,
}

/// Names are put into the sentence here, so that it can be searched for them.
const ENTRY: &str = "SELECT * FROM (SELECT h.position, h.version, h.id, h.organization, h.at, h.type, \
     h.aggregate, h.stream, h.actor_kind, h.person, u.name AS person_name, h.command, h.correlation, \
     h.is_detail, p.id AS project, p.name AS project_name, e.id AS environment, e.name AS environment_name, \
     s.id AS service, s.name AS service_name, h.deployment, ";
const ENTRY_FROM: &str = "AS summary FROM history h LEFT JOIN deployments d ON d.id = h.deployment \
     LEFT JOIN services s ON s.id = COALESCE(h.service, d.service) \
     LEFT JOIN environments e ON e.id = COALESCE(h.environment, s.environment) \
     LEFT JOIN projects p ON p.id = COALESCE(h.project, s.project, e.project) \
     LEFT JOIN users u ON u.id = h.person WHERE h.organization = $1) AS h WHERE h.organization = $1";
const SENTENCE: &str = "replace(replace(replace(h.sentence, ?, COALESCE(s.name, 'a service')), \
     ?, COALESCE(e.name, 'an environment')), ?, COALESCE(p.name, 'a project'))";

/// The organisation's history, newest first.
///
/// # Errors
/// [`QueryError`].
pub async fn list(
    store: &ReadStore,
    organization: OrganizationId,
    filter: &Filter,
    page: &Page,
) -> Result<Listed<Entry>, QueryError> {
    let names = [SERVICE.into(), ENVIRONMENT.into(), PROJECT.into()];
    let mut select = Select::of(organization, ENTRY)
        .with(SENTENCE, names)
        .with(ENTRY_FROM, [])
        .with_some("AND h.at >= ?", filter.since)
        .with_some("AND h.at < ?", filter.until)
        .with_some("AND h.person = ?", filter.person)
        .with_some("AND h.type LIKE ? ESCAPE '\\'", filter.event_type.as_deref().map(beginning))
        .with_some("AND h.project = ?", filter.project)
        .with_some("AND h.environment = ?", filter.environment)
        .with_some("AND h.service = ?", filter.service)
        .with_some("AND h.deployment = ?", filter.deployment);
    if let Some(text) = filter.text.as_deref().map(pattern) {
        select = select.with(
            "AND (lower(h.summary) LIKE ? ESCAPE '\\' OR lower(h.person_name) LIKE ? ESCAPE '\\')",
            [text.clone().into(), text.into()],
        );
    }
    if filter.without_details {
        select = select.with("AND h.is_detail = 0", []);
    }
    if let Some(after) = page.after("history", [Kind::Number, Kind::Number])? {
        select = select.with("AND (h.position, h.version) < (?, ?)", after);
    }
    let select = select.with("ORDER BY h.position DESC, h.version DESC LIMIT ?", [page.fetch().into()]);
    let rows = store.all(select).await?;
    Ok(page.of("history", rows, |row: &Entry| vec![row.position.into(), row.version.into()]))
}

/// The pattern of types that begin like this, whether or not the part that all have in common was written.
fn beginning(text: &str) -> String {
    let short = text.strip_prefix(TYPE_PREFIX).unwrap_or(text).trim_start_matches('.').trim_end_matches('*');
    let anywhere = pattern(short);
    format!("{TYPE_PREFIX}.{}", &anywhere[1..])
}
