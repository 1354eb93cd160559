//! A message of a log: some lines, and before them what whoever reads or appends next has to know.
//!
//! One JSON object on the first line, then one for each line of the log.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::BoxError;
use crate::jetstream::batch::Stored;
use crate::logs::Line;
use crate::marks::Marks;

/// What stands before the lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    /// Tells this message from any other.
    pub(super) id: Uuid,
    /// Tells this log from one that had its name before and was removed.
    pub(super) life: Uuid,
    /// The number of the first line.
    pub(super) first: u64,
    /// How many lines there are.
    pub(super) count: u64,
    /// How many bytes of lines the log ever had, with these.
    pub(super) bytes: u64,
    /// Up to which number is reserved.
    pub(super) reserved: u64,
    /// The log is at its limit: nothing comes after.
    pub(super) is_cut: bool,
    pub(super) marks: Marks,
}

/// A message of a log, as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) sequence: u64,
    pub(super) head: Head,
    lines: Bytes,
}

impl Head {
    /// The number after the last line.
    pub(super) const fn next(&self) -> u64 {
        self.first + self.count
    }

    /// The message with these lines.
    pub(super) fn with_lines(&self, lines: &[u8]) -> Result<Bytes, BoxError> {
        let mut payload = serde_json::to_vec(self)?;
        payload.push(b'\n');
        payload.extend_from_slice(lines);
        Ok(payload.into())
    }
}

impl Piece {
    pub(super) fn decode(stored: Stored) -> Result<Self, BoxError> {
        let Stored { sequence, payload, subject } = stored;
        let end = payload.iter().position(|byte| *byte == b'\n').unwrap_or(payload.len());
        let head = serde_json::from_slice(&payload[..end])
            .map_err(|source| format!("message {sequence} of {subject} is no part of a log: {source}"))?;
        let lines = payload.slice((end + 1).min(payload.len())..);
        Ok(Self { sequence, head, lines })
    }

    /// How many bytes of lines the log had before these.
    pub(super) fn bytes_before(&self) -> u64 {
        self.head.bytes.saturating_sub(self.lines.len() as u64)
    }

    /// Its lines after a number.
    pub(super) fn lines_after(&self, number: u64) -> impl Iterator<Item = Line> + '_ {
        let numbered = (self.head.first..).zip(self.lines.split(|byte| *byte == b'\n'));
        let later = numbered.skip_while(move |(found, _)| *found <= number);
        // A line that is no line any more is left out: its number shows it.
        later.filter_map(|(number, line)| Some(Line { number, ..serde_json::from_slice(line).ok()? }))
    }
}
