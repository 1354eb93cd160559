//! A database file of ours: who may open it, which format it has, and whether it is whole.
//!
//! What is found wrong is refused and left as it is. A file is never repaired, replaced or made anew in
//! silence.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::OpenError;
use crate::lock::FileLock;

/// How long a statement waits for a lock that somebody else has, such as a backup or a person with `sqlite3`.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// After a crash a database up to this size is checked as a whole (about 100 ms). Of a larger one only the
/// end is: `SQLite` recovers it by its own log, and what is damaged is found when it is read.
const CHECKED_BYTES_MAX: u64 = 64 * 1024 * 1024;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER: usize = 100;

/// What a database file of one kind looks like.
pub(super) struct Format {
    /// The file's name in the data directory.
    pub(super) name: &'static str,
    /// What `PRAGMA application_id` says.
    pub(super) application: i64,
    /// The newest `PRAGMA user_version` that this program knows.
    pub(super) version: i64,
    /// What makes an empty file one of this version.
    pub(super) schema: &'static str,
    /// Whether a commit is on the disk before it is answered.
    pub(super) synchronous: SqliteSynchronous,
    /// What to do when it is damaged.
    pub(super) remedy: &'static str,
}

/// An open database.
pub(super) struct Database {
    pub(super) path: PathBuf,
    pub(super) options: SqliteConnectOptions,
    pub(super) connection: SqliteConnection,
    /// Held as long as anything may write.
    pub(super) lock: FileLock,
}

impl Database {
    /// Opens a file, or makes it.
    pub(super) async fn open(dir: &Path, format: &Format) -> Result<Self, OpenError> {
        let path = dir.join(format.name);
        std::fs::create_dir_all(dir).map_err(|source| unusable(dir, source))?;
        let lock = FileLock::take(&dir.join(format!("{}.lock", format.name)), dir)?;
        let was_closed = inspect(&path, format)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(format.synchronous)
            .busy_timeout(BUSY_LIMIT)
            .pragma("journal_size_limit", "67108864")
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(|source| failed(&path, format, source))?;
        prepare(&mut connection, &path, format).await?;
        let size = std::fs::metadata(&path).map_err(|source| unusable(&path, source))?.len();
        if !was_closed && size <= CHECKED_BYTES_MAX {
            check(&mut connection, &path, format).await?;
        }
        // The name of a file that was just made is on the disk only when its directory is.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| unusable(dir, source))?;
        Ok(Self { path, options, connection, lock })
    }
}

/// Looks at a file before `SQLite` does, which would write to it. Answers whether it was closed as it should
/// be.
fn inspect(path: &Path, format: &Format) -> Result<bool, OpenError> {
    let damaged = |problem: String| damaged(path, format, problem);
    let wal = PathBuf::from(format!("{}-wal", path.display()));
    let was_closed = std::fs::metadata(wal).map_or(true, |wal| wal.len() == 0);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound && was_closed => return Ok(true),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
            return Err(damaged("it is gone, though its write-ahead log is there".to_owned()));
        }
        Err(source) => return Err(unusable(path, source)),
    };
    let size = file.metadata().map_err(|source| unusable(path, source))?.len();
    if size == 0 {
        // Made, but killed before anything was written; a write-ahead log comes later than the first page.
        return if was_closed { Ok(true) } else { Err(damaged("it is empty".to_owned())) };
    }
    let mut header = [0; HEADER];
    if file.read_exact(&mut header).is_err() || &header[..16] != MAGIC {
        return Err(damaged("it is not a database".to_owned()));
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (version, application) = (i64::from(number(60)), i64::from(number(68)));
    if application == format.application && version > format.version {
        return Err(OpenError::Newer { path: path.into(), found: version, known: format.version });
    }
    // The two bytes of the page size say 1 for 65536.
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let has_count = number(24) == number(92);
    let wanted = u64::from(number(28)) * page_size;
    if was_closed && has_count && size < wanted {
        return Err(damaged(format!("it is cut off: {size} bytes of {wanted} are there")));
    }
    Ok(was_closed)
}

/// Checks whose file it is, and makes an empty one ours.
async fn prepare(connection: &mut SqliteConnection, path: &Path, format: &Format) -> Result<(), OpenError> {
    let (application, version, tables): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT application_id FROM pragma_application_id), \
         (SELECT user_version FROM pragma_user_version), \
         (SELECT count(*) FROM sqlite_schema)",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(|source| failed(path, format, source))?;
    if tables == 0 && version == 0 {
        let mut transaction = connection.begin().await.map_err(|source| failed(path, format, source))?;
        sqlx::raw_sql(format.schema)
            .execute(&mut *transaction)
            .await
            .map_err(|source| failed(path, format, source))?;
        let marks = format!(
            "PRAGMA application_id = {}; PRAGMA user_version = {}",
            format.application, format.version
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(marks))
            .execute(&mut *transaction)
            .await
            .map_err(|source| failed(path, format, source))?;
        return transaction.commit().await.map_err(|source| failed(path, format, source));
    }
    if application != format.application {
        return Err(OpenError::Foreign { path: path.into() });
    }
    if version > format.version {
        return Err(OpenError::Newer { path: path.into(), found: version, known: format.version });
    }
    Ok(())
}

async fn check(connection: &mut SqliteConnection, path: &Path, format: &Format) -> Result<(), OpenError> {
    let problem: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(connection)
        .await
        .map_err(|source| failed(path, format, source))?;
    if problem == "ok" { Ok(()) } else { Err(damaged(path, format, problem)) }
}

pub(super) fn damaged(path: &Path, format: &Format, problem: String) -> OpenError {
    OpenError::Damaged { path: path.into(), problem, remedy: format.remedy }
}

fn unusable(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Unusable { path: path.into(), source: source.into() }
}

/// What an error of `SQLite` means for whoever wants to open the file.
pub(super) fn failed(path: &Path, format: &Format, source: sqlx::Error) -> OpenError {
    if is_damage(&source) {
        return damaged(path, format, source.to_string());
    }
    OpenError::Unusable { path: path.into(), source: source.into() }
}

/// Whether an error says that the file is not what `SQLite` wrote.
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    const CORRUPT: i32 = 11;
    const NOT_A_DATABASE: i32 = 26;
    matches!(primary_code(error), Some(CORRUPT | NOT_A_DATABASE))
}

/// What is known after a write has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Nothing was written.
    Nothing,
    /// It may be found after a crash, though it is not seen now.
    Perhaps,
    /// As before; and the disk failed, so that nothing that is written from now on can be trusted.
    Broken,
}

/// What an error of a write means for what was to be written.
pub(super) fn after_failure(error: &sqlx::Error) -> Written {
    const IO_ERROR: i32 = 10;
    // The index of the write-ahead log, which is only a help, could not grow: the disk is full.
    const INDEX_SIZE: i32 = IO_ERROR | 19 << 8;
    const INDEX_MAP: i32 = IO_ERROR | 21 << 8;
    match code(error) {
        Some(INDEX_SIZE | INDEX_MAP) => Written::Perhaps,
        Some(code) if code & 0xff != IO_ERROR => Written::Nothing,
        Some(_) | None => Written::Broken,
    }
}

/// The primary result code of `SQLite`; none when the error came from elsewhere.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    Some(code(error)? & 0xff)
}

fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}
