//! Events that break a projection. Found by trying again with less: each projection alone, then each commit
//! alone.
//!
//! A projection that is stopped keeps its rows as they were before the event, and is tried again when the
//! projector starts the next time: a program that was mended goes on where it stopped.

use domain::stream::Position;
use eventlog::commit::RecordedCommit;
use serde::Serialize;

use super::ProjectorError;
use super::apply::{Refused, together};
use super::checkpoint::Line;
use crate::store::{ReadStore, Select};

/// The longest message that is kept, in characters.
const MAX_MESSAGE: usize = 2000;

/// The event that stopped a projection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Poison {
    /// The position of its commit.
    pub position: Position,
    /// What went wrong.
    pub message: String,
}

/// Applies commits to each line alone, and takes out those that one of the commits breaks.
pub(super) async fn isolate(
    store: &ReadStore,
    lines: &mut Vec<Line>,
    commits: &[RecordedCommit],
) -> Result<Vec<(Line, Poison)>, ProjectorError> {
    let mut poisoned = vec![];
    let mut kept = vec![];
    for mut line in lines.iter().cloned() {
        match alone(store, &mut line, commits).await? {
            None => kept.push(line),
            Some(poison) => poisoned.push((line, poison)),
        }
    }
    *lines = kept;
    Ok(poisoned)
}

/// Applies commits to a line, up to the one that breaks it.
async fn alone(
    store: &ReadStore,
    line: &mut Line,
    commits: &[RecordedCommit],
) -> Result<Option<Poison>, ProjectorError> {
    let new: Vec<&RecordedCommit> =
        commits.iter().filter(|commit| commit.head.position > line.position).collect();
    let Some(last) = new.last().map(|commit| commit.head.position) else { return Ok(None) };
    match together(store, &[line], commits, last).await {
        Ok(()) => {
            line.position = last;
            return Ok(None);
        }
        Err(Refused::Stopped(error)) => return Err(error),
        Err(Refused::Broken(_)) => {}
    }
    for commit in new {
        let position = commit.head.position;
        match together(store, &[line], std::slice::from_ref(commit), position).await {
            Ok(()) => line.position = position,
            Err(Refused::Stopped(error)) => return Err(error),
            Err(Refused::Broken(message)) => {
                return Ok(Some(Poison { position, message: message.chars().take(MAX_MESSAGE).collect() }));
            }
        }
    }
    Ok(None)
}

/// Writes down what stopped a projection, for readers in other processes.
pub(super) async fn record(store: &ReadStore, line: &Line, poison: &Poison) -> Result<(), ProjectorError> {
    let mut transaction = store.begin().await?;
    let statement = Select::unscoped("UPDATE projections").with(
        "SET error = ?, error_position = ? WHERE name = ? AND generation = ?",
        [
            poison.message.clone().into(),
            poison.position.into(),
            line.projection.name.into(),
            line.generation.into(),
        ],
    );
    transaction.execute(statement).await?;
    transaction.commit().await?;
    Ok(())
}
