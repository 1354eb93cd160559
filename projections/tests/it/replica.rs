//! Reads from a streaming replica: nobody who waited for a change sees the state before it, whatever becomes
//! of the replica; and a server that is restarted in mid batch.

use std::time::Duration;

use domain::stream::Position;
use eventlog::log::EventLog as _;
use futures::future::join_all;
use switchback_projections::page::Page;
use switchback_projections::projection;
use switchback_projections::projector::{Projector, checkpoint};
use switchback_projections::store::{Options, QueryError, ReadStore, Replication, Select, Wall};
use switchback_projections::wait::Watermark;
use switchback_projections::{service, variable};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::database::{Database, on_postgres, on_sqlite, told};
use crate::dump::difference;
use crate::proxy::Proxy;
use crate::server::Server;
use crate::story::{ACME, Shop};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);

/// A projector beside the primary, a reader with the replica, and a shop.
struct Place {
    primary: Server,
    replica: Server,
    shop: Shop,
    store: ReadStore,
    watermark: Watermark,
    round: u32,
}

impl Place {
    async fn new() -> Self {
        let primary = Server::primary().await;
        let replica = primary.replica().await;
        let options = Options::default().replica(replica.url());
        let store = ReadStore::postgres(&primary.url(), options).unwrap();
        let watermark = Watermark::polling(store.clone());
        Self { primary, replica, shop: Shop::open().await, store, watermark, round: 0 }
    }

    fn projector(&self) -> Projector {
        let options = Options::default().replica(self.replica.url());
        let store = ReadStore::postgres(&self.primary.url(), options).unwrap();
        Projector::new(self.shop.story.shared(), store, projection::ALL)
    }

    /// Somebody changes a variable.
    async fn change(&mut self) -> Position {
        self.round += 1;
        let name = format!("ROUND_{}", self.round);
        self.shop.story.stage(self.shop.web, &name, "1", None).await
    }

    /// How many of the changes a reader sees.
    async fn seen(&self) -> u32 {
        let found = variable::list(&self.store, ACME, self.shop.web).await.unwrap();
        found.len().try_into().unwrap()
    }

    async fn change_and_see(&mut self) {
        let position = self.change().await;
        self.watermark.wait_until(position, LONG).await.unwrap();
        assert_eq!(self.seen().await, self.round);
    }

    /// Whether the replica answers readers.
    async fn is_answered_by_the_replica(&self) -> bool {
        let text = "SELECT COUNT(*) WHERE pg_is_in_recovery() AND $1 <> ''";
        self.store.one::<i64>(Select::of(ACME, text)).await.unwrap() == 1
    }

    async fn until_the_replica_answers(&self) {
        let answers = async {
            while !self.is_answered_by_the_replica().await {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, answers).await.unwrap();
        assert_eq!(self.store.replica(), Some(Replication::Here));
    }
}

#[tokio::test]
async fn readers_of_a_replica_see_their_own_changes_and_the_primary_answers_while_it_is_away_on_postgres() {
    let mut place = Place::new().await;
    let projector = place.projector();
    let story = async {
        for _ in 0..20 {
            place.change_and_see().await;
        }
        place.until_the_replica_answers().await;
        assert_eq!(place.store.wall().await.unwrap(), Wall::Stands);
        let forgetful = "SELECT COUNT(*) FROM services WHERE $1 <> ''";
        let others = Select::of(crate::story::OTHER, forgetful);
        assert_eq!(place.store.one::<i64>(others).await.unwrap(), 0, "the wall stands on the replica too");

        // It is stopped: the next reader is answered by the primary, and so is whoever waits.
        place.replica.stop();
        for _ in 0..5 {
            place.change_and_see().await;
        }
        assert_eq!(place.store.replica(), Some(Replication::Away));

        // It comes back, far behind or not: what was seen stays seen.
        place.replica.start().await;
        for _ in 0..20 {
            place.change_and_see().await;
            sleep(Duration::from_millis(50)).await;
        }
        place.until_the_replica_answers().await;
        place.change_and_see().await;
    };
    tokio::select! {
        () = story => {}
        () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
    }
}

#[tokio::test]
async fn a_replica_that_stands_still_answers_nobody_who_waits_for_more_on_postgres() {
    let mut place = Place::new().await;
    let projector = place.projector();
    let story = async {
        place.change_and_see().await;
        place.until_the_replica_answers().await;
        place.replica.execute("SELECT pg_wal_replay_pause()").await;
        let before = place.seen().await;
        let position = place.change().await;
        Watermark::polling(ReadStore::postgres(&place.primary.url(), Options::default()).unwrap())
            .wait_until(position, LONG)
            .await
            .unwrap();

        // Whoever waits for nothing gets what there is; whoever waits gets no old answer for a new one.
        assert_eq!(place.seen().await, before);
        let not_yet = place.watermark.wait_until(position, SHORT).await.unwrap_err();
        assert!(not_yet.reached < position);
        // From then on the primary answers.
        assert_eq!(place.store.replica(), Some(Replication::Away));
        place.watermark.wait_until(position, SHORT).await.unwrap();
        assert_eq!(place.seen().await, before + 1);
        assert!(!place.is_answered_by_the_replica().await);
        place.change_and_see().await;
        sleep(Duration::from_millis(2500)).await;
        assert!(!place.is_answered_by_the_replica().await, "it answers, but it is not back");

        place.replica.execute("SELECT pg_wal_replay_resume()").await;
        place.until_the_replica_answers().await;
        assert_eq!(place.seen().await, place.round);
        place.change_and_see().await;
    };
    tokio::select! {
        () = story => {}
        () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
    }
}

#[tokio::test]
async fn a_projector_in_the_same_process_waits_for_the_replica_too_on_postgres() {
    let mut place = Place::new().await;
    let projector = Projector::new(place.shop.story.shared(), place.store.clone(), projection::ALL);
    place.watermark = projector.watermark();
    let story = async {
        for _ in 0..20 {
            place.change_and_see().await;
        }
        place.until_the_replica_answers().await;
    };
    tokio::select! {
        () = story => {}
        () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
    }
}

/// The server crashes and is back, again and again, while there is work: readers are told, and nothing is
/// lost or counted twice. (What a crash takes of the rows it takes of the checkpoints.)
#[tokio::test]
async fn a_server_that_is_restarted_in_mid_batch_is_caught_up_with_on_postgres() {
    let mut server = Server::primary().await;
    let mut shop = Shop::busy().await;
    let store = ReadStore::postgres(&server.url(), Options::default()).unwrap();
    let projector = Projector::new(shop.story.shared(), store.clone(), projection::ALL);
    let watermark = projector.watermark();
    let story = async {
        for round in 0..4_u64 {
            for n in 0..300 {
                shop.story.stage(shop.web, "COUNTER", &n.to_string(), None).await;
                tokio::task::yield_now().await;
            }
            sleep(Duration::from_millis(10 * round)).await; // Somewhere in the middle of it.
            server.stop();
            let found = service::list(&store, ACME, &service::Filter::default(), &Page::default()).await;
            assert!(matches!(found, Err(QueryError::Unavailable { .. })), "{found:?}");
            let position = shop.story.stage(shop.web, "WHILE", &round.to_string(), None).await;
            server.start().await;
            watermark.wait_until(position, LONG).await.unwrap();
            let found = service::list(&store, ACME, &service::Filter::default(), &Page::default()).await;
            assert_eq!(found.unwrap().items.len(), 2);
        }
    };
    tokio::select! {
        () = story => {}
        () = projector.run(std::future::pending()) => unreachable!("it runs for ever"),
    }
    let database = Database::Postgres { url: server.url() };
    let head = shop.story.log.head().await.unwrap();
    for known in checkpoint::all(&store).await.unwrap() {
        assert_eq!((known.position, known.error), (head, None), "{}", known.name);
    }
    let found = database.dump(&projection::ALL).await;
    on_sqlite(async |other: Database| {
        told(&other, &shop.story).await;
        assert_eq!(difference(&found, &other.dump(&projection::ALL).await), "");
    })
    .await;
}

/// The address of the replica leads to the primary here, through a proxy: what counts is when nothing comes
/// back.
#[tokio::test]
async fn a_replica_that_falls_silent_costs_readers_a_moment_and_then_nothing_on_postgres() {
    on_postgres(async |database: Database| {
        let shop = Shop::open().await;
        told(&database, &shop.story).await;
        let Database::Postgres { url } = &database else { unreachable!("it runs on PostgreSQL") };
        let mut beside: Url = url.parse().unwrap();
        let server = format!("{}:{}", beside.host_str().unwrap(), beside.port().unwrap());
        let proxy = Proxy::to(server).await;
        beside.set_port(Some(proxy.address.port())).unwrap();
        let store = ReadStore::postgres(url, Options::default().replica(beside.as_str())).unwrap();
        let ask = async || service::list(&store, ACME, &service::Filter::default(), &Page::default()).await;
        for _ in 0..5 {
            assert_eq!(ask().await.unwrap().items.len(), 2);
        }
        assert_eq!(store.replica(), Some(Replication::Here));
        proxy.silence();
        let answered = join_all((0..5).map(|_| ask())).await;
        assert!(answered.iter().all(Result::is_ok), "{answered:?}");
        assert_eq!(store.replica(), Some(Replication::Away));
        for _ in 0..20 {
            timeout(SHORT, ask()).await.expect("nobody waits for a replica that is away").unwrap();
        }
        proxy.cut();
        proxy.mend();
        let back = async {
            while store.replica() != Some(Replication::Here) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, back).await.unwrap();
        assert_eq!(ask().await.unwrap().items.len(), 2);
    })
    .await;
}
