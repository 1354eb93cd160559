//! The queries of deployments.

use chrono::{DateTime, Utc};
use domain::deployment::step::{Lane, Step};
use domain::digest::Digest;
use domain::id::{DeploymentId, EnvironmentId, OrganizationId, ProjectId, ServiceId};
use domain::name::{EnvironmentName, ProjectName, ServiceName};
use domain::service::release::ReleaseNumber;
use domain::source::{Revision, Source};
use domain::stream::Position;
use serde::Serialize;

use crate::page::{Listed, Page};
use crate::release;
use crate::store::row::unreadable;
use crate::store::{FromColumn, FromRow, QueryError, ReadStore, Row, Select};
use crate::table::Kind;
use crate::user::Who;
use crate::value::{IntoValue, Value};

/// How a deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Waits for its turn, or has it and has not begun.
    Pending,
    /// Fetches, builds, pushes.
    Building,
    /// Starts instances, checks them, moves the traffic.
    Deploying,
    /// Has the traffic, or had it.
    Success,
    /// Could not.
    Failed,
    /// Was stopped.
    Cancelled,
    /// Waited, and a newer one took its place.
    Superseded,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Building,
        Self::Deploying,
        Self::Success,
        Self::Failed,
        Self::Cancelled,
        Self::Superseded,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Building => "BUILDING",
            Self::Deploying => "DEPLOYING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Superseded => "SUPERSEDED",
        }
    }

    /// Whether it stays like this.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Pending | Self::Building | Self::Deploying => false,
            Self::Success | Self::Failed | Self::Cancelled | Self::Superseded => true,
        }
    }

    /// While a step is under way.
    pub(super) const fn of(step: Step) -> Self {
        match step.lane() {
            Lane::Build => Self::Building,
            Lane::Rollout => Self::Deploying,
        }
    }
}

impl IntoValue for Status {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Value {
        self.as_str().into_value()
    }
}

impl FromColumn for Status {
    fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError> {
        let Some(text) = row.optional::<String>(column)? else { return Ok(None) };
        let known = Self::ALL.into_iter().find(|status| status.as_str() == text);
        known.map(Some).ok_or_else(|| unreadable(column, format!("`{text}` is no status").into()))
    }
}

/// Why a deployment was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Trigger {
    /// Somebody deployed files.
    Deploy,
    /// Variables were changed.
    Variables,
    /// The number of instances was changed.
    Scale,
    /// What runs was to be started anew.
    Restart,
    /// What a release ran was to be deployed again, with the configuration of now.
    Redeploy {
        /// The release.
        #[serde(serialize_with = "release::written")]
        release: ReleaseNumber,
    },
    /// A release was to be brought back.
    Rollback {
        /// What was live.
        #[serde(serialize_with = "release::written_optional")]
        from: Option<ReleaseNumber>,
        /// What was wanted back.
        #[serde(serialize_with = "release::written")]
        to: ReleaseNumber,
    },
}

/// Why a deployment failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// In which step.
    pub step: Step,
    /// A stable word for programs.
    pub code: String,
    /// What was wrong, and what to do.
    pub message: String,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deployment {
    /// Which one.
    pub id: DeploymentId,
    /// Of which service.
    pub service: ServiceId,
    /// That service's name.
    pub service_name: Option<ServiceName>,
    /// The project.
    pub project: Option<ProjectId>,
    /// Its name.
    pub project_name: Option<ProjectName>,
    /// The environment.
    pub environment: Option<EnvironmentId>,
    /// Its name.
    pub environment_name: Option<EnvironmentName>,
    /// How it stands.
    pub status: Status,
    /// Why it was made.
    pub trigger: Trigger,
    /// By whom.
    pub who: Who,
    /// Where its files come from, when it builds.
    pub source: Option<Source>,
    /// The revision of them, once it is known.
    pub revision: Option<Revision>,
    /// What was built or is run.
    pub image: Option<Digest>,
    /// The release it made.
    #[serde(serialize_with = "release::written_optional")]
    pub release: Option<ReleaseNumber>,
    /// The step that is under way, or was last.
    pub step: Option<Step>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The one that took its place.
    pub superseded_by: Option<DeploymentId>,
    /// When somebody asked to stop it.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it had the traffic, or ended without.
    pub finished_at: Option<DateTime<Utc>>,
    /// From being asked for to its end.
    pub duration_ms: Option<i64>,
    /// The position of its last change.
    pub position: Position,
    #[serde(skip)]
    requested_position: Position,
}

impl FromRow for Deployment {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        let created_at: DateTime<Utc> = row.get("requested_at")?;
        let finished_at: Option<DateTime<Utc>> = row.optional("finished_at")?;
        Ok(Self {
            id: row.get("id")?,
            service: row.get("service")?,
            service_name: row.optional("service_name")?,
            project: row.optional("project")?,
            project_name: row.optional("project_name")?,
            environment: row.optional("environment")?,
            environment_name: row.optional("environment_name")?,
            status: row.get("status")?,
            trigger: trigger(row)?,
            who: Who::from_row(row)?,
            source: row.document("source")?,
            revision: row.document("revision")?,
            image: row.optional("artifact")?,
            release: row.optional("release")?,
            step: row.optional("step")?,
            failure: failure(row)?,
            superseded_by: row.optional("superseded_by")?,
            cancel_requested_at: row.optional("cancel_requested_at")?,
            created_at,
            started_at: row.optional("started_at")?,
            finished_at,
            duration_ms: finished_at.map(|end| (end - created_at).num_milliseconds()),
            position: row.get("position")?,
            requested_position: row.get("requested_position")?,
        })
    }
}

fn trigger(row: &Row) -> Result<Trigger, QueryError> {
    if let Some(to) = row.optional("rollback_to")? {
        return Ok(Trigger::Rollback { from: row.optional("rollback_from")?, to });
    }
    if let Some(release) = row.optional("of_release")? {
        return Ok(Trigger::Redeploy { release });
    }
    if row.get::<String>("subject")? == "source" {
        return Ok(Trigger::Deploy);
    }
    if row.optional::<i64>("has_variables")?.is_some() {
        return Ok(Trigger::Variables);
    }
    Ok(if row.optional::<i64>("has_scale")?.is_some() { Trigger::Scale } else { Trigger::Restart })
}

fn failure(row: &Row) -> Result<Option<Failure>, QueryError> {
    let Some(step) = row.optional("failed_step")? else { return Ok(None) };
    Ok(Some(Failure { step, code: row.get("failure_code")?, message: row.get("failure_message")? }))
}

impl FromColumn for Step {
    fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError> {
        let Some(text) = row.optional::<String>(column)? else { return Ok(None) };
        let known = Self::ALL.into_iter().find(|step| step.as_str() == text);
        known.map(Some).ok_or_else(|| unreadable(column, format!("`{text}` is no step").into()))
    }
}

/// Which deployments are wanted. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this project.
    pub project: Option<ProjectId>,
    /// Only in this environment.
    pub environment: Option<EnvironmentId>,
    /// Only of this service.
    pub service: Option<ServiceId>,
    /// Only those that stand like this.
    pub status: Option<Status>,
}

/// One that waited when its service was deleted gets no event of its own any more: it is cancelled all the
/// same.
const DEPLOYMENT: &str = "SELECT * FROM (SELECT d.id, d.organization, d.service, s.name AS service_name, \
     s.project, p.name AS project_name, s.environment, e.name AS environment_name, \
     CASE WHEN d.status = 'PENDING' AND d.admitted_at IS NULL AND s.deleted_at IS NOT NULL \
          THEN 'CANCELLED' ELSE d.status END AS status, \
     CASE WHEN d.status = 'PENDING' AND d.admitted_at IS NULL AND s.deleted_at IS NOT NULL \
          THEN s.deleted_at ELSE d.finished_at END AS finished_at, \
     d.subject, d.source, d.of_release, d.actor_kind, d.person, u.name AS person_name, d.requested_at, \
     d.requested_position, d.started_at, d.step, d.revision, d.artifact, d.release, d.failed_step, \
     d.failure_code, d.failure_message, d.cancel_requested_at, d.superseded_by, d.position, \
     c.has_variables, c.has_scale, c.rollback_from, c.rollback_to \
     FROM deployments d LEFT JOIN services s ON s.id = d.service LEFT JOIN projects p ON p.id = s.project \
     LEFT JOIN environments e ON e.id = s.environment LEFT JOIN users u ON u.id = d.person \
     LEFT JOIN causes c ON c.position = d.requested_position) AS d WHERE d.organization = $1";

/// Deployments, newest first.
///
/// # Errors
/// [`QueryError`].
pub async fn list(
    store: &ReadStore,
    organization: OrganizationId,
    filter: &Filter,
    page: &Page,
) -> Result<Listed<Deployment>, QueryError> {
    let mut select = Select::of(organization, DEPLOYMENT)
        .with_some("AND d.project = ?", filter.project)
        .with_some("AND d.environment = ?", filter.environment)
        .with_some("AND d.service = ?", filter.service)
        .with_some("AND d.status = ?", filter.status);
    if let Some(after) = page.after("deployments", [Kind::Number, Kind::Text])? {
        select = select.with("AND (d.requested_position, d.id) < (?, ?)", after);
    }
    let select = select.with("ORDER BY d.requested_position DESC, d.id DESC LIMIT ?", [page.fetch().into()]);
    let rows = store.all(select).await?;
    Ok(page.of("deployments", rows, |row: &Deployment| vec![row.requested_position.into(), row.id.into()]))
}

/// One deployment.
///
/// # Errors
/// [`QueryError`].
pub async fn get(
    store: &ReadStore,
    organization: OrganizationId,
    deployment: DeploymentId,
) -> Result<Option<Deployment>, QueryError> {
    store.optional(Select::of(organization, DEPLOYMENT).with("AND d.id = ?", [deployment.into()])).await
}
