//! How fast all read models are built from the log, beside raw inserts of the same rows into the same tables.
//!
//! `cargo run --release -p switchback-projections --example rebuild_bench [EVENTS]`, with
//! `SWITCHBACK_TEST_POSTGRES` for `PostgreSQL`. Raw means: no log, no projections; the final rows, 2000 by
//! 2000, each table alone.

#[expect(clippy::unwrap_used, dead_code, unused_imports, reason = "the tests have more stories")]
#[path = "../tests/it/story.rs"]
mod story;

use std::time::{Duration, Instant};

use domain::stream::Position;
use eventlog::log::{EventLog as _, Filter, MAX_PAGE};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use switchback_projections::projection;
use switchback_projections::projector::Projector;
use switchback_projections::store::{Options, ReadStore};
use switchback_projections::table::{Kind, Table};
use uuid::Uuid;

use crate::story::Story;

/// The rows of a table, as texts.
type Rows = Vec<Vec<Option<String>>>;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it is what the example is for")]
async fn main() {
    let wanted = std::env::args().nth(1).map_or(200_000, |count| count.parse().expect("a number of events"));
    let (story, events) = history(wanted).await;
    let head = story.log.head().await.expect("the log is in memory");
    println!("{events} events in {head} commits");

    let began = Instant::now();
    let mut after = Position::ZERO;
    while after < head {
        after = story.log.read_all(after, &Filter::all(), MAX_PAGE).await.expect("in memory").reached;
    }
    report("log alone: read, checked, decoded", events, began.elapsed());

    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("read.db");
    let store = ReadStore::sqlite(&file).await.expect("a new file");
    let rebuild = build(&story, store).await;
    report("sqlite: rebuild", events, rebuild);
    let mut from = sqlite(&file).await;
    let mut to = sqlite(&folder.path().join("raw.db")).await;
    let raw = raw_sqlite(&mut from, &mut to).await;
    report("sqlite: raw inserts of the same rows", events, raw);
    tell("SQLite", events, rebuild, raw, "raw inserts of the same rows");

    let Ok(server) = std::env::var("SWITCHBACK_TEST_POSTGRES") else { return };
    let schema = format!("bench_{}", Uuid::now_v7().simple());
    let mut connection = PgConnection::connect(&server).await.expect("the server is there");
    let run = async |connection: &mut PgConnection, text: String| {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.expect("a schema of our own");
    };
    run(&mut connection, format!("CREATE SCHEMA {schema}; CREATE SCHEMA {schema}_raw")).await;
    let url = format!("{server}?options[search_path]={schema}");
    let rebuild =
        build(&story, ReadStore::postgres(&url, Options::default()).expect("the server's address")).await;
    report("postgres: rebuild", events, rebuild);
    let raw = raw_postgres(&mut connection, &schema).await;
    report("postgres: raw COPY of the same rows", events, raw);
    tell("PostgreSQL", events, rebuild, raw, "a raw COPY of the same rows");
    run(&mut connection, format!("DROP SCHEMA {schema} CASCADE; DROP SCHEMA {schema}_raw CASCADE")).await;
}

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn tell(engine: &str, events: usize, rebuild: Duration, raw: Duration, beside: &str) {
    let per_second = |took: Duration| events as f64 / took.as_secs_f64();
    let figure = serde_json::json!({
        "what": format!("events of a rebuild of all read models on {engine}"), "unit": "per s",
        "ours": per_second(rebuild), "beside": beside, "theirs": per_second(raw),
    });
    println!("FIGURE {figure}");
}

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn report(what: &str, events: usize, took: Duration) {
    println!("{what}: {:.2} s, {:.0} events/s", took.as_secs_f64(), events as f64 / took.as_secs_f64());
}

/// Deployments, one after the other, of ever more services.
async fn history(wanted: usize) -> (Story, usize) {
    let mut story = Story::begin().await;
    let mut events = 2;
    while events < wanted {
        let (project, production, _) = story.project(&format!("project-{events}")).await;
        let service = story.service(project, production, "web").await;
        events += 2;
        for n in 1..=10 {
            story.deploy(service, n).await;
            story.set(service, "COUNTER", &n.to_string()).await;
            events += 29 + 21;
        }
    }
    let mut count = 0;
    let mut after = Position::ZERO;
    loop {
        let page = story.log.read_all(after, &Filter::all(), MAX_PAGE).await.expect("in memory");
        if page.commits.is_empty() {
            return (story, count);
        }
        count += page.commits.iter().map(|commit| commit.events.len()).sum::<usize>();
        after = page.reached;
    }
}

async fn build(story: &Story, store: ReadStore) -> Duration {
    let began = Instant::now();
    let projector = Projector::new(story.shared(), store.clone(), projection::ALL);
    projector.catch_up().await.expect("it can be built");
    assert!(projector.status().is_healthy());
    let took = began.elapsed();
    store.close().await;
    took
}

fn tables() -> impl Iterator<Item = &'static Table> {
    projection::ALL.into_iter().flat_map(|projection| projection.tables.iter().copied())
}

async fn sqlite(file: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal);
    options.connect().await.expect("a file of our own")
}

async fn raw_sqlite(from: &mut SqliteConnection, to: &mut SqliteConnection) -> Duration {
    let mut took = Duration::ZERO;
    for table in tables() {
        for text in schema_of(from, table).await {
            sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *to).await.expect("a new file");
        }
        let columns: Vec<_> = table.columns.iter().map(|column| column.name).collect();
        let select = format!("SELECT {} FROM {}", texts(table), table.name);
        let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(&mut *from).await.expect("its rows");
        let rows: Rows = rows.iter().map(|row| (0..columns.len()).map(|n| row.get(n)).collect()).collect();
        // As many rows as fit into the 32766 values that a statement may have.
        let chunk = 32_000 / columns.len();
        let began = Instant::now();
        for rows in rows.chunks(2000.min(chunk)) {
            let row = format!("({})", vec!["?"; columns.len()].join(", "));
            let text = format!("INSERT INTO {} VALUES {}", table.name, vec![row; rows.len()].join(", "));
            let mut query = sqlx::query(AssertSqlSafe(text));
            for (value, column) in rows.iter().flat_map(|row| row.iter().zip(table.columns)) {
                query = match column.kind {
                    Kind::Text => query.bind(value.clone()),
                    Kind::Number => query.bind(value.as_deref().and_then(|text| text.parse::<i64>().ok())),
                };
            }
            query.execute(&mut *to).await.expect("new rows");
        }
        took += began.elapsed();
    }
    took
}

async fn schema_of(from: &mut SqliteConnection, table: &Table) -> Vec<String> {
    let text = "SELECT sql FROM sqlite_schema WHERE tbl_name = $1 AND sql IS NOT NULL ORDER BY type DESC";
    let rows = sqlx::query(text).bind(table.name).fetch_all(from).await.expect("its schema");
    rows.iter().map(|row| row.get(0)).collect()
}

fn texts(table: &Table) -> String {
    table.columns.iter().map(|column| format!("CAST({} AS TEXT)", column.name)).collect::<Vec<_>>().join(", ")
}

async fn raw_postgres(connection: &mut PgConnection, schema: &str) -> Duration {
    let mut took = Duration::ZERO;
    for table in tables() {
        let (name, raw) = (format!("{schema}.{}", table.name), format!("{schema}_raw.{}", table.name));
        let text = format!("CREATE TABLE {raw} (LIKE {name} INCLUDING ALL)");
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await.expect("a new table");
        let mut rows = vec![];
        let text = format!("COPY {name} TO STDOUT");
        let mut out = connection.copy_out_raw(&text).await.expect("its rows");
        while let Some(bytes) = futures::TryStreamExt::try_next(&mut out).await.expect("its rows") {
            rows.extend_from_slice(&bytes);
        }
        drop(out);
        let began = Instant::now();
        let mut copy = connection.copy_in_raw(&format!("COPY {raw} FROM STDIN")).await.expect("a new table");
        copy.send(rows).await.expect("the same rows");
        copy.finish().await.expect("the same rows");
        took += began.elapsed();
    }
    took
}
