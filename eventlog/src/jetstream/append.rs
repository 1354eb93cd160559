//! Appending: one message, given again with the same id until it is known what became of it.
//!
//! NATS says that an append lost a race in two ways (10071, and 10164 on a cluster), also when it was our own
//! append, whose answer got lost, that won. So a lost race is believed only when the commit that stands
//! behind the expected one was looked at, and is another.

use std::time::{Duration, Instant};

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use domain::stream::Position;

use crate::commit::{Commit, Head, RecordedCommit};
use crate::envelope::{self, Encoded};
use crate::error::{AppendError, BoxError};
use crate::jetstream::batch::{Stored, next_from_leader};
use crate::jetstream::connection::Connection;
use crate::jetstream::publish::{Answer, CONNECTION_WAIT, publish};

const WAIT_MIN: Duration = Duration::from_millis(4);
const WAIT_MAX: Duration = Duration::from_millis(250);
/// A leader that was just elected may not show yet what it has; only then is a race without a winner looked
/// at again.
const LOOKS_MAX: u32 = 4;

/// An append on its way.
pub(super) struct Append<'a> {
    pub(super) connection: &'a Connection,
    pub(super) stream: &'a Stream<()>,
    pub(super) stream_name: &'a str,
    pub(super) subject: String,
    pub(super) commit: &'a Commit,
    pub(super) encoded: Encoded,
    pub(super) expected: Head,
}

/// What became of an append that did not fail.
pub(super) enum Outcome {
    /// It stands in the log, now or from before.
    Stands(Head),
    /// Another commit stands there.
    Lost(Option<RecordedCommit>),
}

/// How an append ends without an outcome.
struct Failure {
    source: BoxError,
    is_doubtful: bool,
}

impl Append<'_> {
    /// Appends, however often it has to be tried within the time that the settings give.
    pub(super) async fn run(&self) -> Result<Outcome, AppendError> {
        let stream = self.commit.stream;
        self.insist().await.map_err(|Failure { source, is_doubtful }| {
            if is_doubtful {
                AppendError::Unknown { stream, source }
            } else {
                AppendError::Unavailable { stream, source }
            }
        })
    }

    async fn insist(&self) -> Result<Outcome, Failure> {
        let begin = Instant::now();
        let mut is_doubtful = false;
        let mut looks = 0;
        for attempt in 0_u32.. {
            let left = self.connection.settings.ride_out.saturating_sub(begin.elapsed());
            let wait = if is_doubtful { left } else { left.min(CONNECTION_WAIT) };
            if !self.connection.wait_until_up(wait).await {
                let source = "there is no connection to NATS".into();
                return Err(Failure { source, is_doubtful });
            }
            let source = match self.attempt().await {
                Answer::Stored(sequence) => return Ok(Outcome::Stands(self.head(sequence))),
                Answer::Duplicate(sequence) => match self.look(sequence).await {
                    Ok(Some(found)) => return Ok(self.judge(found)),
                    Ok(None) => "a duplicate is not where NATS says".into(),
                    Err(err) => err,
                },
                Answer::Raced => match self.look(self.expected.position.0 + 1).await {
                    Ok(Some(found)) => return Ok(self.judge(found)),
                    Ok(None) if looks >= LOOKS_MAX => return Ok(Outcome::Lost(None)),
                    Ok(None) => {
                        looks += 1;
                        "another append to the stream is on its way".into()
                    }
                    Err(err) => err,
                },
                Answer::Refused(source) => return Err(Failure { source, is_doubtful }),
                Answer::NotDone(source) => source,
                Answer::Doubtful(source) => {
                    is_doubtful = true;
                    source
                }
            };
            if begin.elapsed() >= self.connection.settings.ride_out {
                return Err(Failure { source, is_doubtful });
            }
            tokio::time::sleep(self.wait(attempt)).await;
        }
        unreachable!("the loop has no end of its own")
    }

    async fn attempt(&self) -> Answer {
        let message = PublishMessage::build()
            .payload(self.encoded.payload.clone().into())
            .message_id(self.commit.id.to_string())
            .expected_stream(self.stream_name)
            .expected_last_subject_sequence(self.expected.position.0);
        publish(self.connection, &self.subject, message).await
    }

    /// The first commit of the stream from a sequence on, as the leader has it.
    async fn look(&self, from: u64) -> Result<Option<Stored>, BoxError> {
        next_from_leader(self.connection, self.stream, &self.subject, from).await
    }

    fn judge(&self, found: Stored) -> Outcome {
        match envelope::decode(Position(found.sequence), &found.payload, None) {
            Ok(found) if found.id == self.commit.id => Outcome::Stands(found.head),
            Ok(found) => Outcome::Lost(Some(found)),
            // Whatever it is, it is not ours; whoever reads it will be told.
            Err(_) => Outcome::Lost(None),
        }
    }

    fn head(&self, sequence: u64) -> Head {
        Head { version: self.encoded.version, position: Position(sequence), hash: self.encoded.hash }
    }

    /// Grows, and is another for each commit, so that writers that raced do not race again.
    fn wait(&self, attempt: u32) -> Duration {
        let (_, low) = self.commit.id.0.as_u64_pair();
        let most = WAIT_MIN.saturating_mul(2_u32.saturating_pow(attempt.min(8))).min(WAIT_MAX);
        let part = low.rotate_left(attempt * 7) % 1000;
        most.mul_f64(0.5 + part as f64 / 2000.0)
    }
}
