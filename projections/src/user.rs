//! Users: the names that stand in histories, and the tokens that were given out. Never a token's secret or
//! its hash.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::context::ActorKind;
use domain::event::Event;
use domain::id::{OrganizationId, TokenId, UserId};
use domain::stream::Recorded;
use domain::user;
use serde::Serialize;

use crate::change::Change;
use crate::projection::Projection;
use crate::store::row::{row, unreadable};
use crate::store::{FromColumn, QueryError, ReadStore, Row, Select};
use crate::table::{Owner, Table, text};

/// The projection.
pub const PROJECTION: Projection =
    Projection { name: "user", version: 2, tables: &[&USERS, &TOKENS], changes };

/// Names stand above organisations: histories of several may show the same person. Queries come to a name
/// from a row of the organisation's own.
static USERS: Table = Table {
    name: "users",
    key: 1,
    owner: Owner::Platform,
    columns: &[text("id"), text("name"), text("registered_at")],
    indexes: &[],
};

static TOKENS: Table = Table {
    name: "tokens",
    key: 1,
    owner: Owner::Organization("organization"),
    columns: &[
        text("id"),
        text("owner"),
        text("organization"),
        text("name"),
        text("issued_at"),
        text("revoked_at").or_null(),
    ],
    indexes: &["organization, owner"],
};

/// What an event changes.
#[must_use]
pub fn changes(recorded: &Recorded) -> Vec<Change> {
    match &recorded.event {
        Event::User(event) => of_user(recorded, event),
        Event::Organization(_)
        | Event::Project(_)
        | Event::Service(_)
        | Event::Deployment(_)
        | Event::Claim(_) => vec![],
    }
}

fn of_user(recorded: &Recorded, event: &user::Event) -> Vec<Change> {
    let id = recorded.stream.id;
    match event {
        user::Event::Registered { name } => {
            vec![USERS.insert(id, [("name", name.clone().into()), ("registered_at", recorded.at.into())])]
        }
        user::Event::TokenIssued { token, name, organization, hash: _ } => vec![TOKENS.insert(
            token,
            [
                ("owner", id.into()),
                ("organization", organization.into()),
                ("name", name.clone().into()),
                ("issued_at", recorded.at.into()),
            ],
        )],
        user::Event::TokenRevoked { token } => {
            vec![TOKENS.update(token, [("revoked_at", recorded.at.into())])]
        }
    }
}

row! {
    /// A user.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct User {
        /// Which one.
        pub id: UserId,
        /// The name shown in histories.
        pub name: String,
        /// Since when.
        pub registered_at: DateTime<Utc>,
    }
}

row! {
    /// A token that was given out.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct Token {
        /// Which one.
        pub id: TokenId,
        /// What it is for.
        pub name: String,
        /// Whose it is.
        pub owner: UserId,
        /// Since when.
        pub issued_at: DateTime<Utc>,
        /// When it was ended.
        pub revoked_at: Option<DateTime<Utc>>,
    }
}

/// Who did something, as histories show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Who {
    /// What kind of actor gave the command.
    pub kind: ActorKind,
    /// The person behind it, directly or through a part of the platform.
    pub id: Option<UserId>,
    /// That person's name.
    pub name: Option<String>,
}

impl Who {
    /// From the columns `actor_kind`, `person` and `person_name`.
    pub(crate) fn from_row(row: &Row) -> Result<Self, QueryError> {
        Ok(Self {
            kind: row.get("actor_kind")?,
            id: row.optional("person")?,
            name: row.optional("person_name")?,
        })
    }
}

impl FromColumn for ActorKind {
    fn from_column(row: &Row, column: &str) -> Result<Option<Self>, QueryError> {
        match row.optional::<String>(column)?.as_deref() {
            None => Ok(None),
            Some("user") => Ok(Some(Self::User)),
            Some("saga") => Ok(Some(Self::Saga)),
            Some("reconciler") => Ok(Some(Self::Reconciler)),
            Some("platform") => Ok(Some(Self::Platform)),
            Some(other) => Err(unreadable(column, format!("`{other}` is no kind of actor").into())),
        }
    }
}

/// A member of the organisation.
///
/// # Errors
/// [`QueryError`].
pub async fn get(
    store: &ReadStore,
    organization: OrganizationId,
    user: UserId,
) -> Result<Option<User>, QueryError> {
    let members = "SELECT u.id, u.name, u.registered_at FROM members m JOIN users u ON u.id = m.member \
                   WHERE m.organization = $1";
    store.optional(Select::of(organization, members).with("AND m.member = ?", [user.into()])).await
}

/// The names of the organisation's members.
///
/// # Errors
/// [`QueryError`].
pub async fn names(
    store: &ReadStore,
    organization: OrganizationId,
) -> Result<BTreeMap<UserId, String>, QueryError> {
    let members = "SELECT u.id, u.name, u.registered_at FROM members m JOIN users u ON u.id = m.member \
                   WHERE m.organization = $1 ORDER BY u.id LIMIT 10000";
    let users: Vec<User> = store.all(Select::of(organization, members)).await?;
    Ok(users.into_iter().map(|user| (user.id, user.name)).collect())
}

/// A user's tokens that act in the organisation, newest first; those that were ended too.
///
/// # Errors
/// [`QueryError`].
pub async fn tokens(
    store: &ReadStore,
    organization: OrganizationId,
    user: UserId,
) -> Result<Vec<Token>, QueryError> {
    let select = Select::of(
        organization,
        "SELECT id, name, owner, issued_at, revoked_at FROM tokens WHERE organization = $1",
    );
    store.all(select.with("AND owner = ? ORDER BY issued_at DESC, id DESC LIMIT 1000", [user.into()])).await
}
