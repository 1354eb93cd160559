//! The queries of releases.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::digest::Digest;
use domain::hostname::Hostname;
use domain::id::{DeploymentId, OrganizationId, ServiceId};
use domain::name::VariableName;
use domain::plan::Plan;
use domain::service::release::{Difference, ReleaseNumber, ReleaseStatus, Specification};
use domain::source::{Revision, Source};
use domain::stream::Position;
use serde::Serialize;

use super::{written, written_optional};
use crate::page::{Listed, Page};
use crate::store::row::{row, unreadable};
use crate::store::{FromRow, QueryError, ReadStore, Row, Select};
use crate::table::Kind;
use crate::user::Who;

/// One thing that a release changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// What, for programs.
    #[serde(flatten)]
    pub difference: Difference,
    /// The same for people.
    pub text: String,
}

/// A release.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Release {
    /// Its number.
    #[serde(serialize_with = "written")]
    pub number: ReleaseNumber,
    /// Of which service.
    pub service: ServiceId,
    /// How it stands.
    pub status: ReleaseStatus,
    /// The deployment that made it.
    pub deployment: DeploymentId,
    /// Who wanted it.
    pub who: Who,
    /// When it was fixed.
    pub created_at: DateTime<Utc>,
    /// When it had the traffic first.
    pub live_at: Option<DateTime<Utc>>,
    /// What runs.
    pub image: Digest,
    /// Where its files came from.
    pub source: Source,
    /// The revision of them.
    pub revision: Option<Revision>,
    /// How it was built and is run.
    pub plan: Plan,
    /// How many instances.
    pub replicas: u16,
    /// What it answers to.
    pub hostnames: BTreeSet<Hostname>,
    /// The variables it runs with.
    pub variables: BTreeSet<VariableName>,
    /// The release that it brought back.
    #[serde(serialize_with = "written_optional")]
    pub rollback_of: Option<ReleaseNumber>,
    /// The release that was live before it.
    #[serde(serialize_with = "written_optional")]
    pub before: Option<ReleaseNumber>,
    /// What it changed against that one.
    pub changes: Vec<Changed>,
}

/// A release without what has to be looked up in others.
struct Found {
    release: Release,
    specification: Specification,
}

impl FromRow for Found {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        let specification = specification(row)?;
        let live: Option<ReleaseNumber> = row.optional("live_release")?;
        let number = row.get("number")?;
        let live_at: Option<DateTime<Utc>> = row.optional("activated_at")?;
        let status = match (live_at, row.optional::<DateTime<Utc>>("ended_at")?) {
            (Some(_), _) if live == Some(number) => ReleaseStatus::Live,
            (Some(_), _) => ReleaseStatus::Retired,
            (None, Some(_)) => ReleaseStatus::Failed,
            (None, None) => ReleaseStatus::Cut,
        };
        let build = &specification.build;
        let release = Release {
            number,
            service: row.get("service")?,
            status,
            deployment: row.get("deployment")?,
            who: Who::from_row(row)?,
            created_at: row.get("cut_at")?,
            live_at,
            image: build.artifact.clone(),
            source: build.source.clone(),
            revision: build.revision.clone(),
            plan: build.plan.clone(),
            replicas: specification.replicas,
            hostnames: specification.hostnames.clone(),
            variables: specification.variables.keys().cloned().collect(),
            rollback_of: row.optional("rollback_to")?,
            before: None,
            changes: vec![],
        };
        Ok(Self { release, specification })
    }
}

row! {
    /// When a release of a service began to be live: enough to find the one before another.
    struct Moment {
        deployment: DeploymentId,
        number: ReleaseNumber,
        cut_position: Position,
        activated_position: Option<Position>,
    }
}

struct Fixed {
    deployment: DeploymentId,
    specification: Specification,
}

impl FromRow for Fixed {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        Ok(Self { deployment: row.get("deployment")?, specification: specification(row)? })
    }
}

fn specification(row: &Row) -> Result<Specification, QueryError> {
    row.document("specification")?.ok_or_else(|| unreadable("specification", "it is null".into()))
}

const RELEASE: &str = "SELECT r.deployment, r.service, r.number, r.cut_at, r.activated_at, r.ended_at, \
     r.specification, CASE WHEN s.deleted_at IS NULL THEN s.live_release END AS live_release, \
     COALESCE(d.actor_kind, 'saga') AS actor_kind, d.person, u.name AS person_name, c.rollback_to \
     FROM releases r LEFT JOIN services s ON s.id = r.service LEFT JOIN deployments d ON d.id = r.deployment \
     LEFT JOIN users u ON u.id = d.person LEFT JOIN causes c ON c.position = d.requested_position \
     WHERE r.organization = $1";

/// A service's releases, newest first, each with what it changed.
///
/// # Errors
/// [`QueryError`].
pub async fn list(
    store: &ReadStore,
    organization: OrganizationId,
    service: ServiceId,
    page: &Page,
) -> Result<Listed<Release>, QueryError> {
    let mut select = Select::of(organization, RELEASE).with("AND r.service = ?", [service.into()]);
    if let Some(after) = page.after("releases", [Kind::Number])? {
        select = select.with("AND r.number < ?", after);
    }
    let rows = store.all(select.with("ORDER BY r.number DESC LIMIT ?", [page.fetch().into()])).await?;
    let listed = page.of("releases", rows, |row: &Found| vec![row.release.number.into()]);
    let Listed { items, next, limit } = listed;
    Ok(Listed { items: compared(store, organization, service, items).await?, next, limit })
}

/// One release of a service.
///
/// # Errors
/// [`QueryError`].
pub async fn find(
    store: &ReadStore,
    organization: OrganizationId,
    service: ServiceId,
    number: ReleaseNumber,
) -> Result<Option<Release>, QueryError> {
    let select = Select::of(organization, RELEASE)
        .with("AND r.service = ? AND r.number = ?", [service.into(), number.into()]);
    let found = store.all(select).await?;
    Ok(compared(store, organization, service, found).await?.into_iter().next())
}

/// Adds what each release changed against the one that was live before it.
async fn compared(
    store: &ReadStore,
    organization: OrganizationId,
    service: ServiceId,
    found: Vec<Found>,
) -> Result<Vec<Release>, QueryError> {
    if found.is_empty() {
        return Ok(vec![]);
    }
    let select = Select::of(
        organization,
        "SELECT deployment, number, cut_position, activated_position FROM releases WHERE organization = $1",
    );
    let moments: Vec<Moment> = store.all(select.with("AND service = ?", [service.into()])).await?;
    let before: HashMap<DeploymentId, &Moment> = found
        .iter()
        .filter_map(|found| Some((found.release.deployment, before(&moments, found.release.deployment)?)))
        .collect();
    let here: HashMap<DeploymentId, Specification> =
        found.iter().map(|found| (found.release.deployment, found.specification.clone())).collect();
    let elsewhere = before.values().map(|moment| moment.deployment).filter(|id| !here.contains_key(id));
    let elsewhere = specifications(store, organization, elsewhere.collect::<Vec<_>>()).await?;
    let releases = found.into_iter().map(|Found { mut release, specification }| {
        if let Some(moment) = before.get(&release.deployment)
            && let Some(then) = here.get(&moment.deployment).or_else(|| elsewhere.get(&moment.deployment))
        {
            release.before = Some(moment.number);
            release.changes = then.difference(&specification).into_iter().map(Changed::from).collect();
        }
        release
    });
    Ok(releases.collect())
}

impl From<Difference> for Changed {
    fn from(difference: Difference) -> Self {
        Self { text: difference.to_string(), difference }
    }
}

/// The release that was live when this one took over, or, when it never did, when it was cut.
fn before(moments: &[Moment], deployment: DeploymentId) -> Option<&Moment> {
    let this = moments.iter().find(|moment| moment.deployment == deployment)?;
    let until = this.activated_position.unwrap_or(this.cut_position);
    let earlier = moments.iter().filter(|moment| moment.activated_position.is_some_and(|at| at < until));
    earlier.max_by_key(|moment| moment.activated_position)
}

/// What releases fixed, by the deployments that made them.
pub(crate) async fn specifications(
    store: &ReadStore,
    organization: OrganizationId,
    deployments: impl IntoIterator<Item = DeploymentId>,
) -> Result<HashMap<DeploymentId, Specification>, QueryError> {
    let select =
        Select::of(organization, "SELECT deployment, specification FROM releases WHERE organization = $1")
            .with_list("AND deployment IN", deployments.into_iter().map(Into::into));
    let fixed: Vec<Fixed> = store.all(select).await?;
    Ok(fixed.into_iter().map(|fixed| (fixed.deployment, fixed.specification)).collect())
}
