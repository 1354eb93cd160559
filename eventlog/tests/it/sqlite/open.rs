//! Opening the log: what is refused, and in which words.

use std::path::{Path, PathBuf};
use std::process::Command;

use eventlog::commit::Head;
use eventlog::conformance::{commit, fresh_stream};
use eventlog::error::OpenError;
use eventlog::log::EventLog as _;
use eventlog::sqlite::{SqliteLog, SqliteQueue};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::disk::{self, Mount};
use crate::writer::{self, Writer};

/// A log of a few hundred kilobytes, closed.
async fn closed_log() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(dir.path()).await.unwrap();
    let (stream, mut head) = (fresh_stream(), Head::EMPTY);
    for _ in 0..300 {
        head = log.append(&commit(stream, &"x".repeat(500)), head).await.unwrap();
    }
    log.close().await;
    let file = dir.path().join("events.db");
    (dir, file)
}

async fn refusal(dir: &Path) -> OpenError {
    SqliteLog::open(dir).await.err().expect("the log was opened")
}

async fn must_be_damaged(dir: &Path, says: &str) {
    let error = refusal(dir).await;
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(says) && text.contains("events.db") && text.contains("backup"), "{text}");
}

#[tokio::test]
async fn a_second_process_on_one_directory_is_refused_and_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(writer::program());
    command.arg(dir.path()).arg("1");
    let writer = Writer::start(command);
    writer.wait_for(1);
    let error = refusal(dir.path()).await;
    let pid = writer.pid();
    assert!(matches!(error, OpenError::InUse { pid: Some(holder), .. } if holder == pid), "{error:?}");
    assert!(error.to_string().contains(&format!("process {pid}")), "{error}");
    let acknowledged = writer.kill();
    let log = SqliteLog::open(dir.path()).await.unwrap();
    writer::must_have(&log, &acknowledged).await;
}

#[tokio::test]
async fn a_second_log_in_one_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(dir.path()).await.unwrap();
    assert!(matches!(refusal(dir.path()).await, OpenError::InUse { .. }));
    log.close().await;
    SqliteLog::open(dir.path()).await.unwrap();
}

#[tokio::test]
async fn a_log_of_a_newer_version_is_refused_and_left_alone() {
    let (dir, file) = closed_log().await;
    let mut connection = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = refusal(dir.path()).await;
    assert!(matches!(error, OpenError::Newer { found: 99, known: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("newer version"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let queue = SqliteQueue::open(dir.path()).await.unwrap();
    queue.close().await;
    std::fs::rename(dir.path().join("work.db"), dir.path().join("events.db")).unwrap();
    let error = refusal(dir.path()).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
}

#[tokio::test]
async fn a_log_that_is_cut_off_is_refused() {
    let (dir, file) = closed_log().await;
    let size = std::fs::metadata(&file).unwrap().len();
    for (left, says) in [(size / 2, "cut off"), (4096, "cut off"), (50, "not a database")] {
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(left).unwrap();
        must_be_damaged(dir.path(), says).await;
        assert_eq!(std::fs::metadata(&file).unwrap().len(), left, "it was changed");
    }
}

#[tokio::test]
async fn a_log_whose_pages_were_overwritten_is_refused_or_found_when_it_is_read() {
    let (dir, file) = closed_log().await;
    let whole = std::fs::read(&file).unwrap();
    for page in 0..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096 + 8..(page + 1) * 4096].fill(0x5a);
        std::fs::write(&file, &bytes).unwrap();
        let Ok(log) = SqliteLog::open(dir.path()).await else { continue };
        let read = log.read_all(domain::stream::Position::ZERO, &eventlog::log::Filter::all(), 1000).await;
        let index = sound(&dir.path().join("events.db")).await;
        assert!(read.is_err() || !index, "page {page} was overwritten and nobody saw it");
        log.close().await;
    }
}

/// Whether `SQLite` finds everything whole, the index that `read_all` does not use included.
async fn sound(file: &Path) -> bool {
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    let result: Result<String, _> =
        sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut connection).await;
    connection.close().await.unwrap();
    result.is_ok_and(|result| result == "ok")
}

#[tokio::test]
async fn a_log_that_lost_its_file_but_not_its_write_ahead_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(writer::program());
    command.arg(dir.path()).arg("2");
    let writer = Writer::start(command);
    writer.wait_for(50);
    writer.kill();
    let file = dir.path().join("events.db");
    std::fs::File::create(&file).unwrap();
    must_be_damaged(dir.path(), "empty").await;
    std::fs::remove_file(&file).unwrap();
    must_be_damaged(dir.path(), "gone").await;
    assert!(dir.path().join("events.db-wal").exists());
}

#[tokio::test]
async fn a_damaged_queue_says_that_it_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("work.db"), "no database").unwrap();
    let error = SqliteQueue::open(dir.path()).await.err().unwrap();
    assert!(error.to_string().contains("made again from the event log"), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = refusal(&file.join("data")).await;
    assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
    if !disk::can_be_made() {
        return;
    }
    let mount = Mount::tmpfs("ro");
    let error = refusal(mount.path()).await;
    assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("Read-only"), "{source}");
}
