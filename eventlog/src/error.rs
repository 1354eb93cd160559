//! What can go wrong with a log, a queue or a store.

use std::path::PathBuf;

use domain::event::DecodeError;
use domain::stream::{Position, StreamId, Version};

/// An error of whatever lies below.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An append that was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream is not where it was expected; nothing was written. Reload, decide again, append again.
    #[error("append to {stream} lost a race: expected version {expected}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// Where it was expected.
        expected: Version,
    },
    /// No answer came: the commit may or may not be in the log. Appending it again with the same id tells.
    #[error("append to {stream} was not answered, so it may or may not have happened")]
    Unknown {
        /// The stream.
        stream: StreamId,
        /// What was seen instead of an answer.
        #[source]
        source: BoxError,
    },
    /// The log cannot be reached or cannot write; nothing was written.
    #[error("append to {stream}: the log is not available")]
    Unavailable {
        /// The stream.
        stream: StreamId,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The commit is too large; nothing was written.
    #[error("append to {stream}: {size} bytes are more than a commit may have ({most})")]
    TooLarge {
        /// The stream.
        stream: StreamId,
        /// Its size, encoded.
        size: usize,
        /// The most.
        most: usize,
    },
}

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log cannot be reached.
    #[error("read of the log: it is not available")]
    Unavailable {
        /// Why.
        #[source]
        source: BoxError,
    },
    /// What stands at a position is not what was written there.
    #[error("the log is damaged at position {position}: {problem}")]
    Damaged {
        /// Where.
        position: Position,
        /// What is wrong: a hole, a changed byte, a foreign form.
        problem: String,
    },
    /// An event that this program cannot read.
    #[error("read of the event at position {position}")]
    Decode {
        /// Where.
        position: Position,
        /// Why.
        #[source]
        source: DecodeError,
    },
}

/// The work queue or the log store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or cannot write.
    #[error("{doing}: the store is not available")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The lease is not held any more: another worker may have the item.
    #[error("the lease of {item} is lost")]
    LeaseLost {
        /// The item.
        item: String,
    },
}

/// A log, queue or store on files that cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it, or this one has it already.
    #[error(
        "{} is in use by process {}; only one process at a time can have a data directory",
        path.display(),
        Pid(*pid)
    )]
    InUse {
        /// What is in use.
        path: PathBuf,
        /// Who has it, when it can be told.
        pid: Option<u32>,
    },
    /// A newer version of Switchback wrote it.
    #[error(
        "{} was written by a newer version of Switchback (format {found}, this one knows up to {known}); \
         start that version, or restore a backup made before the upgrade",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// It is a database of some other program.
    #[error("{} is a database, but not one of Switchback's; give another data directory", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged. It is left as it is.
    #[error("{} is damaged: {problem}. Nothing was changed; {remedy}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It cannot be written, or not even be read.
    #[error("open {}", path.display())]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: BoxError,
    },
}

struct Pid(Option<u32>);

impl std::fmt::Display for Pid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => pid.fmt(f),
            None => f.write_str("(not known)"),
        }
    }
}
