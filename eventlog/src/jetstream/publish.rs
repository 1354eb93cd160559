//! Publishing a message: one try and what its answer means, and as many as it takes.

use std::error::Error as _;
use std::future::IntoFuture as _;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;

use crate::error::BoxError;
use crate::jetstream::connection::Connection;

/// When NATS is not there and was never asked, nobody waits longer than this for it.
pub(super) const CONNECTION_WAIT: Duration = Duration::from_secs(2);
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// What a try was answered with.
pub(super) enum Answer {
    /// It stands at this sequence.
    Stored(u64),
    /// It stood at this sequence before.
    Duplicate(u64),
    /// The subject does not end where it was expected, or another message for it is on its way.
    Raced,
    /// It may have been done.
    Doubtful(BoxError),
    /// It was not done, and may be next time.
    NotDone(BoxError),
    /// It was not done and will not be.
    Refused(BoxError),
}

/// Publishes a message once.
pub(super) async fn publish(connection: &Connection, subject: &str, message: PublishMessage) -> Answer {
    let mut made = connection.made.clone();
    made.mark_unchanged();
    let sent = connection.context.send_publish(subject.to_owned(), message).await;
    let answer = match sent {
        Ok(answer) => answer.into_future(),
        Err(err) => return Answer::NotDone(err.into()),
    };
    let answered = tokio::select! {
        answered = answer => answered,
        // What the old connection was asked, the new one is not told.
        _ = made.changed() => {
            return Answer::Doubtful("the connection was lost before the answer came".into());
        }
    };
    match answered {
        Ok(ack) if ack.duplicate => Answer::Duplicate(ack.sequence),
        Ok(ack) => Answer::Stored(ack.sequence),
        Err(err) => classify(err),
    }
}

fn classify(err: PublishError) -> Answer {
    const RACED: [ErrorCode; 2] =
        [ErrorCode::STREAM_WRONG_LAST_SEQUENCE, ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT];
    const REFUSED: [ErrorCode; 4] = [
        ErrorCode::INSUFFICIENT_RESOURCES,
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
        ErrorCode::STREAM_NOT_MATCH,
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM,
    ];
    let source = err.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    let code = source.map(jetstream::Error::error_code);
    if code.is_some_and(|code| RACED.contains(&code)) {
        return Answer::Raced;
    }
    if code.is_some_and(|code| REFUSED.contains(&code)) {
        return Answer::Refused(err.into());
    }
    match err.kind() {
        // Nobody heard it: the stream has no leader now.
        PublishErrorKind::StreamNotFound | PublishErrorKind::MaxAckPending => Answer::NotDone(err.into()),
        PublishErrorKind::MaxPayloadExceeded
        | PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence => Answer::Refused(err.into()),
        // Among the others: the same message is on its way already (10158); stored or not, the cluster does
        // not know (10077, 10008).
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe | PublishErrorKind::Other => {
            Answer::Doubtful(err.into())
        }
    }
}

/// What became of a message that was published until it was known.
pub(super) enum Outcome {
    /// It stands at this sequence.
    Stored(u64),
    /// The subject does not end where it was expected. When an answer was lost before, it may be this very
    /// message that stands there.
    Raced { may_be_ours: bool },
}

/// Publishes a message, which has an id, again and again until it is known what became of it, within the time
/// that the settings give.
pub(super) async fn insist(
    connection: &Connection,
    subject: &str,
    message: impl Fn() -> PublishMessage,
) -> Result<Outcome, BoxError> {
    let (begin, mut is_doubtful) = (Instant::now(), false);
    loop {
        let left = connection.settings.ride_out.saturating_sub(begin.elapsed());
        let wait = if is_doubtful { left } else { left.min(CONNECTION_WAIT) };
        if !connection.wait_until_up(wait).await {
            return Err("there is no connection to NATS".into());
        }
        let source = match publish(connection, subject, message()).await {
            Answer::Stored(sequence) | Answer::Duplicate(sequence) => return Ok(Outcome::Stored(sequence)),
            Answer::Raced => return Ok(Outcome::Raced { may_be_ours: is_doubtful }),
            Answer::Refused(source) => return Err(source),
            Answer::NotDone(source) => source,
            Answer::Doubtful(source) => {
                is_doubtful = true;
                source
            }
        };
        if begin.elapsed() >= connection.settings.ride_out {
            return Err(source);
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}
