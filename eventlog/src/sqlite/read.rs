//! Reading the log: every commit that leaves this file was found whole, at its place.

use std::path::Path;

use domain::stream::{AggregateKind, Position, StreamId, Version};
use futures::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow, SqliteSynchronous};
use sqlx::{QueryBuilder, Row as _, Sqlite};
use uuid::Uuid;

use crate::chain::{Chains, check_follows};
use crate::commit::{Hash, Head, RecordedCommit};
use crate::envelope::{decode, hash_of};
use crate::error::{OpenError, ReadError};
use crate::log::{Filter, MAX_PAGE, Page, Slice};
use crate::sqlite::database::{self, Format, failed, is_damage};

/// The file that the log is in.
pub(super) const FORMAT: Format = Format {
    name: "events.db",
    application: 0x5362_4c67, // "SbLg"
    version: 1,
    schema: include_str!("log.sql"),
    synchronous: SqliteSynchronous::Full,
    remedy: "restore it from a backup",
};
/// How much of the log one page looks at, when a filter lets little through.
const SCANNED_MAX: u64 = 100_000;
/// A page ends early when it has this many bytes.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many commits at the end of the log are checked when it is opened.
const CHECKED_AT_OPEN: u64 = 200;

const COLUMNS: &str = "position, organization, kind, aggregate, version, hash, payload";

/// A row of the log.
struct Stored {
    position: Position,
    stream: StreamId,
    version: Version,
    hash: Hash,
    payload: Vec<u8>,
}

impl Stored {
    fn from_row(row: &SqliteRow) -> Result<Self, ReadError> {
        let position = Position(column::<i64>(row, 0, Position::ZERO)?.cast_unsigned());
        let kind: String = column(row, 2, position)?;
        let stream = StreamId {
            organization: uuid(column(row, 1, position)?).into(),
            kind: kind.parse().map_err(|err| ReadError::Damaged { position, problem: format!("{err}") })?,
            id: uuid(column(row, 3, position)?),
        };
        let hash: Vec<u8> = column(row, 5, position)?;
        Ok(Self {
            position,
            stream,
            version: Version(column::<i64>(row, 4, position)?.cast_unsigned()),
            // One of another length is equal to none, and that is found when it is compared.
            hash: Hash(hash.try_into().unwrap_or_default()),
            payload: column(row, 6, position)?,
        })
    }

    fn check_bytes(&self) -> Result<(), ReadError> {
        if hash_of(&self.payload) == self.hash {
            return Ok(());
        }
        Err(self.damaged("its bytes are not those that were written"))
    }

    fn commit(&self) -> Result<RecordedCommit, ReadError> {
        let commit = decode(self.position, &self.payload, Some(self.hash))?;
        if commit.stream != self.stream || commit.head.version != self.version {
            return Err(self.damaged("it stands in the place of another commit"));
        }
        Ok(commit)
    }

    fn head(&self) -> Head {
        Head { version: self.version, position: self.position, hash: self.hash }
    }

    fn damaged(&self, problem: &str) -> ReadError {
        ReadError::Damaged { position: self.position, problem: problem.to_owned() }
    }
}

/// One of another length is nil, and that is found when it is compared with what the payload says.
fn uuid(bytes: Vec<u8>) -> Uuid {
    bytes.try_into().map(Uuid::from_bytes).unwrap_or_default()
}

/// A column's value. Text is taken as bytes where bytes are asked for: what is no UTF-8 any more is found by
/// its hash.
fn column<'r, T: sqlx::Decode<'r, Sqlite>>(
    row: &'r SqliteRow,
    index: usize,
    position: Position,
) -> Result<T, ReadError> {
    row.try_get_unchecked(index).map_err(|err| ReadError::Damaged {
        position,
        problem: format!("its row does not have its form: {err}"),
    })
}

fn unreadable(position: Position) -> impl Fn(sqlx::Error) -> ReadError {
    move |source| {
        if is_damage(&source) {
            ReadError::Damaged { position, problem: source.to_string() }
        } else {
            ReadError::Unavailable { source: source.into() }
        }
    }
}

/// The events of a stream after a version. The commit that ends there or before is looked at too, because the
/// next one carries its hash.
pub(super) async fn stream(
    readers: &SqlitePool,
    stream: &StreamId,
    after: Version,
) -> Result<Slice, ReadError> {
    let of_stream = "aggregate = ?1 AND kind = ?2 AND organization = ?3";
    let sql = format!(
        "SELECT {COLUMNS} FROM commits WHERE {of_stream} AND version >= coalesce(\
         (SELECT max(version) FROM commits WHERE {of_stream} AND version <= ?4), 0) ORDER BY version"
    );
    let mut rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(stream.id.as_bytes().to_vec())
        .bind(stream.kind.as_str())
        .bind(stream.organization.0.as_bytes().to_vec())
        .bind(after.0.cast_signed())
        .fetch(readers);
    let mut slice = Slice::default();
    while let Some(row) = rows.try_next().await.map_err(unreadable(slice.head.position))? {
        let stored = Stored::from_row(&row)?;
        if stored.version <= after {
            stored.check_bytes()?;
            slice.head = stored.head();
            continue;
        }
        let commit = stored.commit()?;
        check_follows(&slice.head, &commit)?;
        slice.head = commit.head;
        slice.events.extend(commit.events.into_iter().filter(|event| event.version > after));
    }
    Ok(slice)
}

/// Commits of all streams after a position, none of them later than `head`.
pub(super) async fn page(
    readers: &SqlitePool,
    after: Position,
    head: Position,
    filter: &Filter,
    limit: usize,
) -> Result<Page, ReadError> {
    let upper = Position(head.0.min(after.0.saturating_add(SCANNED_MAX)));
    let mut page = Page { commits: Vec::new(), reached: after };
    if upper <= after {
        return Ok(page);
    }
    let limit = limit.clamp(1, MAX_PAGE);
    let mut query = select(after, upper, filter, limit);
    let mut rows = query.build().fetch(readers);
    let mut chains = Chains::default();
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await.map_err(unreadable(page.reached))? {
        let stored = Stored::from_row(&row)?;
        let commit = stored.commit()?;
        chains.check(&commit)?;
        bytes += stored.payload.len();
        page.reached = stored.position;
        page.commits.push(commit);
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    if page.commits.len() < limit && bytes < PAGE_BYTES_MAX {
        page.reached = upper;
    }
    drop(rows);
    check_dense(readers, after, &page, filter).await?;
    Ok(page)
}

fn select(after: Position, upper: Position, filter: &Filter, limit: usize) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM commits WHERE position > "));
    query.push_bind(after.0.cast_signed()).push(" AND position <= ").push_bind(upper.0.cast_signed());
    if let Some(organization) = filter.organization {
        query.push(" AND organization = ").push_bind(organization.0.as_bytes().to_vec());
    }
    if !filter.kinds.is_empty() {
        let mut kinds = query.push(" AND kind IN (").separated(", ");
        for kind in &filter.kinds {
            kinds.push_bind(AggregateKind::as_str(*kind));
        }
        query.push(")");
    }
    // The limit is a number of ours; bound, it would keep the planner from knowing it.
    query.push(format!(" ORDER BY position LIMIT {limit}"));
    query
}

/// Checks that no position is missing between `after` and where the page ends, also among what the filter
/// left out.
async fn check_dense(
    readers: &SqlitePool,
    after: Position,
    page: &Page,
    filter: &Filter,
) -> Result<(), ReadError> {
    let wanted = page.reached.0 - after.0;
    let found = if *filter == Filter::all() {
        page.commits.len() as u64
    } else {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM commits WHERE position > ? AND position <= ?")
                .bind(after.0.cast_signed())
                .bind(page.reached.0.cast_signed())
                .fetch_one(readers)
                .await
                .map_err(unreadable(after))?;
        count.cast_unsigned()
    };
    if found == wanted {
        return Ok(());
    }
    let missing = wanted.saturating_sub(found);
    let problem =
        format!("{missing} commits are missing between position {after} and position {}", page.reached);
    Err(ReadError::Damaged { position: after.next(), problem })
}

/// What the file takes.
pub(super) async fn bytes(readers: &SqlitePool) -> Result<u64, ReadError> {
    let sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
    let bytes: i64 = sqlx::query_scalar(sql)
        .fetch_one(readers)
        .await
        .map_err(|source| ReadError::Unavailable { source: source.into() })?;
    Ok(bytes.cast_unsigned())
}

/// Checks the end of the log, where a crash would show, and answers with its last position.
pub(super) async fn check_end(connection: &mut SqliteConnection, path: &Path) -> Result<Position, OpenError> {
    let damaged = |problem: String| database::damaged(path, &FORMAT, problem);
    let (first, last): (Option<i64>, Option<i64>) =
        sqlx::query_as("SELECT (SELECT min(position) FROM commits), (SELECT max(position) FROM commits)")
            .fetch_one(&mut *connection)
            .await
            .map_err(|source| failed(path, &FORMAT, source))?;
    let last = last.unwrap_or_default().cast_unsigned();
    if first.is_some_and(|first| first != 1) {
        return Err(damaged("the first commits are missing".to_owned()));
    }
    let after = last.saturating_sub(CHECKED_AT_OPEN);
    let sql = format!("SELECT {COLUMNS} FROM commits WHERE position > ? ORDER BY position");
    let mut rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(after.cast_signed()).fetch(&mut *connection);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(|source| failed(path, &FORMAT, source))? {
        let stored = Stored::from_row(&row).map_err(|err| damaged(err.to_string()))?;
        stored.check_bytes().map_err(|err| damaged(err.to_string()))?;
        count += 1;
    }
    if count != last - after {
        return Err(damaged(format!("commits are missing after position {after}")));
    }
    Ok(Position(last))
}
