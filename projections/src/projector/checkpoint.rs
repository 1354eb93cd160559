//! Checkpoints: how far each projection has come, kept beside its rows and moved in the same transaction.

use domain::stream::Position;

use crate::projection::Projection;
use crate::store::row::row;
use crate::store::{FromRow, QueryError, ReadStore, Row, Select, Transaction};
use crate::table::Table;

/// A projection under way, and where its rows are.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) projection: Projection,
    pub(crate) generation: i64,
    pub(crate) is_building: bool,
    pub(crate) position: Position,
}

impl Line {
    /// The name that a table of it has now.
    pub(crate) fn name_of(&self, table: &Table) -> String {
        if self.is_building { beside(table.name, self.generation) } else { table.name.to_owned() }
    }

    /// The names of its tables as queries write them, as they are kept.
    pub(crate) fn table_names(&self) -> String {
        self.projection.tables.iter().map(|table| table.name).collect::<Vec<_>>().join(" ")
    }
}

/// The name of a table while it is built.
pub(crate) fn beside(table: &str, generation: i64) -> String {
    format!("{table}_g{generation}")
}

row! {
    /// A row of the table of projections.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Checkpoint {
        /// The projection.
        pub name: String,
        /// `live` or `building`.
        pub state: String,
        /// Part of the names of its tables while they are built.
        pub generation: i64,
        /// The projection's version.
        pub version: u32,
        /// The names of its tables, parted by spaces.
        pub tables: String,
        /// Up to where the log is in its rows.
        pub position: Position,
        /// The event that stopped it.
        pub error_position: Option<Position>,
        /// Why it did.
        pub error: Option<String>,
    }
}

const CHECKPOINT: &str = "SELECT name, state, generation, version, tables, position, error_position, error \
     FROM projections";

/// All checkpoints, live ones before those that are built. None when no projector has ever run here.
///
/// # Errors
/// [`QueryError`].
pub async fn all(store: &ReadStore) -> Result<Vec<Checkpoint>, QueryError> {
    match store.checkpoints().await {
        Err(QueryError::NotBuilt { .. }) => Ok(vec![]),
        seen => Ok(seen?.checkpoints),
    }
}

pub(crate) fn select_all() -> Select {
    Select::unscoped(CHECKPOINT).with("ORDER BY name, state DESC", [])
}

pub(crate) fn read(rows: &[Row]) -> Result<Vec<Checkpoint>, QueryError> {
    rows.iter().map(FromRow::from_row).collect()
}

/// Up to where the log is in the rows that the platform's own queries of a projection see.
///
/// # Errors
/// [`QueryError`].
pub async fn position(store: &ReadStore, name: &'static str) -> Result<Position, QueryError> {
    let select = Select::platform(CHECKPOINT).with("WHERE name = ? AND state = 'live'", [name.into()]);
    let live: Option<Checkpoint> = match store.optional(select).await {
        Err(QueryError::NotBuilt { .. }) => None,
        live => live?,
    };
    Ok(live.map_or(Position::ZERO, |checkpoint| checkpoint.position))
}

/// All checkpoints, as a transaction sees them.
pub(crate) async fn known(transaction: &mut Transaction) -> Result<Vec<Checkpoint>, sqlx::Error> {
    let rows = transaction.fetch(Select::unscoped(CHECKPOINT)).await?;
    read(&rows).map_err(|err| sqlx::Error::Decode(err.into()))
}

/// Moves the checkpoints of lines that stand at the same position. Answers whether all of them stood there:
/// otherwise somebody else has moved them, and the transaction must not be committed.
pub(crate) async fn advance(
    transaction: &mut Transaction,
    lines: &[&Line],
    from: Position,
    to: Position,
) -> Result<bool, sqlx::Error> {
    let mut statement = Select::unscoped("UPDATE projections")
        .with("SET position = ? WHERE position = ? AND error IS NULL AND (", [to.into(), from.into()]);
    for (n, line) in lines.iter().enumerate() {
        let or = if n == 0 { "(name = ? AND generation = ?)" } else { "OR (name = ? AND generation = ?)" };
        statement = statement.with(or, [line.projection.name.into(), line.generation.into()]);
    }
    let moved = transaction.execute(statement.with(")", [])).await?;
    Ok(moved == lines.len() as u64)
}

/// Up to where projections are, as readers see them: those that are named, or all that no event has stopped.
/// One that was never built is at the beginning.
#[must_use]
pub fn reached(checkpoints: &[Checkpoint], names: &[&str]) -> Position {
    let is_wanted = |name: &str| names.is_empty() || names.contains(&name);
    let mut known: Vec<&str> = checkpoints.iter().map(|checkpoint| checkpoint.name.as_str()).collect();
    known.extend(names);
    let position_of = |name: &str| {
        let live = checkpoints.iter().find(|known| known.name == name && known.state == "live");
        let is_stopped = checkpoints.iter().any(|known| known.name == name && known.error.is_some());
        let position = live.map_or(Position::ZERO, |live| live.position);
        (!is_stopped || !names.is_empty()).then_some(position)
    };
    let positions = known.into_iter().filter(|name| is_wanted(name)).filter_map(position_of);
    positions.min().unwrap_or(Position::ZERO)
}
