//! Building a projection beside the live one, and swapping it in.
//!
//! While it is built, queries see what was live before, as far as that had come; when nothing was, they are
//! told that it is not built yet. The swap is one transaction: no query sees an empty or half-built table.

use std::time::Duration;

use domain::stream::Position;
use eventlog::crash_point;
use eventlog::log::{Filter, MAX_PAGE, Page};
use tokio::time::sleep;
use tracing::info;

use super::checkpoint::{self, Checkpoint, Line, beside};
use super::{Projector, ProjectorError, apply, lead};
use crate::projection::Projection;
use crate::store::{Class, ReadStore, Select, Transaction, classify};

/// How long readers are left alone after they kept a swap waiting.
const SWAP_PAUSE: Duration = Duration::from_millis(200);

/// What a projection needs.
pub(super) enum Prepared {
    /// Nothing: it is live.
    Live(Line),
    /// To be built. What queries see until then is as of `live`.
    Building { line: Line, live: Position },
    /// Nothing: a newer program keeps it up, and leads by this key.
    Left(String),
}

/// Finds out how projections stand, and makes the tables of those that are to be built. A build that was
/// interrupted goes on; one of a version that nobody wants any more is thrown away.
pub(super) async fn prepare(
    store: &ReadStore,
    projections: &[Projection],
) -> Result<Vec<Prepared>, ProjectorError> {
    let mut transaction = store.begin().await?;
    let known = checkpoint::known(&mut transaction).await?;
    let mut prepared = Vec::with_capacity(projections.len());
    for projection in projections {
        let known: Vec<&Checkpoint> =
            known.iter().filter(|checkpoint| checkpoint.name == projection.name).collect();
        prepared.push(prepare_one(&mut transaction, *projection, &known).await?);
    }
    for projection in projections {
        // Whoever starts tries again what was stopped.
        let is_stopped = |one: &Checkpoint| one.name == projection.name && one.error.is_some();
        if known.iter().any(is_stopped) {
            let forget = Select::unscoped("UPDATE projections SET error = NULL, error_position = NULL");
            transaction.execute(forget.with("WHERE name = ?", [projection.name.into()])).await?;
        }
    }
    transaction.commit().await?;
    Ok(prepared)
}

async fn prepare_one(
    transaction: &mut Transaction,
    projection: Projection,
    known: &[&Checkpoint],
) -> Result<Prepared, sqlx::Error> {
    let live = known.iter().find(|checkpoint| checkpoint.state == "live");
    let building = known.iter().find(|checkpoint| checkpoint.state == "building");
    let is_wanted = |checkpoint: &&&Checkpoint| checkpoint.version == projection.version;
    if let Some(live) = live.filter(is_wanted) {
        // A newer program may be at it in another process; what an older one left is nobody's.
        if let Some(building) = building.filter(|building| building.version < projection.version) {
            throw_away(transaction, building).await?;
        }
        let (generation, position) = (live.generation, live.position);
        return Ok(Prepared::Live(Line { projection, generation, is_building: false, position }));
    }
    if let Some(newer) = live.filter(|live| live.version > projection.version)
        && transaction.is_led(&lead::key(&newer.name, newer.version)).await?
    {
        return Ok(Prepared::Left(lead::key(&newer.name, newer.version)));
    }
    let shown = live.map_or(Position::ZERO, |live| live.position);
    if let Some(building) = building.filter(is_wanted) {
        let (generation, position) = (building.generation, building.position);
        let line = Line { projection, generation, is_building: true, position };
        return Ok(Prepared::Building { line, live: shown });
    }
    if let Some(building) = building {
        throw_away(transaction, building).await?;
    }
    let last = known.iter().map(|checkpoint| checkpoint.generation).max().unwrap_or(0);
    let line = begin(transaction, projection, last + 1).await?;
    Ok(Prepared::Building { line, live: shown })
}

async fn begin(
    transaction: &mut Transaction,
    projection: Projection,
    generation: i64,
) -> Result<Line, sqlx::Error> {
    let line = Line { projection, generation, is_building: true, position: Position::ZERO };
    for table in projection.tables {
        transaction.create(table, &line.name_of(table)).await?;
    }
    let statement = Select::unscoped(
        "INSERT INTO projections (name, state, generation, version, tables, position) VALUES",
    );
    let values = [
        projection.name.into(),
        generation.into(),
        projection.version.into(),
        line.table_names().into(),
        0_i64.into(),
    ];
    transaction.execute(statement.with("(?, 'building', ?, ?, ?, ?)", values)).await?;
    Ok(line)
}

async fn throw_away(transaction: &mut Transaction, building: &Checkpoint) -> Result<(), sqlx::Error> {
    for table in building.tables.split(' ') {
        transaction.drop_table(&beside(table, building.generation)).await?;
    }
    let statement = Select::unscoped("DELETE FROM projections").with(
        "WHERE name = ? AND generation = ?",
        [building.name.clone().into(), building.generation.into()],
    );
    transaction.execute(statement).await.map(|_| ())
}

impl Projector {
    /// Builds projections until they have caught up with the log, and swaps them in. Returns them as live
    /// ones.
    pub(super) async fn build(&self, mut lines: Vec<Line>) -> Result<Vec<Line>, ProjectorError> {
        let mut live = vec![];
        while !lines.is_empty() {
            self.build_to_the_end(&mut lines).await?;
            let mut ahead = vec![];
            for line in lines {
                match swap(&self.store, line).await? {
                    Ok(line) => {
                        let name = line.projection.name;
                        info!(projection = name, "projection {name} is built up to {}", line.position);
                        self.board.live(&line);
                        live.push(line);
                    }
                    Err(line) => ahead.push(line),
                }
            }
            lines = ahead;
        }
        Ok(live)
    }

    /// The next page is read while one is written: first the database is given work, then the log is asked.
    async fn build_to_the_end(&self, lines: &mut Vec<Line>) -> Result<(), ProjectorError> {
        let Some(from) = lines.iter().map(|line| line.position).min() else { return Ok(()) };
        let mut page = self.page(from).await?;
        while !page.commits.is_empty() && !lines.is_empty() {
            let write = async { apply::apply(&self.store, lines, &page.commits).await };
            let (poisoned, next) = tokio::try_join!(write, self.page(page.reached))?;
            self.stop(poisoned).await?;
            for line in lines.iter() {
                self.board.built(line);
            }
            page = next;
        }
        Ok(())
    }

    async fn page(&self, after: Position) -> Result<Page, ProjectorError> {
        Ok(self.log.read_all(after, &Filter::all(), MAX_PAGE).await?)
    }
}

/// Swaps a projection in. Gives it back when what is live is ahead of it: another projector still writes
/// that.
async fn swap(store: &ReadStore, line: Line) -> Result<Result<Line, Line>, ProjectorError> {
    let mut transaction = store.begin().await?;
    for table in line.projection.tables {
        transaction.analyze(&line.name_of(table)).await?;
    }
    transaction.commit().await?;
    loop {
        match try_swap(store, &line).await {
            Ok(Swap::Done) => return Ok(Ok(Line { is_building: false, ..line })),
            Ok(Swap::Behind) => return Ok(Err(line)),
            Ok(Swap::Lost) => return Err(ProjectorError::Fenced),
            Err(error) if is_lock(&error) => sleep(SWAP_PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// A reader was longer in a table than the swap waits. The lock is asked for anew, so that readers get their
/// turn.
fn is_lock(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    classify(error) == Class::Away && matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// What came of trying to swap.
enum Swap {
    Done,
    /// What is live is further: there is more to build.
    Behind,
    /// What was built is not ours any more.
    Lost,
}

async fn try_swap(store: &ReadStore, line: &Line) -> Result<Swap, sqlx::Error> {
    let name = || line.projection.name.into();
    let mut transaction = store.begin().await?;
    let known = checkpoint::known(&mut transaction).await?;
    let is_old = |known: &&Checkpoint| known.name == line.projection.name && known.state == "live";
    let live = known.iter().find(is_old);
    if let Some(newer) = live.filter(|live| live.version > line.projection.version)
        && transaction.is_led(&lead::key(&newer.name, newer.version)).await?
    {
        transaction.rollback().await?;
        return Ok(Swap::Lost);
    }
    let leave = Select::unscoped("DELETE FROM projections")
        .with("WHERE name = ? AND state = 'live' AND position <= ?", [name(), line.position.into()]);
    if transaction.execute(leave).await? == 0 && live.is_some() {
        transaction.rollback().await?;
        return Ok(Swap::Behind);
    }
    let show = Select::unscoped("UPDATE projections SET state = 'live'").with(
        "WHERE name = ? AND generation = ? AND position = ? AND state = 'building'",
        [name(), line.generation.into(), line.position.into()],
    );
    if transaction.execute(show).await? == 0 {
        transaction.rollback().await?;
        return Ok(Swap::Lost);
    }
    let old: Vec<&str> = live.map_or(vec![], |live| live.tables.split_whitespace().collect());
    for table in &old {
        transaction.lock(table).await?;
    }
    for table in &old {
        transaction.drop_table(table).await?;
    }
    for table in line.projection.tables {
        transaction.rename(&line.name_of(table), table.name).await?;
    }
    crash_point!("projector.before_swap");
    transaction.commit().await?;
    crash_point!("projector.after_swap");
    Ok(Swap::Done)
}
