//! Appending lines: message by message, each on the condition of the one before it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use tracing::warn;
use uuid::Uuid;

use crate::error::BoxError;
use crate::jetstream::logs::Shared;
use crate::jetstream::logs::end::End;
use crate::jetstream::logs::piece::{Head, Piece};
use crate::jetstream::publish::{Outcome, insist};
use crate::lines;
use crate::logs::{LogName, NewLine};

/// A message ends after the line with which it has so many bytes; a line has at most 100 KB, encoded.
const PIECE_BYTES: usize = 256 * 1024;
/// Or so many lines.
const PIECE_LINES: u64 = 1_000;
const WAIT_MIN: Duration = Duration::from_millis(1);
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Lines on their way to a log.
pub(super) struct Append<'a> {
    pub(super) shared: &'a Shared,
    pub(super) log: LogName,
    /// Leave out what is not later than what is stored.
    pub(super) only_new: bool,
}

/// A message that is ready to be sent.
struct Ready {
    head: Head,
    payload: Bytes,
    /// How many of the lines that wait are in it, or are dropped because of it.
    taken: usize,
}

impl Append<'_> {
    pub(super) async fn run(&self, lines: Vec<NewLine>) -> Result<(), BoxError> {
        let slot = self.shared.slot(self.log);
        let mut known = slot.lock().await;
        // Until all is done, nothing is known: an error or a drop on the way leaves it so.
        let mut end = match known.take() {
            Some(end) => end,
            None => self.shared.end(self.log).await?,
        };
        let mut waiting: VecDeque<NewLine> = lines.into();
        self.leave_out(&mut waiting, &end);
        let (begin, mut races) = (Instant::now(), 0_u32);
        while !waiting.is_empty() && !end.is_cut {
            let last = end.next + (waiting.len() as u64).min(PIECE_LINES);
            self.shared.reserve(self.log, &mut end, last).await?;
            let ready = self.prepare(&waiting, &end)?;
            if let Some(sequence) = self.send(&ready, &end).await? {
                waiting.drain(..ready.taken);
                end = self.after(&ready, &end, sequence);
                continue;
            }
            if begin.elapsed() >= self.shared.connection.settings.ride_out {
                return Err("other writers of the log are quicker again and again".into());
            }
            races += 1;
            tokio::time::sleep(wait(races)).await;
            end = self.shared.end(self.log).await?;
            self.leave_out(&mut waiting, &end);
        }
        if let Err(err) = self.shared.trim(self.log, &mut end).await {
            warn!(error = %err, "the oldest lines of {} are kept longer than they should be", self.log);
        }
        *known = Some(end);
        Ok(())
    }

    fn leave_out(&self, waiting: &mut VecDeque<NewLine>, end: &End) {
        if self.only_new {
            waiting.retain(|line| end.marks.is_new(line));
        }
    }

    /// As many lines as a message takes, after those that there are.
    fn prepare(&self, waiting: &VecDeque<NewLine>, end: &End) -> Result<Ready, BoxError> {
        let limits = &self.shared.limits;
        let mut head = Head {
            id: Uuid::now_v7(),
            life: end.life,
            first: end.next,
            count: 0,
            bytes: end.bytes,
            reserved: end.reserved,
            is_cut: false,
            marks: end.marks.clone(),
        };
        let (mut encoded, mut taken) = (Vec::new(), 0);
        for line in waiting {
            let (number, bytes) = (head.next(), end.bytes + encoded.len() as u64);
            let is_full = number > limits.build_lines || bytes >= limits.build_bytes;
            head.is_cut = is_full && matches!(self.log, LogName::Build(_));
            let kept =
                if head.is_cut { lines::limit_reached(number) } else { lines::keep(number, line.clone()) };
            serde_json::to_writer(&mut encoded, &kept)?;
            encoded.push(b'\n');
            head.marks.note(&kept.origin, kept.channel, kept.at);
            (head.count, taken) = (head.count + 1, taken + 1);
            if head.is_cut || encoded.len() >= PIECE_BYTES || head.count >= PIECE_LINES {
                break;
            }
        }
        head.bytes += encoded.len() as u64;
        let payload = head.with_lines(&encoded)?;
        Ok(Ready { head, payload, taken })
    }

    /// Sends a message; none when another was quicker.
    async fn send(&self, ready: &Ready, end: &End) -> Result<Option<u64>, BoxError> {
        let subject = self.shared.subject(self.log);
        let message = || {
            PublishMessage::build()
                .payload(ready.payload.clone())
                .message_id(ready.head.id.to_string())
                .expected_stream(&self.shared.stream_name)
                .expected_last_subject_sequence(end.sequence)
        };
        match insist(&self.shared.connection, &subject, message).await? {
            Outcome::Stored(sequence) => Ok(Some(sequence)),
            Outcome::Raced { may_be_ours: false } => Ok(None),
            Outcome::Raced { may_be_ours: true } => {
                let found = self.shared.next_piece(self.log, end.sequence + 1).await?;
                Ok(found.filter(|piece: &Piece| piece.head.id == ready.head.id).map(|piece| piece.sequence))
            }
        }
    }

    fn after(&self, ready: &Ready, before: &End, sequence: u64) -> End {
        let head = &ready.head;
        End {
            sequence,
            life: head.life,
            next: head.next(),
            bytes: head.bytes,
            reserved: head.reserved,
            is_cut: head.is_cut,
            marks: head.marks.clone(),
            gone: before.gone,
        }
    }
}

/// Grows, and is not the same for writers that raced.
fn wait(races: u32) -> Duration {
    let most = WAIT_MIN.saturating_mul(2_u32.saturating_pow(races.min(8))).min(WAIT_MAX);
    // The random half of an id.
    let (_, low) = Uuid::now_v7().as_u64_pair();
    most.mul_f64(0.5 + (low % 1000) as f64 / 2000.0)
}
