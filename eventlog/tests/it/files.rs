//! The log store, the entries and the blobs in files.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use domain::digest::Digest;
use domain::id::{DeploymentId, ServiceId};
use eventlog::blobs::SharedBlobs;
use eventlog::conformance;
use eventlog::conformance::logs::LIMITS;
use eventlog::entries::{EntryStore as _, SharedEntries};
use eventlog::error::{OpenError, StoreError};
use eventlog::files::{FileBlobs, FileEntries, FileLogs};
use eventlog::leadership;
use eventlog::logs::{Channel, Limits, LogName, LogStore as _, NewLine, SharedLogs};
use tempfile::TempDir;
use uuid::Uuid;

use crate::disk::{self, Mount};

struct Logs {
    dir: TempDir,
    logs: Option<FileLogs>,
}

impl Logs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let logs = Some(FileLogs::open(dir.path(), LIMITS).unwrap());
        Self { dir, logs }
    }
}

#[async_trait]
impl conformance::logs::Fixture for Logs {
    fn logs(&self) -> SharedLogs {
        Arc::new(self.logs.clone().unwrap())
    }

    async fn reopen(&mut self) {
        self.logs = None;
        self.logs = Some(FileLogs::open(self.dir.path(), LIMITS).unwrap());
    }
}

struct Entries {
    dir: TempDir,
    entries: Option<FileEntries>,
}

impl Entries {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let entries = Some(FileEntries::open(dir.path()).unwrap());
        Self { dir, entries }
    }
}

#[async_trait]
impl conformance::entries::Fixture for Entries {
    fn entries(&self) -> SharedEntries {
        Arc::new(self.entries.clone().unwrap())
    }

    async fn reopen(&mut self) {
        self.entries = None;
        self.entries = Some(FileEntries::open(self.dir.path()).unwrap());
    }
}

struct Blobs {
    dir: TempDir,
    blobs: FileBlobs,
}

impl Blobs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blobs = FileBlobs::new(&dir.path().join("uploads"), ".tar.gz", None);
        Self { dir, blobs }
    }
}

#[async_trait]
impl conformance::blobs::Fixture for Blobs {
    fn blobs(&self) -> SharedBlobs {
        Arc::new(self.blobs.clone())
    }

    async fn reopen(&mut self) {
        self.blobs = FileBlobs::new(&self.dir.path().join("uploads"), ".tar.gz", None);
    }

    async fn kept(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("uploads")).map_or(0, |files| files.count())
    }

    async fn damage(&self, digest: &Digest) {
        let path = self.blobs.path(digest);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[7] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
}

mod blobs {
    eventlog::blobs_suite!(super::Blobs::new());
}

mod entries {
    eventlog::entries_suite!(super::Entries::new());
}

mod logs {
    eventlog::logs_suite!(super::Logs::new());
}

fn line(text: &str) -> NewLine {
    let (at, channel, origin) = (chrono::DateTime::UNIX_EPOCH, Channel::Out, "build".to_owned());
    NewLine { at, channel, origin, text: text.to_owned() }
}

/// The one segment of a log.
fn segment(dir: &Path, log: LogName) -> PathBuf {
    let mut files = std::fs::read_dir(dir.join("logs").join(log.to_string())).unwrap();
    files.next().unwrap().unwrap().path()
}

#[tokio::test]
async fn a_line_that_was_half_written_is_taken_off_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = LogName::Build(DeploymentId(Uuid::now_v7()));
    for half in ["{", r#"{"number":3,"at":"1970-01-01T00:00:00Z","channel":"out","origin":"b","te"#] {
        let logs = FileLogs::open(dir.path(), LIMITS).unwrap();
        let before = logs.last(log, 10).await.unwrap().len() as u64;
        logs.append(log, vec![line("a"), line("b")]).await.unwrap();
        drop(logs);
        let path = segment(dir.path(), log);
        std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(half.as_bytes()).unwrap();
        let logs = FileLogs::open(dir.path(), LIMITS).unwrap();
        let found = logs.read(log, 0, 10).await.unwrap();
        assert_eq!(
            found.iter().map(|line| line.number).collect::<Vec<_>>(),
            (1..=before + 2).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_log_goes_on_when_there_is_room() {
    if !disk::can_be_made() {
        return;
    }
    let mount = Mount::tmpfs("size=300k");
    let ballast = mount.path().join("ballast");
    std::fs::write(&ballast, vec![1; 200_000]).unwrap();
    let log = LogName::Application(ServiceId(Uuid::now_v7()));
    let limits = Limits { segment_bytes: 1_000_000, ..LIMITS };
    let logs = FileLogs::open(mount.path(), limits).unwrap();
    let mut kept = 0;
    let error = loop {
        match logs.append(log, vec![line(&"x".repeat(900))]).await {
            Ok(()) => kept += 1,
            Err(err) => break err,
        }
    };
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(logs.last(log, 1).await.unwrap()[0].number, kept);
    std::fs::remove_file(ballast).unwrap();
    logs.append(log, vec![line("after")]).await.unwrap();
    let found = logs.read(log, 0, 1000).await.unwrap();
    assert_eq!((found.len() as u64, found.last().unwrap().text.as_str()), (kept + 1, "after"));
}

#[tokio::test]
async fn a_second_store_on_one_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _held = FileLogs::open(dir.path(), LIMITS).unwrap();
    let error = FileLogs::open(dir.path(), LIMITS).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
}

#[tokio::test]
async fn entries_are_readable_by_their_owner_only_and_what_was_half_written_is_taken_away() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let key = "key.a".parse().unwrap();
    let entries = FileEntries::open(dir.path()).unwrap();
    entries.put(&key, "secret".into()).await.unwrap();
    assert!(matches!(FileEntries::open(dir.path()).err().unwrap(), OpenError::InUse { .. }));
    drop(entries);
    let kept = dir.path().join("entries");
    std::fs::write(kept.join(".part-key.b"), "hal").unwrap();
    let entries = FileEntries::open(dir.path()).unwrap();
    let files: Vec<_> = std::fs::read_dir(&kept).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(entries.get(&key).await.unwrap().unwrap().value, "secret");
}

/// Whoever has the directory knows that nobody else leads.
#[tokio::test]
async fn a_duty_is_free_after_a_restart_of_the_only_process() {
    const LONG: std::time::Duration = std::time::Duration::from_secs(600);
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let entries: SharedEntries = Arc::new(FileEntries::open(dir.path()).unwrap());
        let claim = leadership::claim(&entries, "router", "up", LONG);
        let held = tokio::time::timeout(std::time::Duration::from_secs(10), claim).await.unwrap().unwrap();
        assert!(held.number() > last);
        last = held.number();
        drop(held);
        // Its task has the store until it has ended.
        while Arc::strong_count(&entries) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
