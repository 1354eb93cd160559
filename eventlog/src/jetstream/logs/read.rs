//! Reading lines by their numbers.
//!
//! Where a log begins and ends is asked of the leader; what stands between the two, replicas answer, and the
//! leader what they do not have yet. The message with a number is found by halving.

use uuid::Uuid;

use crate::error::BoxError;
use crate::jetstream::batch;
use crate::jetstream::logs::Shared;
use crate::jetstream::logs::piece::Piece;
use crate::logs::{Line, LogName, MAX_LINES};

/// How many messages are read at once; they may have 256 KB each.
const PIECES_AT_ONCE: usize = 16;
/// So many lines before the one that is wanted are rather read than another halving is done.
const NEAR: u64 = 500;

/// Where a reader is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    /// The number of the last line that was read.
    pub(super) after: u64,
    /// Where the message may stand that has the next one; none when that is not known.
    pub(super) from: Option<u64>,
    /// Which log it is, of those that ever had the name; none before one was seen.
    pub(super) life: Option<Uuid>,
}

impl Cursor {
    /// A piece was looked at: its lines.
    fn pass(&mut self, piece: &Piece, room: usize, lines: &mut Vec<Line>) {
        let life = *self.life.get_or_insert(piece.head.life);
        if piece.head.life == life {
            lines.extend(piece.lines_after(self.after).take(room));
        }
        let last = piece.head.next() - 1;
        let is_full = lines.last().is_some_and(|line| line.number < last) && piece.head.life == life;
        self.after = lines.last().map_or(self.after, |line| line.number.max(self.after));
        // What is left of it is read the next time.
        self.from = Some(if is_full { piece.sequence } else { piece.sequence + 1 });
    }
}

impl Shared {
    /// As [`crate::logs::LogStore::read`].
    pub(super) async fn read(&self, log: LogName, after: u64, limit: usize) -> Result<Vec<Line>, BoxError> {
        match self.last_piece(log).await? {
            Some(last) => self.read_until(log, &last, after, limit).await,
            None => Ok(Vec::new()),
        }
    }

    /// As [`crate::logs::LogStore::last`].
    pub(super) async fn last(&self, log: LogName, count: usize) -> Result<Vec<Line>, BoxError> {
        let count = count.min(MAX_LINES);
        let Some(last) = self.last_piece(log).await? else { return Ok(Vec::new()) };
        let after = (last.head.next() - 1).saturating_sub(count as u64);
        self.read_until(log, &last, after, count).await
    }

    async fn read_until(
        &self,
        log: LogName,
        last: &Piece,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Line>, BoxError> {
        let limit = limit.min(MAX_LINES);
        let mut cursor = Cursor { after, from: None, life: Some(last.head.life) };
        let mut lines = Vec::new();
        if after + 1 >= last.head.first {
            cursor.pass(last, limit, &mut lines);
            return Ok(lines);
        }
        let mut from = self.locate(log, last, after).await?;
        while lines.len() < limit && from <= last.sequence {
            if from == last.sequence {
                cursor.pass(last, limit - lines.len(), &mut lines);
                break;
            }
            self.advance(log, &mut cursor, from, limit, &mut lines).await?;
            let Some(next) = cursor.from.filter(|next| *next > from) else { break };
            from = next;
        }
        Ok(lines)
    }

    /// Reads on from a sequence: what a replica has, or else the next that the leader has.
    async fn advance(
        &self,
        log: LogName,
        cursor: &mut Cursor,
        from: u64,
        limit: usize,
        lines: &mut Vec<Line>,
    ) -> Result<(), BoxError> {
        let subject = self.subject(log);
        let found = batch::get(&self.connection, &self.stream_name, &subject, from, PIECES_AT_ONCE).await?;
        let is_empty = found.messages.is_empty();
        for stored in found.messages {
            if lines.len() >= limit {
                break;
            }
            cursor.pass(&Piece::decode(stored)?, limit - lines.len(), lines);
        }
        if is_empty && let Some(piece) = self.next_piece(log, from).await? {
            cursor.pass(&piece, limit - lines.len(), lines);
        }
        Ok(())
    }

    /// Reads on from a cursor: what there is now.
    pub(super) async fn read_on(
        &self,
        log: LogName,
        cursor: &mut Cursor,
        limit: usize,
    ) -> Result<Vec<Line>, BoxError> {
        let from = match cursor.from {
            Some(from) => from,
            None => {
                let Some(last) = self.last_piece(log).await? else { return Ok(Vec::new()) };
                if *cursor.life.get_or_insert(last.head.life) != last.head.life {
                    return Ok(Vec::new());
                }
                self.locate(log, &last, cursor.after).await?
            }
        };
        let mut lines = Vec::new();
        let mut next = from;
        while lines.is_empty() {
            self.advance(log, cursor, next, limit, &mut lines).await?;
            // There may be messages of which every line was read.
            match cursor.from {
                Some(from) if from > next => next = from,
                Some(_) | None => break,
            }
        }
        Ok(lines)
    }

    /// A sequence at or before the message that has the line after a number, and not far before it.
    async fn locate(&self, log: LogName, last: &Piece, after: u64) -> Result<u64, BoxError> {
        if last.head.first <= after + 1 {
            return Ok(last.sequence);
        }
        let Some(mut low) = self.next_piece(log, 1).await? else { return Ok(last.sequence) };
        if low.head.life != last.head.life {
            return Ok(last.sequence); // It was removed and written anew, just now.
        }
        let mut high = last.sequence;
        while high - low.sequence > 1 && low.head.next() + NEAR <= after {
            let middle = low.sequence + (high - low.sequence) / 2;
            match self.next_piece(log, middle).await? {
                Some(piece) if piece.sequence < high && piece.head.first <= after + 1 => low = piece,
                Some(_) => high = middle,
                None => break, // It fell away meanwhile.
            }
        }
        Ok(low.sequence)
    }
}
