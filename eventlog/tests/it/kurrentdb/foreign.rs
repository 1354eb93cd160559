//! Somebody else who writes to the same KurrentDB, and writes what we would not: it is left alone where it is
//! not ours, and told as damage where it stands in our place.

use domain::stream::{Position, Version};
use eventlog::commit::Head;
use eventlog::conformance::{commit, fresh_stream};
use eventlog::envelope;
use eventlog::error::ReadError;
use eventlog::kurrentdb::KurrentLog;
use eventlog::log::{EventLog as _, Filter};
use eventstore::{
    AppendToStreamOptions, Client, EventData, ExpectedRevision, ReadAllOptions, ReadStreamOptions,
    RecordedEvent, StreamPosition,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kurrentdb::double::Double;
use crate::kurrentdb::settings;

/// The client without our adapter.
pub(crate) struct Writer(Client);

impl Writer {
    pub(crate) fn new(url: &str) -> Self {
        Self(Client::new(url.parse().unwrap()).unwrap())
    }

    /// The event at a position.
    pub(crate) async fn at(&self, position: Position) -> RecordedEvent {
        let position = eventstore::Position { commit: position.0, prepare: position.0 };
        let options = ReadAllOptions::default().position(StreamPosition::Position(position)).max_count(1);
        self.0.read_all(&options).await.unwrap().next().await.unwrap().unwrap().event.unwrap()
    }

    /// Appends an event at the end of a stream.
    pub(crate) async fn append(&self, stream: &str, id: Uuid, data: &Value) {
        let options = ReadStreamOptions::default().position(StreamPosition::End).max_count(1);
        let last = match self.0.read_stream(stream, &options).await {
            Ok(mut found) => found.next().await.ok().flatten(),
            Err(_) => None,
        };
        let last = last.and_then(|last| last.event);
        let expected = last.map_or(ExpectedRevision::NoStream, |last| ExpectedRevision::Exact(last.revision));
        let options = AppendToStreamOptions::default().expected_revision(expected);
        let hash = envelope::hash_of(&serde_json::to_vec(data).unwrap()).to_string();
        let event = EventData::json("foreign", data).unwrap().id(id);
        let event = event.metadata_as_json(&json!({ "sha256": hash })).unwrap();
        self.0.append_to_stream(stream, &options, event).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_on_the_same_server_is_left_out() {
    let double = Double::start();
    let (mine, other) = (settings(&double.url()), settings(&double.url()));
    let (log, others) =
        (KurrentLog::connect(&mine).await.unwrap(), KurrentLog::connect(&other).await.unwrap());
    let writer = Writer::new(&double.url());
    let mut wanted = Vec::new();
    for number in 0..40 {
        for name in
            [format!("{}x.evt.a", mine.prefix), "orders-7".to_owned(), format!("$${}.evt.a", mine.prefix)]
        {
            writer.append(&name, Uuid::new_v4(), &json!({ "number": number })).await;
        }
        others.append(&commit(fresh_stream(), "theirs"), Head::EMPTY).await.unwrap();
        wanted.push(log.append(&commit(fresh_stream(), "mine"), Head::EMPTY).await.unwrap().position);
    }
    others.append(&commit(fresh_stream(), "theirs"), Head::EMPTY).await.unwrap();
    for log in [log, KurrentLog::connect(&mine).await.unwrap()] {
        assert_eq!(log.head().await.unwrap(), wanted[39]);
        let page = log.read_all(Position::ZERO, &Filter::all(), 100).await.unwrap();
        let found: Vec<Position> = page.commits.iter().map(|commit| commit.head.position).collect();
        assert_eq!((found, page.reached), (wanted.clone(), wanted[39]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_commit_of_its_stream_is_damage() {
    let double = Double::start();
    let writer = Writer::new(&double.url());
    for case in ["no batch", "another stream", "another id"] {
        let settings = settings(&double.url());
        let log = KurrentLog::connect(&settings).await.unwrap();
        let (stream, other) = (fresh_stream(), fresh_stream());
        let head = log.append(&commit(stream, "1"), Head::EMPTY).await.unwrap();
        let event = writer.at(head.position).await;
        let batch: Value = serde_json::from_slice(&event.data).unwrap();
        let elsewhere = event.stream_id.replace(&stream.id.to_string(), &other.id.to_string());
        let (read, name, id, data) = match case {
            "no batch" => (stream, &event.stream_id, event.id, json!({ "a": 1 })),
            "another stream" => (other_of(stream, other.id), &elsewhere, event.id, batch),
            _ => (stream, &event.stream_id, Uuid::new_v4(), batch),
        };
        writer.append(name, id, &data).await;
        let found = log.read(&read, Version::ZERO).await;
        assert!(matches!(found, Err(ReadError::Damaged { .. })), "{case}: {found:?}");
        let page = log.read_all(Position::ZERO, &Filter::all(), 100).await;
        assert!(matches!(page, Err(ReadError::Damaged { .. })), "{case}: {page:?}");
    }
}

fn other_of(stream: domain::stream::StreamId, id: Uuid) -> domain::stream::StreamId {
    domain::stream::StreamId { id, ..stream }
}
