//! Where a log ends: what the next lines have to follow.

use std::time::Duration;

use domain::id::ServiceId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::entries::{EntryError, EntryStore as _, Key};
use crate::error::BoxError;
use crate::jetstream::batch::{Stored, next_from_leader};
use crate::jetstream::logs::Shared;
use crate::jetstream::logs::piece::Piece;
use crate::logs::LogName;
use crate::marks::Marks;

/// How many numbers of an application's log are reserved at once. So many may be missing when all of its
/// lines have fallen away.
const RESERVED_AT_ONCE: u64 = 5_000;
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// Where a log ends.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// The last message of its subject; zero when there is none.
    pub(super) sequence: u64,
    pub(super) life: Uuid,
    /// The number of the next line.
    pub(super) next: u64,
    pub(super) bytes: u64,
    pub(super) reserved: u64,
    pub(super) is_cut: bool,
    pub(super) marks: Marks,
    /// How many bytes of lines have fallen away, as far as this process knows.
    pub(super) gone: Option<u64>,
}

/// What the entry of an application's log says of its numbers.
#[derive(Debug, Serialize, Deserialize)]
struct Numbers {
    life: Uuid,
    reserved: u64,
}

impl Numbers {
    fn encoded(&self) -> Result<bytes::Bytes, BoxError> {
        Ok(serde_json::to_vec(self)?.into())
    }
}

fn key_of(log: LogName) -> Option<Key> {
    match log {
        LogName::Application(ServiceId(id)) => Some(Key::of("log", id)),
        LogName::Build(_) => None, // When its lines have fallen away, nobody appends to it.
    }
}

impl From<&Piece> for End {
    fn from(piece: &Piece) -> Self {
        let head = &piece.head;
        Self {
            sequence: piece.sequence,
            life: head.life,
            next: head.next(),
            bytes: head.bytes,
            reserved: head.reserved,
            is_cut: head.is_cut,
            marks: head.marks.clone(),
            gone: None,
        }
    }
}

impl Shared {
    /// The last message of a log, as the leader has it.
    pub(super) async fn last_piece(&self, log: LogName) -> Result<Option<Piece>, BoxError> {
        let subject = self.subject(log);
        let last = async || {
            use async_nats::jetstream::stream::LastRawMessageErrorKind::NoMessageFound;

            match self.stream.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => Ok(Some(Stored {
                    sequence: message.sequence,
                    subject: message.subject.to_string(),
                    payload: message.payload,
                })),
                Err(err) if err.kind() == NoMessageFound => Ok(None),
                Err(err) => Err(err.into()),
            }
        };
        self.connection.ask(last).await?.map(Piece::decode).transpose()
    }

    /// The first message of a log from a sequence on, as the leader has it.
    pub(super) async fn next_piece(&self, log: LogName, from: u64) -> Result<Option<Piece>, BoxError> {
        let stored = next_from_leader(&self.connection, &self.stream, &self.subject(log), from).await?;
        stored.map(Piece::decode).transpose()
    }

    /// Where a log ends; where it begins when nobody has written it.
    pub(super) async fn end(&self, log: LogName) -> Result<End, BoxError> {
        if let Some(piece) = self.last_piece(log).await? {
            return Ok(End::from(&piece));
        }
        let numbers = self.numbers(log).await?;
        let (life, reserved) = numbers.map_or_else(|| (Uuid::now_v7(), 0), |n| (n.life, n.reserved));
        let (marks, gone) = (Marks::default(), Some(0));
        Ok(End { sequence: 0, life, next: reserved + 1, bytes: 0, reserved, is_cut: false, marks, gone })
    }

    /// What tells a log from one that had its name before; none when there is no such log.
    pub(super) async fn life(&self, log: LogName) -> Result<Option<Uuid>, BoxError> {
        match self.last_piece(log).await? {
            Some(piece) => Ok(Some(piece.head.life)),
            None => Ok(self.numbers(log).await?.map(|numbers| numbers.life)),
        }
    }

    async fn numbers(&self, log: LogName) -> Result<Option<Numbers>, BoxError> {
        let Some(key) = key_of(log) else { return Ok(None) };
        let Some(entry) = self.entries.get(&key).await? else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&entry.value)?))
    }

    /// Reserves the numbers up to `last`, and some more.
    pub(super) async fn reserve(&self, log: LogName, end: &mut End, last: u64) -> Result<(), BoxError> {
        let Some(key) = key_of(log).filter(|_| end.reserved < last) else { return Ok(()) };
        let wanted = Numbers { life: end.life, reserved: last + RESERVED_AT_ONCE };
        loop {
            let written = match self.entries.get(&key).await? {
                None => self.entries.create(&key, wanted.encoded()?).await,
                Some(entry) => {
                    let found: Numbers = serde_json::from_slice(&entry.value)?;
                    if found.life == end.life && found.reserved >= last {
                        end.reserved = found.reserved;
                        return Ok(());
                    }
                    self.entries.replace(&key, wanted.encoded()?, entry.revision).await
                }
            };
            match written {
                Ok(_) => {
                    end.reserved = wanted.reserved;
                    return Ok(());
                }
                Err(EntryError::Exists { .. } | EntryError::Changed { .. }) => {}
                Err(EntryError::Store(err)) => return Err(err.into()),
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// The next line of a log is its first.
    pub(super) async fn forget_numbers(&self, log: LogName) -> Result<(), BoxError> {
        if let Some(key) = key_of(log) {
            self.entries.delete(&key).await?;
        }
        Ok(())
    }
}
