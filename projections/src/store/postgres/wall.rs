//! Row-level security: the second wall. The queries' own condition is the first one.
//!
//! Each table of an organisation has two policies. `organization` shows a reader the rows of the organisation
//! that its transaction has set, and none when it has set none. `projector` shows all rows to the login that
//! made the table, and only to connections that say that they are the projector's. So even a reader with that
//! login is held back, as the owner's rights are forced under the policies too. A superuser is not, which is
//! why readers take a role that has no rights but to read.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};
use tracing::warn;

use crate::table::Owner;

/// Whether the database itself keeps organisations apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wall {
    /// It does.
    Stands,
    /// `SQLite` knows of no such thing: the queries' own condition stands alone.
    Conditions,
    /// The login of the address is held back by no policy and may not take the role of a reader.
    Open {
        /// The login.
        login: String,
    },
}

/// What a table needs besides its columns. The role of readers stands in a setting of the writer's
/// connections.
pub(in crate::store) fn statements(table: &str, owner: Owner) -> String {
    let visible = match owner {
        Owner::Organization(column) => {
            // As a query of its own it is worked out once and not for each row.
            format!("{column} = (SELECT current_setting('switchback.organization', true))")
        }
        Owner::Platform => "true".to_owned(),
    };
    format!(
        "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; \
         ALTER TABLE {table} FORCE ROW LEVEL SECURITY; \
         CREATE POLICY organization ON {table} FOR SELECT USING ({visible}); \
         CREATE POLICY projector ON {table} TO CURRENT_USER \
             USING ((SELECT current_setting('switchback.projector', true)) = 'on'); \
         DO $$ DECLARE role text := current_setting('switchback.role'); BEGIN \
             IF EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN \
                 EXECUTE format('GRANT SELECT ON %I TO %I', '{table}', role); \
             END IF; \
         END $$"
    )
}

/// Who somebody is, and whether it may be a reader.
const STANDING: &str = "SELECT CAST(me.rolname AS TEXT) AS login, \
     me.rolsuper OR me.rolbypassrls AS is_free, me.rolsuper OR me.rolcreaterole AS may_create, \
     reader.oid IS NOT NULL AS has_role, \
     COALESCE(pg_has_role(me.oid, reader.oid, 'MEMBER'), false) AS may_read_as \
     FROM pg_roles me LEFT JOIN pg_roles reader ON reader.rolname = $1 WHERE me.rolname = current_user";

/// A login and the role of readers.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) login: String,
    /// No policy holds it back.
    pub(super) is_free: bool,
    pub(super) may_create: bool,
    pub(super) has_role: bool,
    /// It may take the role.
    pub(super) may_read_as: bool,
}

impl Standing {
    pub(super) async fn of(connection: &mut PgConnection, role: &str) -> Result<Self, sqlx::Error> {
        let row = sqlx::query(STANDING).bind(role).fetch_one(connection).await?;
        Ok(Self {
            login: row.try_get("login")?,
            is_free: row.try_get("is_free")?,
            may_create: row.try_get("may_create")?,
            has_role: row.try_get("has_role")?,
            may_read_as: row.try_get("may_read_as")?,
        })
    }
}

/// Makes the role of readers and gives it its rights, as far as the login may. Harmless when it was done.
pub(super) async fn raise(connection: &mut PgConnection, role: &str) -> Result<(), sqlx::Error> {
    let mut standing = Standing::of(connection, role).await?;
    if !standing.has_role && standing.may_create {
        attempt(connection, format!("CREATE ROLE {role} NOLOGIN")).await?;
        standing = Standing::of(connection, role).await?;
    }
    if standing.has_role && !standing.may_read_as {
        attempt(connection, format!("GRANT {role} TO CURRENT_USER")).await?;
        standing = Standing::of(connection, role).await?;
    }
    if standing.has_role {
        for grant in sqlx::query(MISSING).bind(role).fetch_all(&mut *connection).await? {
            attempt(connection, grant.try_get(0)?).await?;
        }
    }
    if standing.is_free && !standing.may_read_as {
        let login = standing.login;
        warn!(
            login,
            role,
            "row-level security does not hold back readers of PostgreSQL: {login} is a superuser or has \
             BYPASSRLS, and may not take the role {role}; only the queries' own condition keeps \
             organisations apart. Give the address of a login without these rights, or run: CREATE ROLE \
             {role} NOLOGIN; GRANT {role} TO {login};"
        );
    }
    Ok(())
}

/// What readers have no right to yet: the schema, the checkpoints, and tables that were made before the role.
const MISSING: &str = "SELECT format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), $1) \
     WHERE NOT has_schema_privilege($1, current_schema(), 'USAGE') \
     UNION ALL SELECT format('GRANT SELECT ON %I TO %I', class.relname, $1) FROM pg_class class \
     WHERE class.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
     AND (class.relname = 'projections' OR EXISTS (SELECT FROM pg_policy policy \
          WHERE policy.polrelid = class.oid AND policy.polname = 'organization')) \
     AND pg_has_role(class.relowner, 'USAGE') AND NOT has_table_privilege($1, class.oid, 'SELECT')";

/// What another process does at the same moment, or what we have no right to, is let be.
async fn attempt(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    match sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await {
        Ok(_) => Ok(()),
        Err(error) => match error.as_database_error().and_then(|error| error.code()).as_deref() {
            // There already, at the same moment, updated by somebody else, not allowed.
            Some("42710" | "23505" | "XX000" | "42501" | "0LP01") => Ok(()),
            _ => Err(error),
        },
    }
}
