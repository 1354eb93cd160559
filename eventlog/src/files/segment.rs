//! Segments of a log: files named after the number of their first line.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::logs::Line;

/// A segment of a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// The number of its first line.
    pub(super) first: u64,
    /// How many bytes of it are whole lines.
    pub(super) bytes: u64,
}

impl Segment {
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:020}.ndjson", self.first))
    }

    /// The segments of a directory, oldest first. What has another name is not ours.
    pub(super) fn list(dir: &Path) -> io::Result<Vec<Self>> {
        let mut segments = Vec::new();
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(segments),
            Err(err) => return Err(err),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let first = name.to_str().and_then(|name| name.strip_suffix(".ndjson")?.parse().ok());
            if let Some(first) = first {
                segments.push(Self { first, bytes: entry.metadata()?.len() });
            }
        }
        segments.sort_unstable_by_key(|segment| segment.first);
        Ok(segments)
    }
}

/// Where a reader is: before the line `number`, which begins at `offset` of the segment that begins with line
/// `segment`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    number: u64,
    segment: u64,
    offset: u64,
}

impl Cursor {
    /// Before the line that comes after another.
    pub(super) fn after(number: u64) -> Self {
        Self { number: number.saturating_add(1), segment: 0, offset: 0 }
    }
}

/// A log as it was at a moment.
pub(super) struct Snapshot {
    pub(super) dir: PathBuf,
    pub(super) segments: Vec<Segment>,
    /// The number of the next line that is appended.
    pub(super) next: u64,
}

impl Snapshot {
    /// Reads on from a cursor.
    pub(super) fn read(&self, cursor: &mut Cursor, limit: usize) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        // What fell away is left out: numbers show it.
        cursor.number = cursor.number.max(self.segments.first().map_or(self.next, |segment| segment.first));
        while lines.len() < limit && cursor.number < self.next {
            let at = self.segments.partition_point(|segment| segment.first <= cursor.number);
            let end = self.segments.get(at).map_or(self.next, |segment| segment.first);
            let Some(segment) = at.checked_sub(1).and_then(|at| self.segments.get(at)) else { break };
            match self.read_segment(*segment, end, cursor, limit, &mut lines) {
                Ok(()) => {}
                // It fell away since.
                Err(err) if err.kind() == io::ErrorKind::NotFound => cursor.number = end,
                Err(err) => return Err(err),
            }
        }
        Ok(lines)
    }

    fn read_segment(
        &self,
        segment: Segment,
        end: u64,
        cursor: &mut Cursor,
        limit: usize,
        lines: &mut Vec<Line>,
    ) -> io::Result<()> {
        let mut file = File::open(segment.path(&self.dir))?;
        let is_inside = cursor.segment == segment.first;
        let mut number = if is_inside { cursor.number } else { segment.first };
        let mut offset = if is_inside { cursor.offset } else { 0 };
        file.seek(SeekFrom::Start(offset))?;
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        while number < cursor.number {
            offset += reader.skip_until(b'\n')? as u64;
            number += 1;
        }
        let mut text = Vec::new();
        while number < end && lines.len() < limit {
            text.clear();
            let read = reader.read_until(b'\n', &mut text)?;
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a segment of the log is cut off"));
            }
            offset += read as u64;
            // A line that is no line any more is left out: its number shows it.
            if let Ok(line) = serde_json::from_slice::<Line>(&text) {
                lines.push(Line { number, ..line });
            }
            number += 1;
        }
        *cursor = Cursor { number, segment: segment.first, offset };
        Ok(())
    }
}
