//! Several projectors on one database: one does the work, and when it is gone another one takes over. Every
//! event counts exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use domain::stream::Position;
use eventlog::crash::{INJECTOR, Injector, Verdict};
use eventlog::log::EventLog as _;
use futures::future::select_all;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use switchback_projections::projection::{self, Projection};
use switchback_projections::projector::{Projector, Status, checkpoint};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::database::{Database, on_postgres, on_sqlite, told};
use crate::dump::difference;
use crate::random::Random;
use crate::story::Story;

const LIMIT: Duration = Duration::from_secs(30);

/// A projector in a task of its own, as a process would be. Aborted, it is killed.
struct Process {
    projector: Arc<Projector>,
    task: JoinHandle<()>,
}

impl Process {
    async fn start(database: &Database, story: &Story, projections: Vec<Projection>) -> Self {
        Self::start_with(database, story, projections, Arc::new(|_| Verdict::GoOn)).await
    }

    async fn start_with(
        database: &Database,
        story: &Story,
        projections: Vec<Projection>,
        injector: Injector,
    ) -> Self {
        let projector = Arc::new(Projector::new(story.shared(), database.open().await, projections));
        let runs = Arc::clone(&projector);
        let task = tokio::spawn(INJECTOR.scope(injector, async move {
            runs.run(std::future::pending()).await;
        }));
        Self { projector, task }
    }

    async fn until(&self, is_so: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.projector.watch();
        let so = tokio::time::timeout(LIMIT, status.wait_for(is_so)).await;
        so.unwrap_or_else(|_| panic!("it never came: {:?}", self.projector.status())).unwrap().clone()
    }

    async fn reaches(&self, story: &Story) {
        let head = story.log.head().await.unwrap();
        self.until(|status| status.reached() >= head).await;
    }

    async fn leads(&self) {
        self.until(|status| !status.standing_by && status.is_healthy()).await;
    }

    async fn stands_by(&self) {
        self.until(|status| status.standing_by).await;
    }

    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn is_as_built_in_one_go(database: &Database, story: &Story) {
    let found = database.dump(&projection::ALL).await;
    for checkpoint in checkpoint::all(&database.open().await).await.unwrap() {
        assert_eq!((checkpoint.state.as_str(), checkpoint.error), ("live", None), "{}", checkpoint.name);
    }
    on_sqlite(async |other: Database| {
        told(&other, story).await;
        assert_eq!(difference(&found, &other.dump(&projection::ALL).await), "");
    })
    .await;
}

#[tokio::test]
async fn one_works_the_others_stand_by_and_take_over_when_it_is_killed_in_mid_batch_on_postgres() {
    on_postgres(async |database: Database| {
        let mut random = Random::begin(21).await;
        random.acts(50).await;
        let all = projection::ALL.to_vec();
        let (is_mortal, died) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let (mortal, tell) = (Arc::clone(&is_mortal), Arc::clone(&died));
        let injector: Injector = Arc::new(move |name: &str| {
            if name == "projector.before_commit" && mortal.load(Ordering::SeqCst) {
                tell.notify_one();
                return Verdict::Die;
            }
            Verdict::GoOn
        });
        let first = Process::start_with(&database, &random.story, all.clone(), injector).await;
        first.leads().await;
        let batches = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&batches);
        let counter: Injector = Arc::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Verdict::GoOn
        });
        let second = Process::start_with(&database, &random.story, all.clone(), counter).await;
        second.stands_by().await;
        let third = Process::start(&database, &random.story, all).await;
        third.stands_by().await;
        for _ in 0..10 {
            random.acts(5).await;
            // Readers beside a projector that stands by see their changes as well.
            second.reaches(&random.story).await;
        }
        assert_eq!(batches.load(Ordering::SeqCst), 0, "whoever stands by writes nothing");

        is_mortal.store(true, Ordering::SeqCst);
        random.acts(20).await;
        tokio::time::timeout(LIMIT, died.notified()).await.unwrap();
        first.kill().await;
        random.acts(20).await;
        let mut left = vec![second, third];
        while !left.is_empty() {
            let ((), next, _) = select_all(left.iter().map(|one| Box::pin(one.leads()))).await;
            let next = left.remove(next);
            next.reaches(&random.story).await;
            is_as_built_in_one_go(&database, &random.story).await;
            next.kill().await;
            random.acts(20).await;
        }
        let last = Process::start(&database, &random.story, projection::ALL.to_vec()).await;
        last.reaches(&random.story).await;
        is_as_built_in_one_go(&database, &random.story).await;
        last.kill().await;
    })
    .await;
}

/// The server ends connections whenever it wants: that of the lead, those in mid batch, those of readers.
#[tokio::test]
async fn whoever_loses_its_connections_goes_on_or_somebody_else_does_on_postgres() {
    on_postgres(async |database: Database| {
        let mut random = Random::begin(22).await;
        random.acts(50).await;
        let all = projection::ALL.to_vec();
        let first = Process::start(&database, &random.story, all.clone()).await;
        first.leads().await;
        let second = Process::start(&database, &random.story, all).await;
        second.stands_by().await;
        let Database::Postgres { url } = &database else { unreachable!("it runs on PostgreSQL") };
        let schema = url.rsplit('=').next().unwrap();
        let mut connection = PgConnection::connect(url).await.unwrap();
        for round in 0..6 {
            random.acts(20).await;
            // The sessions of this test alone: others of the same names are those of other tests.
            let own = "AND pid IN (SELECT pid FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
                       WHERE c.relnamespace = CAST(current_schema() AS regnamespace))";
            let lead = format!(
                "AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted \
                 AND (CAST(classid AS BIGINT) << 32) + CAST(objid AS BIGINT) = \
                 hashtextextended('{schema} switchback {}', 0))",
                key_of_all()
            );
            let which = if round % 2 == 0 { lead } else { own.to_owned() };
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE application_name LIKE 'switchback projector%' {which}"
            );
            sqlx::query(AssertSqlSafe(end)).execute(&mut connection).await.unwrap();
            random.acts(20).await;
            first.reaches(&random.story).await;
            second.reaches(&random.story).await;
        }
        is_as_built_in_one_go(&database, &random.story).await;
        first.kill().await;
        second.kill().await;
    })
    .await;
}

fn key_of_all() -> String {
    let keys: Vec<_> = projection::ALL.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
    keys.join(", ")
}

fn next_version() -> Vec<Projection> {
    let mut all = projection::ALL.to_vec();
    for one in all.iter_mut().filter(|one| one.name == "service") {
        one.version += 1;
    }
    all
}

async fn live_version(database: &Database) -> u32 {
    let known = checkpoint::all(&database.open().await).await.unwrap();
    known.iter().find(|one| one.name == "service" && one.state == "live").unwrap().version
}

/// Two programs at once, as while a platform is upgraded: the newer one builds what only it knows, the older
/// one goes on with the rest and does not take it back. When the newer one is gone for good, the older one
/// does.
#[tokio::test]
async fn a_newer_program_beside_an_older_one_takes_over_its_projections_and_keeps_them_on_postgres() {
    on_postgres(async |database: Database| {
        let mut random = Random::begin(23).await;
        random.acts(50).await;
        let (old, new) = (projection::ALL.to_vec(), next_version());
        let version = live_version_of(&new);
        let older = Process::start(&database, &random.story, old).await;
        older.leads().await;
        let newer = Process::start(&database, &random.story, new.clone()).await;
        newer.leads().await;
        assert_eq!(live_version(&database).await, version);
        for _ in 0..10 {
            random.acts(10).await;
            newer.reaches(&random.story).await;
            older.reaches(&random.story).await;
            assert_eq!(live_version(&database).await, version);
        }
        is_as_built_in_one_go(&database, &random.story).await;

        // The older one goes: the newer one does all of it.
        older.kill().await;
        random.acts(20).await;
        newer.reaches(&random.story).await;
        newer.kill().await;

        // Back to the older program.
        let older = Process::start(&database, &random.story, projection::ALL.to_vec()).await;
        older.until(|status| status.is_healthy() && status.reached() > Position::ZERO).await;
        older.reaches(&random.story).await;
        assert_eq!(live_version(&database).await, version - 1);
        is_as_built_in_one_go(&database, &random.story).await;
        older.kill().await;
    })
    .await;
}

fn live_version_of(projections: &[Projection]) -> u32 {
    projections.iter().find(|one| one.name == "service").unwrap().version
}
