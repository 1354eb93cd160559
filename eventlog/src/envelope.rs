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
