//! What happens to the log when the process is killed, the power goes, the disk is full, or the disk fails.

use std::process::Command;

use domain::stream::{Position, Version};
use eventlog::commit::Head;
use eventlog::conformance::{commit, fresh_stream};
use eventlog::error::AppendError;
use eventlog::log::{EventLog as _, Filter};
use eventlog::sqlite::SqliteLog;

use crate::disk::{self, Disk, Mount};
use crate::writer::{self, Acknowledged, Writer};

fn appending(dir: &std::path::Path) -> Command {
    let mut command = Command::new(writer::program());
    command.arg(dir).arg("8");
    command
}

/// Everything, from the first commit to the last.
async fn must_be_whole(log: &SqliteLog) {
    let (mut after, last) = (Position::ZERO, log.head().await.unwrap());
    while after < last {
        after = log.read_all(after, &Filter::all(), 2000).await.unwrap().reached;
    }
}

#[tokio::test]
async fn a_writer_that_is_killed_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::new();
    for round in 1..=6 {
        let writer = Writer::start(appending(dir.path()));
        writer.wait_for(100 * round);
        acknowledged.extend(writer.kill());
        let log = SqliteLog::open(dir.path()).await.unwrap();
        writer::must_have(&log, &acknowledged).await;
        must_be_whole(&log).await;
        log.close().await;
    }
}

#[tokio::test]
async fn a_power_cut_loses_nothing_acknowledged() {
    if !disk::can_be_made() {
        return;
    }
    let disk = Disk::new();
    let mut acknowledged = Acknowledged::new();
    for cut in 1..=4 {
        let writer = Writer::start(appending(disk.path()));
        writer.wait_for(u64::from(cut) * 150);
        let before = writer.stop();
        let found = disk.cut(cut);
        acknowledged.extend(writer.kill());
        let log = SqliteLog::open(found.path()).await.unwrap();
        writer::must_have(&log, &before).await;
        must_be_whole(&log).await;
        log.close().await;
    }
    let log = SqliteLog::open(disk.path()).await.unwrap();
    writer::must_have(&log, &acknowledged).await;
    log.close().await;
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_log_goes_on_when_there_is_room() {
    if !disk::can_be_made() {
        return;
    }
    let mount = Mount::tmpfs("size=3m");
    let ballast = mount.path().join("ballast");
    std::fs::write(&ballast, vec![1; 1_000_000]).unwrap();
    let log = SqliteLog::open(mount.path()).await.unwrap();
    let (stream, mut head) = (fresh_stream(), Head::EMPTY);
    let refused = loop {
        let next = commit(stream, &"x".repeat(20_000));
        match log.append(&next, head).await {
            Ok(new) => head = new,
            Err(err) => {
                assert!(matches!(err, AppendError::Unavailable { .. }), "{err:?}");
                break next;
            }
        }
    };
    assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, head);
    assert!(matches!(log.append(&refused, head).await, Err(AppendError::Unavailable { .. })));
    std::fs::remove_file(&ballast).unwrap();
    head = log.append(&refused, head).await.unwrap();
    log.close().await;
    let log = SqliteLog::open(mount.path()).await.unwrap();
    assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, head);
    must_be_whole(&log).await;
    log.close().await;
}

/// After a sync that failed nobody knows what is on the disk, so nothing more is acknowledged.
#[tokio::test]
async fn a_disk_that_fails_stops_the_log_and_nothing_acknowledged_is_lost() {
    for (call, number) in [("fsync,fdatasync", 40), ("pwrite64", 300)] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("strace");
        let fault = format!("inject={call}:error=EIO:when={number}");
        command.args(["-f", "-qqq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &fault]);
        command.arg(writer::program()).arg(dir.path()).arg("2");
        let acknowledged = Writer::start(command).wait();
        let log = SqliteLog::open(dir.path()).await.unwrap();
        writer::must_have(&log, &acknowledged).await;
        must_be_whole(&log).await;
        log.close().await;
    }
}
