//! Organisations and who belongs to them. For showing only: what somebody may do is decided on the
//! organisation's own stream, which does not lag.

use chrono::{DateTime, Utc};
use domain::event::Event;
use domain::id::{OrganizationId, UserId};
use domain::organization::{self, Role};
use domain::stream::{Position, Recorded};
use serde::Serialize;

use crate::change::Change;
use crate::page::{Listed, Page};
use crate::projection::Projection;
use crate::store::row::{row, unreadable};
use crate::store::{FromColumn, QueryError, ReadStore, Row, Select};
use crate::table::{Kind, Owner, Table, number, text};
use crate::value::{IntoValue, Value};

/// The projection.
pub const PROJECTION: Projection =
    Projection { name: "organization", version: 2, tables: &[&ORGANIZATIONS, &MEMBERS], changes };

static ORGANIZATIONS: Table = Table {
    name: "organizations",
    key: 1,
    owner: Owner::Organization("id"),
    columns: &[text("id"), text("name"), text("created_at"), number("position")],
    indexes: &[],
};

static MEMBERS: Table = Table {
    name: "members",
    key: 2,
    owner: Owner::Organization("organization"),
    columns: &[text("organization"), text("member"), text("role"), text("joined_at")],
    indexes: &["member"],
};

/// What an event changes.
#[must_use]
pub fn changes(recorded: &Recorded) -> Vec<Change> {
    match &recorded.event {
        Event::Organization(event) => of_organization(recorded, event),
        Event::User(_) | Event::Project(_) | Event::Service(_) | Event::Deployment(_) | Event::Claim(_) => {
            vec![]
        }
    }
}

fn of_organization(recorded: &Recorded, event: &organization::Event) -> Vec<Change> {
    let id = recorded.stream.id;
    match event {
        organization::Event::Created { name, owner } => vec![
            ORGANIZATIONS.insert(
                id,
                [
                    ("name", name.clone().into()),
                    ("created_at", recorded.at.into()),
                    ("position", recorded.position.into()),
                ],
            ),
            MEMBERS.upsert((id, owner), [("role", Role::Owner.into()), ("joined_at", recorded.at.into())]),
        ],
    }
}

impl IntoValue for Role {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Value {
        match self {
            Self::Owner => "owner",
        }
        .into_value()
    }
}

impl FromColumn for Role {
    fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError> {
        match row.optional::<String>(column)?.as_deref() {
            None => Ok(None),
            Some("owner") => Ok(Some(Self::Owner)),
            Some(other) => Err(unreadable(column, format!("`{other}` is no role").into())),
        }
    }
}

row! {
    /// An organisation.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct Organization {
        /// Which one.
        pub id: OrganizationId,
        /// Its name.
        pub name: String,
        /// Since when.
        pub created_at: DateTime<Utc>,
        /// The position of its last change.
        pub position: Position,
        /// How many members it has.
        pub members: u32,
        /// How many projects it has.
        pub projects: u32,
    }
}

row! {
    /// Somebody who belongs to an organisation.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct Member {
        /// Who.
        pub id: UserId,
        /// The name shown in histories.
        pub name: Option<String>,
        /// As what.
        pub role: Role,
        /// Since when.
        pub joined_at: DateTime<Utc>,
    }
}

const ORGANIZATION: &str = "SELECT o.id, o.name, o.created_at, o.position, \
     (SELECT COUNT(*) FROM members m WHERE m.organization = o.id) AS members, \
     (SELECT COUNT(*) FROM projects p WHERE p.organization = o.id AND p.deleted_at IS NULL) AS projects \
     FROM organizations o";

/// The organisation.
///
/// # Errors
/// [`QueryError`].
pub async fn get(
    store: &ReadStore,
    organization: OrganizationId,
) -> Result<Option<Organization>, QueryError> {
    store.optional(Select::of(organization, ORGANIZATION).with("WHERE o.id = $1", [])).await
}

/// The organisations that somebody belongs to, by name. The one query that begins with a person: what it
/// finds is that person's own.
///
/// # Errors
/// [`QueryError`].
pub async fn of_member(store: &ReadStore, user: UserId) -> Result<Vec<Organization>, QueryError> {
    let select = Select::platform(ORGANIZATION).with(
        "JOIN members his ON his.organization = o.id WHERE his.member = ? ORDER BY o.name, o.id LIMIT 1000",
        [user.into()],
    );
    store.all(select).await
}

/// Who belongs to the organisation, longest first.
///
/// # Errors
/// [`QueryError`].
pub async fn members(
    store: &ReadStore,
    organization: OrganizationId,
    page: &Page,
) -> Result<Listed<Member>, QueryError> {
    let mut select = Select::of(
        organization,
        "SELECT m.member AS id, u.name, m.role, m.joined_at FROM members m \
         LEFT JOIN users u ON u.id = m.member WHERE m.organization = $1",
    );
    if let Some(after) = page.after("members", [Kind::Text, Kind::Text])? {
        select = select.with("AND (m.joined_at, m.member) > (?, ?)", after);
    }
    let select = select.with("ORDER BY m.joined_at, m.member LIMIT ?", [page.fetch().into()]);
    let rows: Vec<Member> = store.all(select).await?;
    Ok(page.of("members", rows, |member| vec![member.joined_at.into(), member.id.into()]))
}
