//! The stored form of a commit: a batch of `CloudEvents` 1.0 in JSON, one for each event.
//!
//! The hash of a commit is taken over these bytes as they are stored; they are never written a second time
//! from what was read. Reading is strict about what is needed and ignores attributes that it does not know.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use domain::context::{Actor, ActorKind};
use domain::event::{DecodeError, Event, TYPE_PREFIX, Wire};
use domain::id::{CommandId, CommitId, CorrelationId, EventId, OrganizationId, UserId};
use domain::stream::{Position, Recorded, StreamId, Version};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::commit::{Commit, Hash, Head, MAX_COMMIT_BYTES, RecordedCommit};
use crate::error::{AppendError, ReadError};

/// The `source` of every event.
pub const SOURCE: &str = "urn:switchback";
/// Where the JSON Schema of an event stands: this, the type without [`TYPE_PREFIX`], `.json`.
pub const SCHEMA_PREFIX: &str = "https://switchback.dev/schemas/events/";

const SPEC_VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/json";

/// A commit in its stored form.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The JSON to be stored.
    pub payload: String,
    /// Their hash.
    pub hash: Hash,
    /// The version of the stream after the commit.
    pub version: Version,
}

/// One event, as it stands in the batch. The names are those of the `CloudEvents` specification and of our
/// extensions, which may have only small letters and digits.
#[derive(Serialize, Deserialize)]
struct CloudEvent<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    id: EventId,
    #[serde(default, borrow)]
    source: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    time: DateTime<Utc>,
    #[serde(default, borrow)]
    dataschema: Cow<'a, str>,
    #[serde(default, borrow)]
    datacontenttype: Cow<'a, str>,
    sborg: OrganizationId,
    streamversion: Version,
    /// A string: positions may grow beyond the 32 bits that a number of a `CloudEvents` attribute has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sbposition: Option<String>,
    commitid: CommitId,
    commandid: CommandId,
    correlationid: CorrelationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causationid: Option<EventId>,
    actorkind: ActorKind,
    actorid: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actorfor: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prevhash: Option<HexHash>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    traceparent: Option<Cow<'a, str>>,
    data: Value,
}

struct HexHash(Hash);

impl Serialize for HexHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 64];
        hex::encode_to_slice(self.0.0, &mut text).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for HexHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let text = Text::deserialize(deserializer)?;
        let mut hash = Hash::default();
        hex::decode_to_slice(text.0.as_bytes(), &mut hash.0).map_err(serde::de::Error::custom)?;
        Ok(Self(hash))
    }
}

/// The stored form of a commit that comes after `expected`.
///
/// # Errors
/// [`AppendError::TooLarge`].
///
/// # Panics
/// When the commit has no events: a decision without events is not appended.
pub fn encode(commit: &Commit, expected: &Head) -> Result<Encoded, AppendError> {
    assert!(!commit.events.is_empty(), "a commit has at least one event");
    let subject = commit.stream.to_string();
    let mut version = expected.version;
    let batch: Vec<CloudEvent<'_>> = commit
        .events
        .iter()
        .map(|(id, event)| {
            version = version.next();
            let Wire { event_type, data } = event.to_wire();
            CloudEvent {
                specversion: SPEC_VERSION.into(),
                id: *id,
                source: SOURCE.into(),
                dataschema: schema_of(&event_type).into(),
                event_type: event_type.into(),
                subject: subject.as_str().into(),
                time: commit.metadata.at,
                datacontenttype: CONTENT_TYPE.into(),
                sborg: commit.stream.organization,
                streamversion: version,
                sbposition: None,
                commitid: commit.id,
                commandid: commit.metadata.command,
                correlationid: commit.metadata.correlation,
                causationid: commit.metadata.causation,
                actorkind: commit.metadata.actor.kind,
                actorid: commit.metadata.actor.id,
                actorfor: commit.metadata.actor.on_behalf_of,
                prevhash: Some(HexHash(expected.hash)),
                traceparent: commit.metadata.traceparent.as_deref().map(Cow::Borrowed),
                data,
            }
        })
        .collect();
    let payload = serde_json::to_string(&batch).expect("the batch has only strings, numbers and JSON values");
    if payload.len() > MAX_COMMIT_BYTES {
        let (stream, size, most) = (commit.stream, payload.len(), MAX_COMMIT_BYTES);
        return Err(AppendError::TooLarge { stream, size, most });
    }
    let hash = hash_of(payload.as_bytes());
    Ok(Encoded { payload, hash, version })
}

/// The hash of a commit's stored bytes.
#[must_use]
pub fn hash_of(payload: &[u8]) -> Hash {
    Hash(Sha256::digest(payload).into())
}

/// Reads a stored commit, which has to have the hash `wanted` when that is known.
///
/// # Errors [`ReadError::Damaged`] when it does not have the form that [`encode`] gives, or another hash;
/// [`ReadError::Decode`] when an event is of a newer version of the program.
pub fn decode(position: Position, payload: &[u8], wanted: Option<Hash>) -> Result<RecordedCommit, ReadError> {
    let damaged = |problem: String| ReadError::Damaged { position, problem };
    let hash = hash_of(payload);
    if wanted.is_some_and(|wanted| wanted != hash) {
        return Err(damaged("its bytes are not those that were written".to_owned()));
    }
    let batch: Vec<CloudEvent<'_>> =
        serde_json::from_slice(payload).map_err(|err| damaged(format!("no batch of CloudEvents: {err}")))?;
    let Some(first) = batch.first() else { return Err(damaged("a batch without events".to_owned())) };
    let stream: StreamId = first.subject.parse().map_err(|err| damaged(format!("{err}")))?;
    let (commit, subject) = (first.commitid, first.subject.clone().into_owned());
    let Some(HexHash(previous)) = first.prevhash else {
        return Err(damaged("no hash of the commit before it".to_owned()));
    };
    let mut version = first.streamversion;
    let mut events = Vec::with_capacity(batch.len());
    for event in batch {
        if event.specversion != SPEC_VERSION {
            return Err(damaged(format!("CloudEvents version {}", event.specversion)));
        }
        let is_of_commit = event.commitid == commit
            && event.subject == subject
            && event.prevhash.as_ref().is_some_and(|hash| hash.0 == previous);
        if !is_of_commit || event.streamversion != version {
            return Err(damaged(format!("event {} is not of commit {commit}", event.id)));
        }
        version = version.next();
        events.push(
            recorded(position, stream, event).map_err(|source| ReadError::Decode { position, source })?,
        );
    }
    let last = events.last().map_or(Version::ZERO, |event| event.version);
    let head = Head { version: last, position, hash };
    Ok(RecordedCommit { id: commit, stream, head, previous, events })
}

fn recorded(position: Position, stream: StreamId, event: CloudEvent<'_>) -> Result<Recorded, DecodeError> {
    Ok(Recorded {
        id: event.id,
        stream,
        version: event.streamversion,
        position,
        commit: event.commitid,
        at: event.time,
        actor: Actor { kind: event.actorkind, id: event.actorid, on_behalf_of: event.actorfor },
        command: event.commandid,
        correlation: event.correlationid,
        causation: event.causationid,
        traceparent: event.traceparent.map(Cow::into_owned),
        event: Event::from_wire(&event.event_type, event.data)?,
    })
}

/// An event as others see it: the `CloudEvent` of the log, with its position as `sbposition`.
#[must_use]
pub fn cloud_event(recorded: &Recorded) -> Value {
    let Wire { event_type, data } = recorded.event.to_wire();
    let event = CloudEvent {
        specversion: SPEC_VERSION.into(),
        id: recorded.id,
        source: SOURCE.into(),
        dataschema: schema_of(&event_type).into(),
        event_type: event_type.into(),
        subject: recorded.stream.to_string().into(),
        time: recorded.at,
        datacontenttype: CONTENT_TYPE.into(),
        sborg: recorded.stream.organization,
        streamversion: recorded.version,
        sbposition: Some(recorded.position.to_string()),
        commitid: recorded.commit,
        commandid: recorded.command,
        correlationid: recorded.correlation,
        causationid: recorded.causation,
        actorkind: recorded.actor.kind,
        actorid: recorded.actor.id,
        actorfor: recorded.actor.on_behalf_of,
        prevhash: None,
        traceparent: recorded.traceparent.as_deref().map(Cow::Borrowed),
        data,
    };
    serde_json::to_value(event).expect("a CloudEvent has only strings, numbers and JSON values")
}

fn schema_of(event_type: &str) -> String {
    let name = event_type.strip_prefix(TYPE_PREFIX).unwrap_or(event_type).trim_start_matches('.');
    format!("{SCHEMA_PREFIX}{name}.json")
}

#[cfg(test)]
mod tests {
    use domain::claim;
    use domain::stream::AggregateKind;

    use super::*;
    use crate::commit::Metadata;

    fn commit() -> Commit {
        let id = |n: u128| Uuid::from_u128(n);
        let owner =
            claim::Owner { organization: OrganizationId::PLATFORM, kind: AggregateKind::Service, id: id(7) };
        let key = claim::Key::Hostname { hostname: "a.example".to_owned() };
        let taken = claim::Event::Taken { key, owner, at: DateTime::UNIX_EPOCH };
        let metadata = Metadata {
            at: DateTime::from_timestamp_nanos(1_767_225_600_123_456_789),
            actor: Actor::saga(Some(UserId(id(3)))),
            command: CommandId(id(4)),
            correlation: CorrelationId(id(5)),
            causation: Some(EventId(id(6))),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        };
        let stream =
            StreamId { organization: OrganizationId::PLATFORM, kind: AggregateKind::Claim, id: id(8) };
        let events = vec![(EventId(id(1)), taken.into()), (EventId(id(2)), claim::Event::Released {}.into())];
        Commit { id: CommitId(id(9)), stream, metadata, events }
    }

    fn expected() -> Head {
        Head { version: Version(4), position: Position(40), hash: Hash([0xab; 32]) }
    }

    /// What is stored is never changed, so this text never changes either: if it has to, old logs cannot be
    /// read.
    #[test]
    fn the_stored_form_is_what_it_was_when_it_was_first_released() {
        let stored = encode(&commit(), &expected()).unwrap();
        let text = concat!(
            r#"[{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000001","source":"urn:switchback","#,
            r#""type":"dev.switchback.claim.taken.v1","#,
            r#""subject":"sb.evt.00000000-0000-0000-0000-000000000000.claim."#,
            r#"00000000-0000-0000-0000-000000000008","#,
            r#""time":"2026-01-01T00:00:00.123456789Z","#,
            r#""dataschema":"https://switchback.dev/schemas/events/claim.taken.v1.json","#,
            r#""datacontenttype":"application/json","sborg":"00000000-0000-0000-0000-000000000000","#,
            r#""streamversion":5,"commitid":"00000000-0000-0000-0000-000000000009","#,
            r#""commandid":"00000000-0000-0000-0000-000000000004","#,
            r#""correlationid":"00000000-0000-0000-0000-000000000005","#,
            r#""causationid":"00000000-0000-0000-0000-000000000006","actorkind":"saga","#,
            r#""actorid":"00000000-0000-0000-0000-000000000000","#,
            r#""actorfor":"00000000-0000-0000-0000-000000000003","#,
            r#""prevhash":"abababababababababababababababababababababababababababababababab","#,
            r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#,
            r#""data":{"#,
        );
        assert!(stored.payload.starts_with(text), "{}", stored.payload);
        assert_eq!(stored.version, Version(6));
    }

    #[test]
    fn a_commit_reads_back_whole() {
        let stored = encode(&commit(), &expected()).unwrap();
        let read = decode(Position(41), stored.payload.as_bytes(), Some(stored.hash)).unwrap();
        let head = Head { version: Version(6), position: Position(41), hash: stored.hash };
        assert_eq!((read.id, read.stream, read.head), (commit().id, commit().stream, head));
        assert_eq!(read.previous, expected().hash);
        let events: Vec<_> = read.events.iter().map(|event| (event.id, event.event.clone())).collect();
        assert_eq!(events, commit().events);
    }

    #[test]
    fn what_it_does_not_know_is_ignored_and_what_it_needs_is_not() {
        let stored = encode(&commit(), &expected()).unwrap();
        let read = |change: &dyn Fn(&mut Value)| {
            let mut batch: Value = serde_json::from_str(&stored.payload).unwrap();
            change(&mut batch);
            decode(Position(41), &serde_json::to_vec(&batch).unwrap(), None)
        };
        read(&|batch| batch[0]["later"] = "x".into()).unwrap();
        let needed = ["specversion", "id", "type", "subject", "time", "sborg", "streamversion", "commitid"];
        for name in needed.into_iter().chain(["commandid", "actorkind", "prevhash", "data"]) {
            let result = read(&|batch| {
                batch[1].as_object_mut().unwrap().remove(name);
            });
            assert!(matches!(result, Err(ReadError::Damaged { .. })), "without {name}: {result:?}");
        }
        for (name, value) in [("specversion", "2.0"), ("commitid", "00000000-0000-0000-0000-000000000001")] {
            let result = read(&|batch| batch[1][name] = value.into());
            assert!(matches!(result, Err(ReadError::Damaged { .. })), "{name}: {result:?}");
        }
        let result = read(&|batch| batch[1]["streamversion"] = 7.into());
        assert!(matches!(result, Err(ReadError::Damaged { .. })), "{result:?}");
        let result = read(&|batch| batch[0]["type"] = "dev.switchback.claim.taken.v99".into());
        assert!(matches!(result, Err(ReadError::Decode { .. })), "{result:?}");
        for payload in ["", "[]", "{}", "null", "[{}]"] {
            let result = decode(Position(1), payload.as_bytes(), None);
            assert!(matches!(result, Err(ReadError::Damaged { .. })), "{payload}: {result:?}");
        }
    }

    #[test]
    fn an_event_is_shown_with_its_position_and_only_with_names_that_cloud_events_allow() {
        let stored = encode(&commit(), &expected()).unwrap();
        let read = decode(Position(5_000_000_000), stored.payload.as_bytes(), None).unwrap();
        let shown = cloud_event(&read.events[0]);
        assert_eq!(shown["sbposition"], "5000000000");
        assert_eq!(shown["dataschema"], "https://switchback.dev/schemas/events/claim.taken.v1.json");
        for name in shown.as_object().unwrap().keys() {
            let is_allowed = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            assert!(is_allowed && name.len() <= 20, "{name}");
        }
    }
}
