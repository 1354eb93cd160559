//! The database or the log is away for a while: readers are told so in time, and the projector goes on by
//! itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::stream::{Position, StreamId, Version};
use eventlog::commit::{Commit, Head, RecordedCommit};
use eventlog::error::{AppendError, ReadError};
use eventlog::log::{EventLog, Filter as LogFilter, Page as LogPage, Slice};
use eventlog::memory::MemoryLog;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use switchback_projections::page::Page;
use switchback_projections::projection;
use switchback_projections::projector::{Projector, ProjectorError};
use switchback_projections::service::{Filter, list};
use switchback_projections::store::{Options, Pool, QueryError, ReadStore};
use url::Url;

use crate::database::{Database, on_both, on_postgres, told};
use crate::dump::difference;
use crate::proxy::Proxy;
use crate::story::{ACME, Shop};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn while_the_server_is_away_readers_are_told_and_afterwards_nothing_is_missing_on_postgres() {
    on_postgres(async |database: Database| {
        let Database::Postgres { url } = &database else { unreachable!("it runs on PostgreSQL") };
        let mut url: Url = url.parse().unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let proxy = Proxy::to(server).await;
        url.set_port(Some(proxy.address.port())).unwrap();
        let options = Options::default().readers(Pool { wait: Duration::from_secs(1), ..Pool::READERS });
        let store = ReadStore::postgres(url.as_str(), options).unwrap();

        let mut shop = Shop::open().await;
        let projector = Projector::new(shop.story.shared(), store.clone(), projection::ALL);
        let watermark = projector.watermark();
        let all = Filter::default();
        let work = async {
            let position = shop.story.stage(shop.web, "BEFORE", "1", None).await;
            watermark.wait_until(position, LIMIT).await.unwrap();
            for round in 0..3 {
                proxy.cut();
                let position = shop.story.stage(shop.web, "WHILE", &round.to_string(), None).await;
                let began = Instant::now();
                let found = list(&store, ACME, &all, &Page::default()).await;
                assert!(matches!(found, Err(QueryError::Unavailable { .. })), "{found:?}");
                assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
                store.ping().await.unwrap_err();
                let mut status = projector.watch();
                let is_told = status.wait_for(|status| status.trouble.is_some());
                drop(tokio::time::timeout(LIMIT, is_told).await.unwrap().unwrap());
                watermark.wait_until(position, Duration::from_millis(50)).await.unwrap_err();

                proxy.mend();
                watermark.wait_until(position, LIMIT).await.unwrap();
                assert_eq!(list(&store, ACME, &all, &Page::default()).await.unwrap().items.len(), 2);
                assert_eq!(projector.status().trouble, None);
            }
        };
        tokio::select! {
            () = work => {}
            () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
        }
        let (story, after) = (&shop.story, database.dump(&projection::ALL).await);
        on_other(story, after).await;
    })
    .await;
}

/// Compares with a database that was never away.
async fn on_other(story: &crate::story::Story, after: crate::dump::Dump) {
    crate::database::on_sqlite(async |other: Database| {
        told(&other, story).await;
        assert_eq!(difference(&after, &other.dump(&projection::ALL).await), "");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_was_never_there_is_not_available_and_not_an_error_of_ours() {
    let store = ReadStore::postgres("postgres://nobody@127.0.0.1:1/none", Options::default()).unwrap();
    let found = list(&store, ACME, &Filter::default(), &Page::default()).await;
    assert!(matches!(found, Err(QueryError::Unavailable { .. })), "{found:?}");
    assert!(matches!(store.migrate().await, Err(QueryError::Unavailable { .. })));
    assert!(ReadStore::postgres("mysql://x", Options::default()).is_err());
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_not_available() {
    let folder = tempfile::tempdir().unwrap();
    let opened = ReadStore::sqlite(&folder.path().join("no such folder").join("read.db")).await;
    assert!(matches!(opened, Err(QueryError::Unavailable { .. })));
    std::fs::write(folder.path().join("text.db"), "this is no database, and longer than a header ".repeat(9))
        .unwrap();
    let opened = ReadStore::sqlite(&folder.path().join("text.db")).await;
    assert!(matches!(opened, Err(QueryError::Unavailable { .. })));
}

/// A log that can be away.
struct Flaky {
    log: MemoryLog,
    is_away: Arc<AtomicBool>,
}

impl Flaky {
    fn check(&self) -> Result<(), ReadError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(ReadError::Unavailable { source: "it is away".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl EventLog for Flaky {
    async fn append(&self, commit: &Commit, expected: Head) -> Result<Head, AppendError> {
        self.log.append(commit, expected).await
    }

    async fn read(&self, stream: &StreamId, after: Version) -> Result<Slice, ReadError> {
        self.check()?;
        self.log.read(stream, after).await
    }

    async fn read_all(
        &self,
        after: Position,
        filter: &LogFilter,
        limit: usize,
    ) -> Result<LogPage, ReadError> {
        self.check()?;
        self.log.read_all(after, filter, limit).await
    }

    async fn subscribe(
        &self,
        after: Position,
        filter: LogFilter,
    ) -> BoxStream<'static, Result<RecordedCommit, ReadError>> {
        let is_away = Arc::clone(&self.is_away);
        let commits = self.log.subscribe(after, filter).await;
        let seen = commits.map(move |commit| {
            if is_away.load(Ordering::SeqCst) {
                return Err(ReadError::Unavailable { source: "it is away".into() });
            }
            commit
        });
        seen.boxed()
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.check()?;
        self.log.head().await
    }
}

on_both! {
    async fn while_the_log_is_away_the_projector_says_so_and_goes_on_afterwards(database: Database) {
        let mut shop = Shop::open().await;
        let is_away = Arc::new(AtomicBool::new(true));
        let log = Flaky { log: shop.story.log.clone(), is_away: Arc::clone(&is_away) };
        let projector = Projector::new(Arc::new(log), database.open().await, projection::ALL);
        let (mut status, watermark) = (projector.watch(), projector.watermark());
        let work = async {
            for round in 0..2 {
                let position = shop.story.stage(shop.web, "A", &round.to_string(), None).await;
                let told = status.wait_for(|status| status.trouble.is_some());
                drop(tokio::time::timeout(LIMIT, told).await.unwrap().unwrap());
                assert!(!projector.status().is_healthy());
                is_away.store(false, Ordering::SeqCst);
                watermark.wait_until(position, LIMIT).await.unwrap();
                assert_eq!(projector.status().trouble, None);
                is_away.store(true, Ordering::SeqCst);
            }
        };
        tokio::select! {
            () = work => {}
            () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
        }
    }

    async fn read_models_of_another_log_are_refused(database: Database) {
        let long = Shop::busy().await;
        told(&database, &long.story).await;
        let short = Shop::open().await;
        let projector = Projector::new(short.story.shared(), database.open().await, projection::ALL);
        let refused = projector.catch_up().await;
        assert!(matches!(refused, Err(ProjectorError::Ahead { head: Position(5), .. })), "{refused:?}");
    }

    async fn a_damaged_log_stops_everything_and_says_where(database: Database) {
        let mut shop = Shop::open().await;
        let position = shop.story.stage(shop.web, "A", "1", None).await;
        shop.story.stage(shop.web, "B", "1", None).await;
        shop.story.log.tamper(position, |bytes| bytes[100] ^= 1);
        let projector = Projector::new(shop.story.shared(), database.open().await, projection::ALL);
        let mut status = projector.watch();
        let told = status.wait_for(|status| status.trouble.is_some());
        let trouble = tokio::select! {
            told = told => told.unwrap().trouble.clone().unwrap(),
            () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
        };
        assert!(trouble.contains(&format!("damaged at position {position}")), "{trouble}");
    }
}
