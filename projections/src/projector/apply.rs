//! One batch of commits, its rows and its checkpoints: one transaction.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::stream::{Position, Recorded};
use eventlog::commit::RecordedCommit;
use eventlog::crash_point;

use super::batch::Batch;
use super::checkpoint::{Line, advance};
use super::poison::{self, Poison};
use super::{ProjectorError, is_refusal};
use crate::projection::Projection;
use crate::store::ReadStore;

/// Why a batch was not applied.
pub(super) enum Refused {
    /// Trying again may help.
    Stopped(ProjectorError),
    /// An event of it breaks a projection.
    Broken(String),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        if is_refusal(&error) { Self::Broken(super::chain(&error)) } else { Self::Stopped(error.into()) }
    }
}

/// Applies commits to all lines that do not have them yet. Lines that an event breaks are taken out and
/// returned.
pub(super) async fn apply(
    store: &ReadStore,
    lines: &mut Vec<Line>,
    commits: &[RecordedCommit],
) -> Result<Vec<(Line, Poison)>, ProjectorError> {
    let Some(last) = commits.last().map(|commit| commit.head.position) else { return Ok(vec![]) };
    let behind: Vec<&Line> = lines.iter().filter(|line| line.position < last).collect();
    match together(store, &behind, commits, last).await {
        Ok(()) => {
            for line in lines.iter_mut() {
                line.position = line.position.max(last);
            }
            Ok(vec![])
        }
        Err(Refused::Stopped(error)) => Err(error),
        Err(Refused::Broken(_)) => poison::isolate(store, lines, commits).await,
    }
}

/// Applies commits to lines in one transaction.
pub(super) async fn together(
    store: &ReadStore,
    lines: &[&Line],
    commits: &[RecordedCommit],
    to: Position,
) -> Result<(), Refused> {
    if lines.is_empty() {
        return Ok(());
    }
    let batches: Vec<(&Line, Batch)> = lines
        .iter()
        .map(|line| changes(line, commits).map(|batch| (*line, batch)))
        .collect::<Result<_, _>>()
        .map_err(Refused::Broken)?;
    let mut transaction = store.begin().await?;
    // The checkpoints come first: their rows are the lock between two projectors.
    let mut standing: BTreeMap<Position, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        standing.entry(line.position).or_default().push(line);
    }
    for (from, lines) in standing {
        if !advance(&mut transaction, &lines, from, to).await? {
            transaction.rollback().await?;
            return Err(Refused::Stopped(ProjectorError::Fenced));
        }
    }
    for (line, batch) in batches {
        batch.write(&mut transaction, |table| line.name_of(table)).await?;
    }
    crash_point!("projector.before_commit");
    transaction.commit().await?;
    crash_point!("projector.after_commit");
    Ok(())
}

/// What the commits that a line does not have yet change in its tables.
fn changes(line: &Line, commits: &[RecordedCommit]) -> Result<Batch, String> {
    let new = commits.iter().filter(|commit| commit.head.position > line.position);
    changes_of(&line.projection, new.flat_map(|commit| &commit.events))
}

/// What events change in the tables of a projection.
pub(crate) fn changes_of<'a>(
    projection: &Projection,
    events: impl IntoIterator<Item = &'a Recorded>,
) -> Result<Batch, String> {
    let mut batch = Batch::default();
    for recorded in events {
        // A projection that panics is as broken as one that the database refuses, and the others go on.
        let changes = catch_unwind(AssertUnwindSafe(|| (projection.changes)(recorded)));
        let changes = changes.map_err(|_| "the projection panicked".to_owned())?;
        for change in changes {
            batch.push(change).map_err(|misfit| misfit.to_string())?;
        }
    }
    Ok(batch)
}
