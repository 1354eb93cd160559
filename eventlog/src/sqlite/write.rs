//! Writing the log: one task, which writes in groups what many have asked for.
//!
//! Only this task writes, so what it knows of the ends of streams is true as long as it lives. Nobody is
//! answered before the group is on the disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::LazyLock;

use domain::id::CommitId;
use domain::stream::{Position, StreamId, Version};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Row as _};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, warn};
use uuid::Uuid;

use crate::bounded::Bounded;
use crate::commit::{Hash, Head};
use crate::envelope::Encoded;
use crate::error::{AppendError, BoxError};
use crate::lock::FileLock;
use crate::sqlite::database::{Written, after_failure};

/// The most commits in one group.
const GROUP_MAX: usize = 256;
/// How many streams the writer remembers the ends of; at most twice as many (about 10 MB).
const STREAMS_MAX: usize = 20_000;
/// How many rows the statements have that insert a group; what is not filled is left out.
const INSERT_SIZES: [usize; 5] = [1, 4, 16, 64, GROUP_MAX];
const COLUMNS: usize = 8;

/// What the writer is asked for.
pub(super) enum Request {
    Write(Box<Write>),
    /// Finish what was asked for before, close the file, and say so.
    Close(oneshot::Sender<()>),
}

/// A commit to be written.
pub(super) struct Write {
    pub(super) id: CommitId,
    pub(super) stream: StreamId,
    pub(super) expected: Head,
    pub(super) encoded: Encoded,
    pub(super) answer: oneshot::Sender<Result<Head, AppendError>>,
}

/// The end of a stream, and the commit it has there.
#[derive(Clone, Copy)]
struct End {
    head: Head,
    commit: Option<CommitId>,
}

/// The task that writes.
pub(super) struct Writer {
    connection: SqliteConnection,
    last: Position,
    ends: Bounded<StreamId, End>,
    grow: watch::Sender<Position>,
    /// Why nothing is written any more.
    broken: Option<String>,
    tell_broken: watch::Sender<Option<String>>,
    lock: FileLock,
}

impl Writer {
    pub(super) fn new(
        connection: SqliteConnection,
        lock: FileLock,
        last: Position,
        grow: watch::Sender<Position>,
        tell_broken: watch::Sender<Option<String>>,
    ) -> Self {
        let ends = Bounded::new(STREAMS_MAX);
        Self { connection, last, ends, grow, broken: None, tell_broken, lock }
    }

    /// Writes until nobody can ask any more.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut received = Vec::with_capacity(GROUP_MAX);
        let mut closed = None;
        while requests.recv_many(&mut received, GROUP_MAX).await > 0 {
            let mut group = Vec::with_capacity(received.len());
            for request in received.drain(..) {
                match request {
                    Request::Write(write) => group.push(*write),
                    Request::Close(done) => {
                        requests.close();
                        closed = Some(done);
                    }
                }
            }
            self.write(group).await;
        }
        drop(self.grow);
        if let Err(err) = self.connection.close().await {
            warn!(error = %err, "the event log was not closed cleanly; it is recovered when it is opened");
        }
        drop(self.lock);
        if let Some(done) = closed {
            // Whoever wanted to know may have gone.
            let _ = done.send(());
        }
    }

    async fn write(&mut self, group: Vec<Write>) {
        let mut placed = Group::default();
        for write in group {
            match self.place(&write, &mut placed).await {
                Ok(Placed::Fresh(head)) => {
                    placed.ends.insert(write.stream, End { head, commit: Some(write.id) });
                    placed.rows.push((write, head));
                }
                Ok(Placed::InGroup(head)) => placed.repeats.push((write, head)),
                Ok(Placed::Before(head)) => answer(write, Ok(head)),
                Err(err) => answer(write, Err(err)),
            }
        }
        if placed.rows.is_empty() {
            return;
        }
        match self.insert(&mut placed.rows).await {
            Ok(()) => {
                self.last = placed.rows.last().map_or(self.last, |(_, head)| head.position);
                for (stream, end) in placed.ends {
                    self.ends.insert(stream, end);
                }
                // Readers first: whoever was answered finds what it wrote.
                self.grow.send_replace(self.last);
                for (write, head) in placed.rows.into_iter().chain(placed.repeats) {
                    answer(write, Ok(head));
                }
            }
            Err(err) => self.fail(placed, err).await,
        }
    }

    /// Decides whether a commit can be written, and where.
    async fn place(&mut self, write: &Write, group: &mut Group) -> Result<Placed, AppendError> {
        let (stream, expected) = (write.stream, write.expected);
        let unavailable = |source: BoxError| AppendError::Unavailable { stream, source };
        if let Some(reason) = &self.broken {
            return Err(unavailable(reason.clone().into()));
        }
        let in_group = group.ends.get(&stream).copied();
        let end = match in_group.or_else(|| self.ends.get(&stream).copied()) {
            Some(end) => end,
            None => {
                let end =
                    find_end(&mut self.connection, &stream).await.map_err(|err| unavailable(err.into()))?;
                self.ends.insert(stream, end);
                end
            }
        };
        if end.head == expected {
            let position = Position(self.last.0 + group.rows.len() as u64 + 1);
            let Encoded { version, hash, .. } = write.encoded;
            return Ok(Placed::Fresh(Head { version, position, hash }));
        }
        if end.commit == Some(write.id) {
            return Ok(if in_group.is_some() { Placed::InGroup(end.head) } else { Placed::Before(end.head) });
        }
        let next = find_next(&mut self.connection, &stream, expected.version)
            .await
            .map_err(|err| unavailable(err.into()))?;
        match next {
            Some(End { head, commit }) if commit == Some(write.id) => Ok(Placed::Before(head)),
            Some(_) | None => Err(AppendError::Conflict { stream, expected: expected.version }),
        }
    }

    /// Inserts rows in one transaction.
    async fn insert(&mut self, rows: &mut [(Write, Head)]) -> Result<(), sqlx::Error> {
        let size = INSERT_SIZES.iter().position(|size| *size >= rows.len()).unwrap_or(INSERT_SIZES.len() - 1);
        let mut query = sqlx::query(INSERTS[size].as_str());
        for (write, head) in rows {
            query = query
                .bind(head.position.0.cast_signed())
                .bind(write.stream.organization.0.as_bytes().to_vec())
                .bind(write.stream.kind.as_str())
                .bind(write.stream.id.as_bytes().to_vec())
                .bind(head.version.0.cast_signed())
                .bind(write.id.0.as_bytes().to_vec())
                .bind(head.hash.0.to_vec())
                .bind(std::mem::take(&mut write.encoded.payload));
        }
        // One statement is one transaction.
        query.execute(&mut self.connection).await?;
        Ok(())
    }

    /// Nothing of a group was written, as far as can be seen. When the disk failed while it was written, it
    /// may be there after a crash all the same: then nothing more is written, because what follows would
    /// stand on it.
    async fn fail(&mut self, group: Group, source: sqlx::Error) {
        let written = after_failure(&source);
        let source = Arc::new(source);
        if written == Written::Broken {
            let reason = format!("the disk failed, and nothing is written since: {source}");
            error!(error = %source, "the event log stopped writing: {reason}; start the server again");
            self.broken = Some(reason.clone());
            self.tell_broken.send_replace(Some(reason));
        } else {
            warn!(error = %source, "a group of {} commits was not written", group.rows.len());
        }
        for (write, _) in group.rows.into_iter().chain(group.repeats) {
            let (stream, source) = (write.stream, Arc::clone(&source).into());
            let error = match written {
                Written::Nothing => AppendError::Unavailable { stream, source },
                Written::Perhaps | Written::Broken => AppendError::Unknown { stream, source },
            };
            answer(write, Err(error));
        }
    }
}

/// A group that is being put together.
#[derive(Default)]
struct Group {
    rows: Vec<(Write, Head)>,
    /// What is in the group already, by the same id.
    repeats: Vec<(Write, Head)>,
    ends: HashMap<StreamId, End>,
}

/// Where a commit stands.
enum Placed {
    /// At the end of its stream, as soon as the group is written.
    Fresh(Head),
    /// In the group already.
    InGroup(Head),
    /// In the log already.
    Before(Head),
}

fn answer(write: Write, result: Result<Head, AppendError>) {
    // Whoever asked may have gone; the commit stands all the same.
    let _ = write.answer.send(result);
}

static INSERTS: LazyLock<[String; INSERT_SIZES.len()]> = LazyLock::new(|| {
    INSERT_SIZES.map(|size| {
        let row = format!("({})", ["?"; COLUMNS].join(", "));
        let rows = vec![row; size].join(", ");
        format!(
            "INSERT INTO commits (position, organization, kind, aggregate, version, id, hash, payload) \
             SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL"
        )
    })
});

const OF_STREAM: &str = "SELECT version, position, hash, id FROM commits \
                         WHERE aggregate = ?1 AND kind = ?2 AND organization = ?3";

/// The end of a stream.
async fn find_end(connection: &mut SqliteConnection, stream: &StreamId) -> Result<End, sqlx::Error> {
    let sql = format!("{OF_STREAM} ORDER BY version DESC LIMIT 1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(stream.id.as_bytes().to_vec())
        .bind(stream.kind.as_str())
        .bind(stream.organization.0.as_bytes().to_vec())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map_or(Ok(End { head: Head::EMPTY, commit: None }), end)
}

/// The first commit of a stream that ends after a version: the one that an append which expected that version
/// made, if there was one.
async fn find_next(
    connection: &mut SqliteConnection,
    stream: &StreamId,
    after: Version,
) -> Result<Option<End>, sqlx::Error> {
    let sql = format!("{OF_STREAM} AND version > ?4 ORDER BY version LIMIT 1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(stream.id.as_bytes().to_vec())
        .bind(stream.kind.as_str())
        .bind(stream.organization.0.as_bytes().to_vec())
        .bind(after.0.cast_signed())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(end).transpose()
}

fn end(row: &SqliteRow) -> Result<End, sqlx::Error> {
    let hash: Vec<u8> = row.try_get(2)?;
    let head = Head {
        version: Version(row.try_get::<i64, _>(0)?.cast_unsigned()),
        position: Position(row.try_get::<i64, _>(1)?.cast_unsigned()),
        hash: Hash(hash.try_into().unwrap_or_default()),
    };
    let id = Uuid::from_slice(row.try_get(3)?).map_err(|err| sqlx::Error::Decode(err.into()))?;
    Ok(End { head, commit: Some(CommitId(id)) })
}
