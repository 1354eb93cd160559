//! One log: where it ends, what it may still take, and who waits for it to grow.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use tokio::sync::watch;

use crate::files::segment::{Cursor, Segment, Snapshot};
use crate::lines;
use crate::logs::{Limits, Line, LogName, NewLine};
use crate::marks::Marks;

/// How many lines are read at once to see up to when they go.
const MARKED_AT_ONCE: usize = 1000;

pub(super) struct Log {
    dir: PathBuf,
    name: LogName,
    segments: Vec<Segment>,
    /// The last segment, once something was appended.
    file: Option<File>,
    next: u64,
    /// It is at its limit, or removed: nothing is appended any more.
    is_over: bool,
    /// Up to when lines are stored, once somebody asked.
    marks: Option<Marks>,
    grown: watch::Sender<u64>,
}

impl Log {
    /// Opens a log, and takes off a line that was half written.
    pub(super) fn open(dir: PathBuf, name: LogName) -> io::Result<Self> {
        let mut segments = Segment::list(&dir)?;
        let mut next = 1;
        if let Some(last) = segments.last_mut() {
            let path = last.path(&dir);
            let bytes = std::fs::read(&path)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if whole < bytes.len() {
                OpenOptions::new().write(true).open(&path)?.set_len(whole as u64)?;
            }
            last.bytes = whole as u64;
            next = last.first + bytes[..whole].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        let (grown, _) = watch::channel(next - 1);
        let mut log = Self { dir, name, segments, file: None, next, is_over: false, marks: None, grown };
        let last = log.snapshot().read(&mut Cursor::after(next.saturating_sub(2)), 1)?;
        log.is_over = matches!(name, LogName::Build(_)) && last.first().is_some_and(lines::is_limit_reached);
        Ok(log)
    }

    /// The number of the last line.
    pub(super) fn last(&self) -> u64 {
        self.next - 1
    }

    /// Removes its files. Who has it still appends to nothing.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.is_over = true;
        match std::fs::remove_dir_all(&self.dir) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(super) fn is_followed(&self) -> bool {
        self.grown.receiver_count() > 0
    }

    pub(super) fn grown(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { dir: self.dir.clone(), segments: self.segments.clone(), next: self.next }
    }

    /// Appends those lines that are later than what is stored.
    pub(super) fn append_new(&mut self, mut lines: Vec<NewLine>, limits: &Limits) -> io::Result<()> {
        let marks = match self.marks.take() {
            Some(marks) => marks,
            None => self.read_marks()?,
        };
        lines.retain(|line| marks.is_new(line));
        self.marks = Some(marks);
        self.append(lines, limits)
    }

    fn read_marks(&self) -> io::Result<Marks> {
        let (snapshot, mut cursor, mut marks) = (self.snapshot(), Cursor::after(0), Marks::default());
        loop {
            let lines = snapshot.read(&mut cursor, MARKED_AT_ONCE)?;
            if lines.is_empty() {
                return Ok(marks);
            }
            lines.iter().for_each(|line| marks.note(&line.origin, line.channel, line.at));
        }
    }

    pub(super) fn append(&mut self, lines: Vec<NewLine>, limits: &Limits) -> io::Result<()> {
        let mut lines = lines.into_iter().peekable();
        while lines.peek().is_some() && !self.is_over {
            self.make_room(limits)?;
            // As many as the segment takes go into the file at once.
            let room = limits.segment_bytes.saturating_sub(self.segments.last().map_or(0, |last| last.bytes));
            let (mut bytes, mut number) = (Vec::new(), self.next);
            let mut is_cut = false;
            let mut marks = self.marks.clone();
            while bytes.len() as u64 <= room
                && !is_cut
                && let Some(line) = lines.next()
            {
                is_cut = self.is_full(number, bytes.len() as u64, limits);
                let kept = if is_cut { lines::limit_reached(number) } else { lines::keep(number, line) };
                write_line(&mut bytes, &kept)?;
                if let Some(marks) = &mut marks {
                    marks.note(&kept.origin, kept.channel, kept.at);
                }
                number += 1;
            }
            self.write(&bytes)?;
            (self.next, self.is_over, self.marks) = (number, is_cut, marks);
            self.grown.send_replace(number - 1);
        }
        Ok(())
    }

    /// Whether a build's log is at its limit. Other logs never are.
    fn is_full(&self, number: u64, more: u64, limits: &Limits) -> bool {
        let bytes: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let is_over = number > limits.build_lines || bytes + more >= limits.build_bytes;
        matches!(self.name, LogName::Build(_)) && is_over
    }

    /// Begins a new segment when the last one is full, and lets the oldest of an application's log fall away.
    fn make_room(&mut self, limits: &Limits) -> io::Result<()> {
        let is_full = self.segments.last().is_none_or(|last| last.bytes > limits.segment_bytes);
        if is_full {
            std::fs::create_dir_all(&self.dir)?;
            let segment = Segment { first: self.next, bytes: 0 };
            self.file = Some(File::create(segment.path(&self.dir))?);
            self.segments.push(segment);
        } else if self.file.is_none()
            && let Some(last) = self.segments.last()
        {
            let file = OpenOptions::new().append(true).open(last.path(&self.dir))?;
            file.set_len(last.bytes)?;
            self.file = Some(file);
        }
        if matches!(self.name, LogName::Application(_)) {
            while self.segments.len() > limits.segments.max(1) {
                std::fs::remove_file(self.segments[0].path(&self.dir))?;
                self.segments.remove(0);
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (Some(file), Some(last)) = (&mut self.file, self.segments.last_mut()) else {
            return Err(io::Error::other("the log has no segment"));
        };
        match file.write_all(bytes) {
            Ok(()) => {
                last.bytes += bytes.len() as u64;
                Ok(())
            }
            Err(err) => {
                // What was half written is taken off when the file is opened again.
                self.file = None;
                Err(err)
            }
        }
    }
}

fn write_line(bytes: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *bytes, line)?;
    bytes.push(b'\n');
    Ok(())
}
