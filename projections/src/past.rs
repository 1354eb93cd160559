//! The past: one organisation's events up to a moment, replayed into a database in memory. The same queries
//! run on it, so every read has a past, and no query knows of it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::event::Event;
use domain::id::{OrganizationId, UserId};
use domain::organization;
use domain::stream::{Position, Recorded, StreamId, Version};
use eventlog::error::{BoxError, ReadError};
use eventlog::log::{Filter, MAX_PAGE, SharedLog};

use crate::projection::{ALL, Projection};
use crate::projector::apply::changes_of;
use crate::store::{QueryError, ReadStore, Select};

/// How many commits are replayed at most: what a reader may cost.
pub const MAX_COMMITS: usize = 100_000;

/// A moment of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After the commit at this position.
    Position(Position),
    /// After the last commit before the first one that was decided later than this.
    Time(DateTime<Utc>),
}

/// The read models as they were.
#[derive(Debug)]
pub struct Past {
    /// For the queries.
    pub store: ReadStore,
    /// The position of the last of the organisation's commits in them.
    pub position: Position,
}

/// A past that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The log is away, or cannot be read.
    #[error("replay of the past")]
    Log(#[from] ReadError),
    /// Too much happened since the beginning.
    #[error("replay of the past: it has more than {MAX_COMMITS} commits; ask for an earlier moment")]
    TooLong,
    /// An event breaks a projection.
    #[error("replay of the past: an event breaks projection {projection}")]
    Broken {
        /// The projection.
        projection: &'static str,
        /// How.
        #[source]
        source: BoxError,
    },
    /// There is no memory for it.
    #[error("replay of the past: write to memory")]
    Store(#[from] QueryError),
}

impl Moment {
    fn includes(self, recorded: &Recorded) -> bool {
        match self {
            Self::Position(position) => recorded.position <= position,
            Self::Time(time) => recorded.at <= time,
        }
    }
}

/// The read models of an organisation as they were at a moment.
///
/// # Errors
/// [`PastError`].
pub async fn as_of(log: &SharedLog, organization: OrganizationId, moment: Moment) -> Result<Past, PastError> {
    let store = empty().await?;
    let filter = Filter { organization: Some(organization), kinds: vec![] };
    let (mut position, mut reached, mut seen) = (Position::ZERO, Position::ZERO, 0);
    let mut persons = BTreeSet::new();
    loop {
        let page = log.read_all(reached, &filter, MAX_PAGE).await?;
        let is_end = page.reached == reached;
        reached = page.reached;
        seen += page.commits.len();
        if seen > MAX_COMMITS {
            return Err(PastError::TooLong);
        }
        let all = page.commits.iter().flat_map(|commit| &commit.events);
        let events: Vec<&Recorded> = all.clone().take_while(|recorded| moment.includes(recorded)).collect();
        write(&store, &events).await?;
        persons.extend(events.iter().flat_map(|recorded| persons_of(recorded)));
        position = events.last().map_or(position, |recorded| recorded.position);
        if is_end || events.len() < all.count() {
            break;
        }
    }
    for person in persons {
        let events = log.read(&StreamId::user(person), Version::ZERO).await?.events;
        write(&store, &events.iter().filter(|recorded| moment.includes(recorded)).collect::<Vec<_>>())
            .await?;
    }
    show(&store, position).await?;
    Ok(Past { store, position })
}

/// Users stand above organisations: their names are read from the streams of those who appear.
fn persons_of(recorded: &Recorded) -> Vec<UserId> {
    let owner = match &recorded.event {
        Event::Organization(organization::Event::Created { owner, .. }) => Some(*owner),
        Event::User(_) | Event::Project(_) | Event::Service(_) | Event::Deployment(_) | Event::Claim(_) => {
            None
        }
    };
    owner.into_iter().chain(recorded.actor.person()).collect()
}

async fn empty() -> Result<ReadStore, PastError> {
    let store = ReadStore::sqlite_in_memory().await?;
    store.migrate().await?;
    let mut transaction = store.begin().await.map_err(QueryError::from)?;
    for table in ALL.iter().flat_map(|projection| projection.tables) {
        transaction.create(table, table.name).await.map_err(QueryError::from)?;
    }
    transaction.commit().await.map_err(QueryError::from)?;
    Ok(store)
}

async fn write(store: &ReadStore, events: &[&Recorded]) -> Result<(), PastError> {
    let mut transaction = store.begin().await.map_err(QueryError::from)?;
    for projection in &ALL {
        let broken = |source: BoxError| PastError::Broken { projection: projection.name, source };
        let batch =
            changes_of(projection, events.iter().copied()).map_err(|problem| broken(problem.into()))?;
        batch
            .write(&mut transaction, |table| table.name.to_owned())
            .await
            .map_err(|error| broken(error.into()))?;
    }
    transaction.commit().await.map_err(QueryError::from)?;
    Ok(())
}

/// Writes checkpoints as the projector does, for queries that ask how far the rows are.
async fn show(store: &ReadStore, position: Position) -> Result<(), QueryError> {
    let mut transaction = store.begin().await?;
    for Projection { name, version, .. } in &ALL {
        let statement = Select::unscoped(
            "INSERT INTO projections (name, state, generation, version, tables, position) VALUES",
        );
        let values = [(*name).into(), (*version).into(), position.into()];
        transaction.execute(statement.with("(?, 'live', 0, ?, '', ?)", values)).await?;
    }
    transaction.commit().await?;
    Ok(())
}
