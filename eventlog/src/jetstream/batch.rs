//! Many messages with one request: batched direct get (NATS ADR-31), which the client library does not have.
//!
//! Any replica of the stream answers, also one that lags behind. Whoever needs to know whether there is more
//! asks the leader ([`next_from_leader`]).

use std::time::Duration;

use async_nats::header::{IntoHeaderName, NATS_SEQUENCE, NATS_SUBJECT};
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_nats::{Message, StatusCode, Subject};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Serialize;

use crate::error::BoxError;
use crate::jetstream::connection::{Connection, REQUEST_LIMIT};

/// The most messages that one request may ask for.
pub(super) const BATCH_MAX: usize = 1000;
/// An answer ends early when it has this many bytes.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Between two messages of an answer no more time passes than this.
const GAP_LIMIT: Duration = REQUEST_LIMIT;
/// The status of the message that ends a batch.
const END_OF_BATCH: u16 = 204;

/// A message as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    pub(super) subject: String,
    pub(super) payload: Bytes,
}

/// What a replica answered.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) messages: Vec<Stored>,
    /// Whether the replica has more.
    pub(super) has_more: bool,
}

#[derive(Serialize)]
struct Request<'a> {
    seq: u64,
    next_by_subj: &'a str,
    batch: usize,
    max_bytes: usize,
}

/// Messages of a subject (it may have wildcards) from a sequence on, as some replica has them.
pub(super) async fn get(
    connection: &Connection,
    stream: &str,
    subject: &str,
    from: u64,
    limit: usize,
) -> Result<Batch, BoxError> {
    let batch = limit.clamp(1, BATCH_MAX);
    let request = Request { seq: from.max(1), next_by_subj: subject, batch, max_bytes: BYTES_MAX };
    connection.ask(|| get_once(connection, stream, &request)).await
}

async fn get_once(connection: &Connection, stream: &str, request: &Request<'_>) -> Result<Batch, BoxError> {
    let client = &connection.client;
    let inbox = Subject::from(client.new_inbox());
    let mut answers = client.subscribe(inbox.clone()).await?;
    let api = format!("$JS.API.DIRECT.GET.{stream}");
    client.publish_with_reply(api, inbox, serde_json::to_vec(request)?.into()).await?;
    let mut found = Batch::default();
    loop {
        let answer = tokio::time::timeout(GAP_LIMIT, answers.next()).await;
        let Some(message) = answer.map_err(|_| "a read was not answered in time")? else {
            return Err("the connection was closed during a read".into());
        };
        match message.status {
            None => found.messages.push(stored(&message)?),
            Some(status) if status.as_u16() == END_OF_BATCH => {
                found.has_more = number(&message, "Nats-Num-Pending").is_some_and(|pending| pending > 0);
                return Ok(found);
            }
            Some(StatusCode::NOT_FOUND) => return Ok(found),
            Some(status) => {
                let why = message.description.as_deref().unwrap_or_default();
                return Err(format!("a read was refused: {status} {why}").into());
            }
        }
    }
}

/// The first message of a subject from a sequence on, as the leader has it.
pub(super) async fn next_from_leader(
    connection: &Connection,
    stream: &Stream<()>,
    subject: &str,
    from: u64,
) -> Result<Option<Stored>, BoxError> {
    connection.ask(|| next_once(stream, subject, from)).await
}

async fn next_once(stream: &Stream<()>, subject: &str, from: u64) -> Result<Option<Stored>, BoxError> {
    let found = stream.raw_message_builder().sequence(from.max(1)).next_by_subject(subject).send().await;
    match found {
        Ok(message) => Ok(Some(Stored {
            sequence: message.sequence,
            subject: message.subject.to_string(),
            payload: message.payload,
        })),
        Err(err) if err.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(err) => Err(err.into()),
    }
}

fn stored(message: &Message) -> Result<Stored, BoxError> {
    let headers = message.headers.as_ref().ok_or("a stored message came without headers")?;
    let subject = headers.get(NATS_SUBJECT).ok_or("a stored message came without its subject")?.to_string();
    let sequence = number(message, NATS_SEQUENCE).ok_or("a stored message came without its sequence")?;
    Ok(Stored { sequence, subject, payload: message.payload.clone() })
}

fn number(message: &Message, header: impl IntoHeaderName) -> Option<u64> {
    message.headers.as_ref()?.get(header)?.as_str().parse().ok()
}
