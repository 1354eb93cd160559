//! What the wall costs: a reader's query, in a transaction that says for whom it reads, beside the same query
//! bare, as a superuser whom no policy holds back.
//!
//! `SWITCHBACK_TEST_POSTGRES=… cargo run --release -p switchback-projections --example wall_bench [ROUNDS]`

#[expect(clippy::unwrap_used, dead_code, unused_imports, reason = "the tests have more stories")]
#[path = "../tests/it/story.rs"]
mod story;

use std::time::{Duration, Instant};

use futures::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use switchback_projections::projection;
use switchback_projections::projector::Projector;
use switchback_projections::store::{Options, ReadStore, Select};
use uuid::Uuid;

use crate::story::{ACME, Shop};

const QUERY: &str = "SELECT position FROM services WHERE organization = $1 ORDER BY id";
const READERS: usize = 8;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it is what the example is for")]
async fn main() {
    let rounds = std::env::args().nth(1).map_or(5_000, |count| count.parse().expect("a number of rounds"));
    let server = std::env::var("SWITCHBACK_TEST_POSTGRES").expect("SWITCHBACK_TEST_POSTGRES is not set");
    let schema = format!("bench_{}", Uuid::now_v7().simple());
    let mut connection = PgConnection::connect(&server).await.expect("the server is there");
    let run = async |connection: &mut PgConnection, text: String| {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.expect("a schema of our own");
    };
    run(&mut connection, format!("CREATE SCHEMA {schema}")).await;
    let url = format!("{server}?options[search_path]={schema}");
    let store = ReadStore::postgres(&url, Options::default()).expect("the server's address");
    let shop = Shop::busy().await;
    let projector = Projector::new(shop.story.shared(), store.clone(), projection::ALL);
    projector.catch_up().await.expect("the server is there");

    let bare = PgPoolOptions::new().max_connections(10).test_before_acquire(false);
    let bare = bare.connect_lazy_with(url.parse::<PgConnectOptions>().expect("the server's address"));
    for round in 0..3 {
        let walled = measure(rounds, async || {
            let found: Vec<i64> = store.all(Select::of(ACME, QUERY)).await.expect("the server is there");
            assert_eq!(found.len(), 2);
        })
        .await;
        let alone = measure(rounds, async || {
            let query = sqlx::query(QUERY).bind(ACME.to_string());
            assert_eq!(query.fetch_all(&bare).await.expect("the server is there").len(), 2);
        })
        .await;
        println!("{round}: walled {walled}; bare {alone}");
    }
    run(&mut connection, format!("DROP SCHEMA {schema} CASCADE")).await;
}

/// One after the other: the median; eight at once: how many in a second.
async fn measure(rounds: usize, ask: impl AsyncFn()) -> String {
    let mut took = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let began = Instant::now();
        ask().await;
        took.push(began.elapsed());
    }
    took.sort();
    let (median, late) = (took[rounds / 2], took[rounds * 99 / 100]);
    let began = Instant::now();
    let ask = &ask;
    let readers = (0..READERS).map(|_| async move {
        for _ in 0..rounds / READERS {
            ask().await;
        }
    });
    join_all(readers).await;
    let rate = rounds as f64 / began.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
    format!("p50 {median:.0?} p99 {late:.0?}, {rate:.0}/s with {READERS} at once")
}
