//! Appending: one event with the commit's id, given again with the same id until it is known what became of
//! it.
//!
//! `KurrentDB` answers an event that it has at the same place with success again, but only as long as it can
//! tell; else it says that the stream is elsewhere, also when it was our own append, whose answer got lost,
//! that won. So a lost race is believed only when the commit that stands behind the expected one was looked
//! at, and is another.

use std::time::{Duration, Instant};

use eventstore::{AppendToStreamOptions, Error, EventData, ExpectedRevision, WriteResult};
use serde_json::value::RawValue;

use crate::commit::{Commit, Head};
use crate::envelope::Encoded;
use crate::error::{AppendError, BoxError};
use crate::kurrentdb::connection::Problem;
use crate::kurrentdb::proof::Proof;
use crate::kurrentdb::read::{From, Shared};
use crate::kurrentdb::revisions::End;

/// The type of each event in `KurrentDB`; what happened is in its data.
const EVENT_TYPE: &str = "switchback.commit";
/// When no server was found and none was asked, an append waits no longer than this for one.
const CONNECTION_WAIT: Duration = Duration::from_secs(2);
const WAIT_MIN: Duration = Duration::from_millis(4);
const WAIT_MAX: Duration = Duration::from_millis(250);
/// A leader that was just elected may not show yet what it has; only then is a race without a winner looked
/// at again.
const LOOKS_MAX: u32 = 4;
/// How many commits are looked at at once to find the expected one.
const PART_BACK: usize = 64;
const INVALID_ARGUMENT: i32 = 3;

/// An append on its way.
pub(super) struct Append<'a> {
    shared: &'a Shared,
    name: String,
    commit: &'a Commit,
    encoded: Encoded,
    expected: Head,
}

/// What became of an append that did not fail.
pub(super) enum Outcome {
    /// It stands in the log, now or from before.
    Stands(End),
    /// Another commit stands there, when it is known which.
    Lost(Option<End>),
}

/// What a try was answered with.
enum Answer {
    Done(Outcome),
    /// The stream does not end where it was expected.
    Raced,
    /// It may have been done.
    Doubtful(BoxError),
    /// It was not done, and may be next time.
    NotDone(BoxError),
    /// There is nobody to ask.
    Away(BoxError),
    /// It was not done and will not be.
    Refused(BoxError),
    /// It was done, but not where it belongs.
    Astray(BoxError),
}

/// How an append ends without an outcome.
struct Failure {
    source: BoxError,
    is_doubtful: bool,
}

impl<'a> Append<'a> {
    pub(super) fn new(shared: &'a Shared, commit: &'a Commit, encoded: Encoded, expected: Head) -> Self {
        Self { shared, name: shared.name_of(&commit.stream), commit, encoded, expected }
    }

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
        let ride_out = self.shared.connection.ride_out;
        let mut is_doubtful = false;
        let mut looks = 0;
        for attempt in 0_u32.. {
            let mut limit = ride_out;
            let mut answer = self.attempt(is_doubtful).await;
            if matches!(answer, Answer::Raced) {
                answer = self.look().await;
            }
            let source = match answer {
                Answer::Done(outcome) => return Ok(outcome),
                Answer::Refused(source) => return Err(Failure { source, is_doubtful }),
                Answer::Astray(source) => return Err(Failure { source, is_doubtful: true }),
                Answer::Raced if looks >= LOOKS_MAX => return Ok(Outcome::Lost(None)),
                Answer::Raced => {
                    looks += 1;
                    "another append to the stream is on its way".into()
                }
                Answer::Doubtful(source) => {
                    is_doubtful = true;
                    source
                }
                Answer::NotDone(source) => source,
                Answer::Away(source) => {
                    limit = if is_doubtful { ride_out } else { ride_out.min(CONNECTION_WAIT) };
                    source
                }
            };
            if begin.elapsed() >= limit {
                return Err(Failure { source, is_doubtful });
            }
            tokio::time::sleep(self.wait(attempt)).await;
        }
        unreachable!("the loop has no end of its own")
    }

    /// One try. What was done before, by a try that was not answered, is looked at when it is found.
    async fn attempt(&self, is_doubtful: bool) -> Answer {
        if let Err(problem) = self.shared.connection.find().await {
            return Answer::Away(problem.into());
        }
        let next = match self.next_revision().await {
            Ok(Some(next)) => next,
            Ok(None) => return Answer::Done(Outcome::Lost(None)),
            Err(source) => return Answer::NotDone(source),
        };
        match self.write(next).await {
            Ok(result) => self.place(&result, next, is_doubtful).await,
            Err(problem) => classify(problem),
        }
    }

    async fn write(&self, next: u64) -> Result<WriteResult, Problem> {
        let expected = next.checked_sub(1).map_or(ExpectedRevision::NoStream, ExpectedRevision::Exact);
        let options = AppendToStreamOptions::default().expected_revision(expected).requires_leader(true);
        let (name, id, payload) = (self.name.clone(), self.commit.id.0, self.encoded.payload.clone());
        let proof = Proof::of(self.encoded.hash);
        let question = |client: eventstore::Client| async move {
            let unreadable = |error: serde_json::Error| Error::InternalParsingError(error.to_string());
            // Raw, so that what is stored is what was hashed.
            let payload = RawValue::from_string(payload).map_err(unreadable)?;
            let event = EventData::json(EVENT_TYPE, &payload).map_err(unreadable)?;
            let event = event.metadata_as_json(&proof).map_err(unreadable)?;
            client.append_to_stream(name, &options, event.id(id)).await
        };
        self.shared.connection.once(question).await
    }

    /// Where an append stands that was answered with success.
    async fn place(&self, result: &WriteResult, next: u64, is_doubtful: bool) -> Answer {
        if result.next_expected_version != next {
            let found = result.next_expected_version;
            return Answer::Astray(format!("it stands at revision {found} of its stream, not {next}").into());
        }
        let position = result.position.commit;
        // The client says 0 where the server does not say; and -1 may be what the server says.
        if is_doubtful || position == 0 || i64::try_from(position).is_err() {
            return self.look().await;
        }
        let (version, hash) = (self.encoded.version, self.encoded.hash);
        let head = Head { version, position: domain::stream::Position(position), hash };
        Answer::Done(Outcome::Stands(End { head, next: next + 1 }))
    }

    /// Looks at the commit that stands where this one was to stand.
    async fn look(&self) -> Answer {
        let next = match self.next_revision().await {
            Ok(Some(next)) => next,
            Ok(None) => return Answer::Done(Outcome::Lost(None)),
            Err(source) => return Answer::NotDone(source),
        };
        match self.shared.part(&self.name, From::Revision(next), 1).await {
            Ok(found) => match found.first().map(|event| self.shared.stored(event)) {
                Some(Ok(found)) if found.revision == next && found.commit.id == self.commit.id => {
                    Answer::Done(Outcome::Stands(found.end()))
                }
                Some(Ok(found)) => Answer::Done(Outcome::Lost(Some(found.end()))),
                // Whatever it is, it is not ours; whoever reads it will be told.
                Some(Err(_)) => Answer::Done(Outcome::Lost(None)),
                None => Answer::Raced,
            },
            Err(source) => Answer::NotDone(source),
        }
    }

    /// The revision that comes after the expected end; none when the stream has no such end.
    async fn next_revision(&self) -> Result<Option<u64>, BoxError> {
        if let Some(end) = self.shared.revisions.at(&self.expected) {
            return Ok(Some(end.next));
        }
        let mut from = From::End;
        loop {
            let part = self.shared.part(&self.name, from, PART_BACK).await?;
            for event in &part {
                let stored = self.shared.stored(event)?;
                let end = stored.end();
                if end.head == self.expected {
                    self.shared.note(&self.commit.stream, end);
                    return Ok(Some(end.next));
                }
                if end.head.version <= self.expected.version || stored.revision == 0 {
                    return Ok(None);
                }
                from = From::Back(stored.revision - 1);
            }
            if part.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Grows, and is another for each commit, so that writers that raced do not race again.
    fn wait(&self, attempt: u32) -> Duration {
        let (_, low) = self.commit.id.0.as_u64_pair();
        let most = WAIT_MIN.saturating_mul(2_u32.saturating_pow(attempt.min(8))).min(WAIT_MAX);
        let part = low.rotate_left(attempt * 7) % 1000;
        most.mul_f64(0.5 + part as f64 / 2000.0)
    }
}

/// What an error means for the append. What is not known to be before the write may be after it.
fn classify(problem: Problem) -> Answer {
    let Problem::Answer(error) = &problem else { return Answer::Doubtful(problem.into()) };
    match error {
        Error::WrongExpectedVersion { .. } => Answer::Raced,
        Error::NotLeaderException(_) | Error::ConnectionClosed | Error::GrpcConnectionError(_) => {
            Answer::NotDone(problem.into())
        }
        Error::Grpc { code, .. } if *code as i32 == INVALID_ARGUMENT => Answer::Refused(problem.into()),
        Error::AccessDenied
        | Error::ResourceDeleted
        | Error::UnsupportedFeature
        | Error::InternalParsingError(_) => Answer::Refused(problem.into()),
        Error::ServerError(_)
        | Error::Grpc { .. }
        | Error::ResourceAlreadyExists
        | Error::ResourceNotFound
        | Error::InternalClientError
        | Error::DeadlineExceeded
        | Error::InitializationError(_)
        | Error::IllegalStateError(_) => Answer::Doubtful(problem.into()),
    }
}
