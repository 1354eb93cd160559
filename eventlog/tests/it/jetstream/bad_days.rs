//! Bad days of everything that processes have open at NATS: it is restarted, it is slow to be read, its disk
//! is full, its leader is killed under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use domain::id::ServiceId;
use domain::stream::{Position, StreamId, Version};
use eventlog::calls::Calls as _;
use eventlog::commit::{Commit, Head};
use eventlog::conformance::{commit, fresh_stream};
use eventlog::entries::SharedEntries;
use eventlog::error::AppendError;
use eventlog::jetstream::{
    JetStreamEntries, JetStreamLog, JetStreamLogs, JetStreamQueue, NatsCalls, Retention, Settings,
};

use eventlog::leadership;
use eventlog::log::{EventLog, Filter, MAX_PAGE};
use eventlog::logs::{Channel, Limits, LogName, LogStore as _, NewLine};
use eventlog::queue::{Item, WorkQueue as _};
use futures::{FutureExt as _, StreamExt as _};
use serde_json::json;
use uuid::Uuid;

use crate::disk::{self, Mount};
use crate::jetstream::disaster::{connect_when_settled, leader};
use crate::nats::server::Server;

const LIMIT: Duration = Duration::from_secs(60);

fn settings(server: &Server) -> Settings {
    Settings { monitors: vec![server.monitor_url()], ..Settings::new(&server.url()) }
}

async fn in_time<T>(doing: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{doing} did not happen"))
}

/// Appends until it is known that it was.
async fn insist(log: &JetStreamLog, commit: &Commit, head: Head) -> Head {
    let begin = Instant::now();
    loop {
        match log.append(commit, head).await {
            Ok(head) => return head,
            Err(AppendError::Unavailable { .. } | AppendError::Unknown { .. }) => {
                assert!(begin.elapsed() < LIMIT, "it does not come back");
            }
            Err(err) => panic!("{err:?}"),
        }
    }
}

fn line(text: &str) -> NewLine {
    NewLine { at: Utc::now(), channel: Channel::Out, origin: "v1.0".to_owned(), text: text.to_owned() }
}

/// Nobody who uses it has to do anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_nats_is_survived_by_all_that_is_in_use() {
    const PERIOD: Duration = Duration::from_secs(3);
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::lone(dir.path());
    let settings = settings(&server);
    let log = JetStreamLog::connect(&settings).await.unwrap();
    let queue = Arc::new(JetStreamQueue::connect(&settings).await.unwrap());
    let logs = JetStreamLogs::connect(&settings, Limits::default(), Retention::LOGS).await.unwrap();
    let entries: SharedEntries = Arc::new(JetStreamEntries::connect(&settings).await.unwrap());
    let (asking, serving) =
        (NatsCalls::connect(&settings).await.unwrap(), NatsCalls::connect(&settings).await.unwrap());
    let handler: eventlog::calls::Handler = Arc::new(|request| async move { request }.boxed());
    let _serving = serving.serve("edge", "one", handler).await.unwrap();
    let leadership = leadership::claim(&entries, "router", "a", PERIOD).await.unwrap();
    let name = LogName::Application(ServiceId(Uuid::now_v7()));
    logs.append(name, vec![line("before")]).await.unwrap();
    let mut lines = logs.follow(name, 0).await;
    let mut commits = log.subscribe(Position::ZERO, Filter::all()).await;
    let leased = {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { queue.lease("build", PERIOD).await.unwrap() })
    };
    let appending = {
        let log = log.clone();
        tokio::spawn(async move {
            let (stream, mut head) = (fresh_stream(), Head::EMPTY);
            for number in 0..600 {
                head = insist(&log, &commit(stream, &number.to_string()), head).await;
            }
        })
    };
    for round in 0..2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.kill();
        if round == 1 {
            // Longer than a term.
            in_time("the loss", leadership.lost()).await;
        }
        server.start_again();
    }
    in_time("600 appends", appending).await.unwrap();
    for position in 1..=600 {
        let next = in_time("a commit", commits.next()).await.unwrap().unwrap();
        assert_eq!(next.head.position, Position(position));
    }
    logs.append(name, vec![line("after")]).await.unwrap();
    for text in ["before", "after"] {
        assert_eq!(in_time("a line", lines.next()).await.unwrap().unwrap().text, text);
    }
    let (id, lane) = ("item".to_owned(), "build".to_owned());
    queue.enqueue(&Item { id, lane, payload: json!({}), not_before: None }).await.unwrap();
    queue.finish(&in_time("a lease", leased).await.unwrap()).await.unwrap();
    let next = in_time("a term", leadership::claim(&entries, "router", "b", PERIOD)).await.unwrap();
    assert!(next.is_held() && !leadership.is_held() && next.number() > leadership.number());
    let answers = asking.ask("edge", json!(7), LIMIT).await.unwrap();
    assert_eq!((answers.present, answers.answers.len()), (1, 1));
}

/// It takes what it can hold, and the rest when it asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_slower_than_the_stream_misses_nothing() {
    const EACH: usize = 500;
    let dir = tempfile::tempdir().unwrap();
    let server = Server::lone(dir.path());
    let log = JetStreamLog::connect(&settings(&server)).await.unwrap();
    let mut slow = log.subscribe(Position::ZERO, Filter::all()).await;
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                let (stream, mut head, text) = (fresh_stream(), Head::EMPTY, "x".repeat(2_000));
                for _ in 0..EACH {
                    head = insist(&log, &commit(stream, &text), head).await;
                }
            })
        })
        .collect();
    let all = 8 * EACH as u64;
    for position in 1..=all {
        let next = in_time("a commit", slow.next()).await.unwrap().unwrap();
        assert_eq!(next.head.position, Position(position));
        if position % 400 == 1 {
            // It does something else, while the others write on.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(log.head().await.unwrap(), Position(all));
}

/// What could not be stored is never said to be; when there is room, everything goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_nothing_acknowledged_is_lost() {
    if !disk::can_be_made() {
        return;
    }
    let mount = Mount::tmpfs("size=24m");
    let mut server = Server::lone(mount.path());
    let settings = Settings { ride_out: Duration::from_secs(3), ..settings(&server) };
    let log = JetStreamLog::connect(&settings).await.unwrap();
    let (stream, mut head, text) = (fresh_stream(), Head::EMPTY, "x".repeat(200_000));
    let open = loop {
        let next = commit(stream, &text);
        match log.append(&next, head).await {
            Ok(appended) => head = appended,
            Err(AppendError::Unavailable { .. } | AppendError::Unknown { .. }) => break next,
            Err(err) => panic!("{err:?}"),
        }
        assert!(head.version < Version(1_000), "the disk does not fill");
    };
    let acknowledged = head;
    mount.resize("300m");
    server.kill();
    server.start_again();
    let begin = Instant::now();
    let after = insist(&log, &open, acknowledged).await;
    assert!(begin.elapsed() < LIMIT);
    assert_eq!(after.version, Version(acknowledged.version.0 + 1));
    let found = log.read(&stream, Version::ZERO).await.unwrap();
    assert_eq!((found.head, found.events.len() as u64), (after, after.version.0));
}

/// The end of what one writer was acknowledged, and the longest that it waited.
async fn write_until(
    log: JetStreamLog,
    end: Arc<AtomicU64>,
    count: Arc<AtomicU64>,
) -> (StreamId, Head, Duration) {
    let (stream, mut head, mut longest) = (fresh_stream(), Head::EMPTY, Duration::ZERO);
    while count.load(Ordering::Relaxed) < end.load(Ordering::Relaxed) {
        let begin = Instant::now();
        head = insist(&log, &commit(stream, "x"), head).await;
        longest = longest.max(begin.elapsed());
        count.fetch_add(1, Ordering::Relaxed);
    }
    (stream, head, longest)
}

/// 64 at once, three replicas, on a cluster of the test's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "a figure of the test, which it does not judge")]
async fn a_leader_that_is_killed_under_64_writers_loses_nothing_and_doubles_nothing() {
    const WRITERS: usize = 64;
    let dir = tempfile::tempdir().unwrap();
    let mut servers = Server::three(dir.path());
    let urls = servers.iter().map(Server::url).collect::<Vec<_>>().join(",");
    let settings = Settings { replicas: 3, ..Settings::new(&urls) };
    let log = connect_when_settled(&settings).await;
    let (end, count) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| tokio::spawn(write_until(log.clone(), Arc::clone(&end), Arc::clone(&count))))
        .collect();
    let until = async |wanted: u64| {
        let reached = async {
            while count.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        in_time("the next commits", reached).await;
    };
    until(1_000).await;
    let killed = leader(&settings).await;
    let before = count.load(Ordering::Relaxed);
    servers[killed].kill();
    until(before + 1_000).await;
    end.store(0, Ordering::Relaxed);
    let (mut acknowledged, mut longest) = (0, Duration::ZERO);
    for writer in writers {
        let (stream, head, waited) = in_time("the end", writer).await.unwrap();
        assert_eq!(log.read(&stream, Version::ZERO).await.unwrap().head, head);
        acknowledged += head.version.0;
        longest = longest.max(waited);
    }
    // Each commit once, and each chain whole, in the whole log too.
    let (mut after, mut found) = (Position::ZERO, 0);
    while after < Position(acknowledged) {
        let page = log.read_all(after, &Filter::all(), MAX_PAGE).await.unwrap();
        found += page.commits.len() as u64;
        assert!(page.reached > after, "the log ends at {after}");
        after = page.reached;
    }
    assert_eq!((found, log.head().await.unwrap()), (acknowledged, Position(acknowledged)));
    eprintln!("{acknowledged} commits, {WRITERS} at once; longest wait over the leader's loss: {longest:?}");
}
