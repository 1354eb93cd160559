//! What happens to the log and the queue when servers are killed, paused, outnumbered, or lose their power.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use domain::stream::{Position, Version};
use eventlog::commit::Head;
use eventlog::conformance::{commit, fresh_stream};
use eventlog::error::{AppendError, ReadError};
use eventlog::jetstream::{JetStreamLog, JetStreamQueue, Settings};
use eventlog::log::{EventLog as _, Filter};
use eventlog::queue::{Item, WorkQueue as _};
use futures::StreamExt as _;
use rustix::process::Signal;
use serde_json::json;

use crate::disk::{self, Disk};
use crate::nats::server::Server;
use crate::writer::{self, Writer};

const LIMIT: Duration = Duration::from_secs(60);

fn settings(server: &Server) -> Settings {
    Settings { monitors: vec![server.monitor_url()], ..Settings::new(&server.url()) }
}

fn appending(server: &Server) -> Writer {
    let mut command = std::process::Command::new(writer::program());
    command.arg(server.url()).arg("4");
    Writer::start(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_nothing_acknowledged() {
    if !disk::can_be_made() {
        return;
    }
    let disk = Disk::new();
    let server = Server::lone(disk.path());
    let writer = appending(&server);
    for cut in 1..=3 {
        writer.wait_for(u64::from(cut) * 150);
        server.signal(Signal::STOP);
        let acknowledged = writer.settled();
        let found = disk.cut(cut);
        server.signal(Signal::CONT);
        let other = Server::lone(found.path());
        let log = JetStreamLog::connect(&settings(&other)).await.unwrap();
        writer::must_have(&log, &acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_nothing_acknowledged_and_nobody_who_follows_it_misses_anything() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::lone(dir.path());
    let log = JetStreamLog::connect(&settings(&server)).await.unwrap();
    let mut followed = log.subscribe(Position::ZERO, Filter::all()).await;
    let writer = appending(&server);
    for round in 1..=3 {
        writer.wait_for(round * 100);
        server.kill();
        server.start_again();
    }
    writer.wait_for(writer.count() + 100);
    let acknowledged = writer.kill();
    writer::must_have(&log, &acknowledged).await;
    let last = log.head().await.unwrap();
    for position in 1..=last.0 {
        let next = tokio::time::timeout(LIMIT, followed.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(next.head.position, Position(position));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_told_and_the_log_goes_on_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::lone(dir.path());
    let log = JetStreamLog::connect(&settings(&server)).await.unwrap();
    let stream = fresh_stream();
    let head = log.append(&commit(stream, "1"), Head::EMPTY).await.unwrap();
    server.kill();
    let next = commit(stream, "2");
    let (begin, error) = (Instant::now(), log.append(&next, head).await.unwrap_err());
    // The first to notice may have asked already.
    assert!(matches!(error, AppendError::Unavailable { .. } | AppendError::Unknown { .. }), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    let (begin, error) = (Instant::now(), log.append(&next, head).await.unwrap_err());
    assert!(matches!(error, AppendError::Unavailable { .. }), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert!(matches!(log.head().await, Err(ReadError::Unavailable { .. })));
    server.start_again();
    let begin = Instant::now();
    let head = loop {
        match log.append(&next, head).await {
            Ok(head) => break head,
            Err(err) => assert!(begin.elapsed() < LIMIT, "{err:?}"),
        }
    };
    assert_eq!(head.version, Version(2));
    assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, head);
}

/// Nobody who appends is told of the election of another leader, only the minority is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_rides_out_the_loss_of_its_leader_and_refuses_without_a_majority() {
    let dir = tempfile::tempdir().unwrap();
    let mut servers = Server::three(dir.path());
    let urls = servers.iter().map(Server::url).collect::<Vec<_>>().join(",");
    let settings = Settings { replicas: 3, ..Settings::new(&urls) };
    let log = connect_when_settled(&settings).await;
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                let (stream, mut head) = (fresh_stream(), Head::EMPTY);
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_secs(12) {
                    head = log.append(&commit(stream, "x"), head).await.unwrap();
                }
                (stream, head)
            })
        })
        .collect();
    let mut followed = log.subscribe(Position::ZERO, Filter::all()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let leader = leader(&settings).await;
    servers[leader].kill();
    let mut acknowledged = 0;
    for writer in writers {
        let (stream, head) = writer.await.unwrap();
        assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, head);
        acknowledged += head.version.0;
    }
    assert_eq!(log.head().await.unwrap(), Position(acknowledged));
    for position in 1..=acknowledged {
        let next = tokio::time::timeout(LIMIT, followed.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(next.head.position, Position(position));
    }
    servers[(leader + 1) % 3].kill();
    let error = log.append(&commit(fresh_stream(), "x"), Head::EMPTY).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable { .. } | AppendError::Unknown { .. }), "{error:?}");
    servers[leader].start_again();
    let (begin, last) = (Instant::now(), commit(fresh_stream(), "x"));
    while let Err(err) = log.append(&last, Head::EMPTY).await {
        assert!(begin.elapsed() < LIMIT, "{err:?}");
    }
}

pub(super) async fn connect_when_settled(settings: &Settings) -> JetStreamLog {
    let begin = Instant::now();
    loop {
        match JetStreamLog::connect(settings).await {
            Ok(log) => return log,
            Err(err) => assert!(begin.elapsed() < LIMIT, "{err:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Which of the servers leads the log's stream.
pub(super) async fn leader(settings: &Settings) -> usize {
    let context = crate::nats::context(settings).await;
    let mut stream = context.get_stream("SB_EVENTS").await.unwrap();
    let leader = stream.info().await.unwrap().cluster.clone().unwrap().leader.unwrap();
    leader.strip_prefix('s').unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_there_after_the_server_was_killed_and_comes_at_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::lone(dir.path());
    let queue = Arc::new(JetStreamQueue::connect(&settings(&server)).await.unwrap());
    let item =
        |id: &str| Item { id: id.to_owned(), lane: "build".to_owned(), payload: json!({}), not_before: None };
    let period = Duration::from_secs(3);
    let until = Utc::now() + TimeDelta::seconds(6);
    queue.enqueue(&item("delayed")).await.unwrap();
    let held = queue.lease("build", period).await.unwrap();
    queue.delay(&held, until).await.unwrap();
    queue.enqueue(&Item { not_before: Some(until), ..item("timer") }).await.unwrap();
    queue.enqueue(&item("leased")).await.unwrap();
    let held = queue.lease("build", period).await.unwrap();
    assert_eq!(held.item.id, "leased");
    queue.enqueue(&item("waiting")).await.unwrap();
    queue.set_routed(Position(9)).await.unwrap();
    let waiting = {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move {
            let mut found = Vec::new();
            while found.len() < 4 {
                let lease = queue.lease("build", period).await.unwrap();
                found.push((lease.item.id.clone(), Utc::now()));
                queue.finish(&lease).await.unwrap();
            }
            found
        })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.kill();
    server.start_again();
    let found = tokio::time::timeout(LIMIT, waiting).await.unwrap().unwrap();
    let mut ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["delayed", "leased", "timer", "waiting"]);
    for (id, at) in &found {
        let early = until - *at;
        assert!(!["delayed", "timer"].contains(&id.as_str()) || early <= TimeDelta::zero(), "{id}: {early}");
    }
    assert_eq!(queue.routed().await.unwrap(), Position(9));
}
